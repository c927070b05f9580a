/** One row of `task bench kernels`: an operation at one size, and what it must compute or move. */
import type { Device } from "../../kernels/device.ts";

/** An operation at one size. */
export interface KernelCase {
  /** As `--op` names it. */
  readonly op: string;
  /** Shape and options, for people. */
  readonly size: string;
  /** Whether a quick run has it. */
  readonly quick: boolean;
  /** Whether it is measured beside every operation, as it bounds others. */
  readonly limits?: boolean;
  /** Devices that it is measured on; default: all. */
  readonly devices?: readonly Device["kind"][];
  work(): Work;
  /** Puts the operands on a device. @returns what is timed: the operation, enqueued once */
  open(device: Device): () => void | Promise<void>;
}

/** What bounds an operation, and the least that its result takes. */
export type Work =
  /** Its limit is the device's best product of matrices. */
  | {
    readonly bound: "compute";
    readonly flops: number;
    /** Rows of the first operand, columns of the second, and what they share; onnxruntime multiplies the same. */
    readonly product?: readonly [m: number, n: number, k: number];
  }
  /** Its limit is the device's best copy. */
  | {
    readonly bound: "memory";
    bytes(kind: Device["kind"]): number;
    /** Bytes of weights that are read over those of the packed file, where they are packed. */
    readonly readOverStored?: number;
  }
  /** A whole layer: of both kinds, it waits for a download of its own. */
  | { readonly bound: "layer"; readonly weights: number };
