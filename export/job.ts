/** What every export is given, and what it says of what it wrote. */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import type { ModelSpec } from "../models/spec.ts";

/** A model that is to be written. */
export interface Exportable {
  readonly spec: ModelSpec;
  /** As `fitModel` gives it. */
  readonly checkpoint: Checkpoint;
  /** What people call it; names of files are made of it. */
  readonly name: string;
}

/** How it is written. */
export interface ExportOptions {
  /** Absolute folder. */
  readonly to: string;
  /** Whether files that are there may be replaced. */
  readonly force?: boolean;
  /** Bytes of tensors that a file of safetensors may have. */
  readonly shardBytes?: number;
  /** Told what is done, how many of how many tensors. */
  readonly progress?: (doing: "written" | "compared", done: number, total: number) => void;
  /** Told what others will do otherwise. */
  readonly warn?: (message: string) => void;
  /** Aborts between two tensors. */
  readonly signal?: AbortSignal;
}

/** A file that was written. */
export interface ExportedFile {
  readonly name: string;
  readonly bytes: number;
  /** In hex. */
  readonly sha256: string;
}

/** How close what was written is to what was packed. */
export interface Closeness {
  readonly tensors: number;
  /** Tensors of which every value is the packed one, unrounded. */
  readonly exact: number;
  /** ‖W − Ŵ‖ / ‖W‖ of the tensor where rounding costs most; its name is empty where all are exact. */
  readonly worst: { readonly name: string; readonly error: number };
}

/** What was written. */
export interface Exported {
  /** In the order they were moved to their place. */
  readonly files: readonly string[];
  /** Those with weights. */
  readonly weights: readonly ExportedFile[];
  readonly closeness: Closeness;
}
