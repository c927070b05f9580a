/**
 * An operation as a value: what it is called, and how each kind of device computes it. Rooms list theirs in `ops.ts`;
 * no device names one.
 */
import type { GpuContext } from "./gpu/op.ts";

/**
 * An operation on `A`, enqueued by `Device.run`. Matrices of one operation must not overlap unless it says so.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "./cpu.ts";
 * import { view } from "./cpu_buffer.ts";
 * import { expectShape, type Matrix, matrix } from "./device.ts";
 * import type { Op } from "./op.ts";
 *
 * const negate: Op<[out: Matrix, from: Matrix]> = {
 *   name: "negate",
 *   check: (out, from) => expectShape("negate", out, from.rows, from.cols),
 *   cpu: (_, out, from) => view(out).data.set(view(from).data.map((x) => -x)),
 *   gpu: () => assert.fail("Not here"),
 * };
 * const device = openCpuDevice(), m = matrix(device.upload("f32", Float32Array.of(1, 2)), 1, 2);
 * device.run(negate, m, m);
 * assert.deepEqual([...(await device.download([m.buffer]))[0]], [-1, -2]);
 * await device.destroy();
 * ```
 */
export interface Op<A extends readonly unknown[] = readonly unknown[]> {
  /** As it is exported, for accounts and errors. */
  readonly name: string;
  /**
   * Checks the operands when they are enqueued.
   * @throws {RangeError} when their shapes do not fit
   */
  readonly check?: (...args: A) => void;
  /** Computes on arrays; see `view` and `dense` of `cpu_buffer.ts`. */
  readonly cpu: (host: CpuHost, ...args: A) => void | Promise<void>;
  /** Encodes dispatches. */
  readonly gpu: (context: GpuContext, ...args: A) => void;
  /** Floating-point operations on the CPU, where they are many; on a GPU dispatches say theirs. */
  readonly flops?: (...args: A) => number;
}

/** What the CPU device is to its operations. */
export interface CpuHost {
  /** Threads that one operation may use. */
  readonly threads: number;
  /** Calls `close` when the device is destroyed, for what an operation opens once for it. */
  atEnd(close: () => void | Promise<void>): void;
}
