/**
 * The device: where arrays live and kernels run. The layer loop knows only this.
 *
 * Every call enqueues and returns at once; only `download` waits, and one download ends a layer. What depends on data
 * (how many columns are salient, where segments are cut) therefore stays in device buffers.
 */
import type { GemmOptions, SyrkOptions } from "./matrix/gemm.ts";
import type { ImportanceMetric } from "./scores/importance.ts";
import type { MatVecShape } from "./matvec/matvec_layout.ts";
import type { PlaneShape } from "./packing/pack.ts";
import type { PlacedPlanes } from "./packing/plane_buffer.ts";
import type { PruningType } from "./binary/quantized_layer.ts";

/** What a buffer can hold. */
export type ElementType = "f32" | "u8" | "u32";

/** The array of each element type, on this side. */
export interface ElementArrays {
  readonly f32: Float32Array;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
}

/** Memory on the device; zero until written. */
export interface DeviceBuffer<T extends ElementType = ElementType> {
  readonly type: T;
  /** Elements. */
  readonly length: number;
}

/** A row-major matrix in a buffer; vectors are matrices of one row. */
export interface Matrix<T extends ElementType = "f32"> {
  readonly buffer: DeviceBuffer<T>;
  readonly rows: number;
  readonly cols: number;
  /** Element at which it starts. */
  readonly offset: number;
  /** Elements from one row to the next. */
  readonly stride: number;
}

/** Shape of the codes and scales of one column block. */
export interface BlockShape {
  readonly segments: number;
  readonly salient: boolean;
}

/**
 * What scores may need besides the weights; see `ImportanceOptions`. All vectors are 1 × cols but `rowSums`, 1 × rows.
 */
export interface ScoreOptions {
  readonly metric: ImportanceMetric;
  readonly diagonalU?: Matrix;
  readonly inverseDiagonal?: Matrix;
  readonly inputNorm?: Matrix;
  readonly rowSums?: Matrix;
  readonly columnSums?: Matrix;
  /** 1 × 2: mean and standard deviation. */
  readonly moments?: Matrix;
  readonly seed?: number;
  readonly firstColumn?: number;
}

/** Weights that a search sees: those of rank ≥ `pruned`. */
export interface SeenOptions {
  readonly rank: Matrix<"u8">;
  readonly pruned: number;
}

/** Which of several kernels a device computes an operation with, for people. */
export interface KernelChoice {
  readonly op: string;
  readonly variant: string;
  /** Its measured rate; undefined where none was measured. */
  readonly gflops?: number;
}

/** What the calls of one operation have cost. */
export interface OpCount {
  readonly calls: number;
  /** Compute shaders started; 0 on the CPU. */
  readonly dispatches: number;
  /** Floating-point operations, those wasted on tiles' edges too; counted for products and factors, else 0. */
  readonly flops: number;
}

/** A packed layer on the device, as `arrangeWeights` has it; made by `uploadPacked`. */
export interface PackedMatrix extends MatVecShape {
  readonly words: DeviceBuffer<"u32">;
  readonly scales: DeviceBuffer<"u32">;
  readonly salientColumns: DeviceBuffer<"u32">;
}

/** Arrays and operations; matrices of one operation must not overlap unless it says so. Opened by `openCpuDevice`. */
export interface Device {
  readonly kind: "cpu" | "webgpu";
  /** What it is, for people and records. */
  readonly name: string;
  /** Operations that had several kernels to choose from, and the chosen ones; empty on the CPU. */
  readonly choices: readonly KernelChoice[];

  /** A buffer of zeros; memory is taken when it is first used. */
  alloc<T extends ElementType>(type: T, length: number): DeviceBuffer<T>;
  /** Hands an array over to the device, which may change it: the caller must not use it any more. */
  upload<T extends ElementType>(type: T, data: ElementArrays[T]): DeviceBuffer<T>;
  /** Frees a buffer once what was enqueued before is done. */
  release(buffer: DeviceBuffer): void;
  /**
   * Waits for everything enqueued and hands buffers back, which are released by that.
   * @throws {Error} the first failure of an enqueued operation, by its name; the device can be used again after it
   */
  download<const B extends readonly DeviceBuffer[]>(
    buffers: B,
  ): Promise<{ -readonly [I in keyof B]: Downloaded<B[I]> }>;
  /** Seconds of what is enqueued from here on count for `section`. */
  section(name: string): void;
  /** Seconds by section since the last call; complete after a download. */
  spent(): Readonly<Record<string, number>>;
  /** What was enqueued since the last call, by operation. */
  counters(): Readonly<Record<string, OpCount>>;
  /** Frees everything; nothing may be called after it. */
  destroy(): Promise<void>;

  /** out := from, or its transpose. */
  copy<T extends ElementType>(out: Matrix<T>, from: Matrix<T>, options?: { readonly transposed?: boolean }): void;
  /** out := (a − b)·diag(scale), or its transpose; `out` may be `a` or `b` unless transposed. `scale` is 1 × cols. */
  subtract(
    out: Matrix,
    a: Matrix,
    b: Matrix,
    options?: { readonly scale?: Matrix; readonly transposed?: boolean },
  ): void;
  /** out := from^exponent, elementwise; `out` may be `from`. */
  power(out: Matrix, from: Matrix, exponent: number): void;
  /** out (1 × n) := the diagonal of from (n × n). */
  diagonal(out: Matrix, from: Matrix): void;
  /** out (1 × cols) := Σ_rows from². */
  columnSquares(out: Matrix, from: Matrix): void;
  /** out (1 × 1) += factor·Σ a∘b, summed in float64. */
  addDot(out: Matrix, a: Matrix, b: Matrix, factor: number): void;
  /** Zeroes the columns of w whose entry in `live` (1 × cols) is 0. */
  clearColumns(w: Matrix, live: Matrix): void;
  /** Rounds to float16 and back; beyond its range to its largest value. */
  roundHalf(x: Matrix): void;
  /** out := alpha·op(a)·op(b) + beta·out. */
  gemm(out: Matrix, a: Matrix, b: Matrix, options?: GemmOptions): void;
  /**
   * out := alpha·op(a)·op(a)ᵀ + beta·out, its upper triangle; what is below the diagonal is left in any state. op(a) is
   * aᵀ when `transposed`.
   */
  syrk(out: Matrix, a: Matrix, options?: SyrkOptions): void;

  /**
   * out := rows row… and columns col… of the symmetric matrix whose packed upper triangle is `packed`, with `added` (1
   * × size) on its diagonal.
   */
  unpack(
    out: Matrix,
    packed: DeviceBuffer<"f32">,
    options: { readonly size: number; readonly row: number; readonly col: number; readonly added?: Matrix },
  ): void;
  /** diagonal (1 × size) := diag H; added (1 × size) := what damping adds to it, and 1 more where it is 0. */
  damp(
    diagonal: Matrix,
    added: Matrix,
    packed: DeviceBuffer<"f32">,
    options: { readonly size: number; readonly damping: number },
  ): void;
  /**
   * h := R, upper, with h = R·Rᵀ, and `inverse` := R⁻¹. status (1 × 1): 0, or 1 + the index (first + row) of the first
   * pivot that is not positive.
   */
  cholesky(
    h: Matrix,
    status: Matrix<"u32">,
    options: { readonly first: number; readonly inverse: Matrix },
  ): void;

  /** Sums of |w| by row (1 × rows) and column (1 × cols), and moments (1 × 2) of the sum of both ratios. */
  absoluteSums(rowSums: Matrix, columnSums: Matrix, moments: Matrix, w: Matrix): void;
  /** See `importance`. */
  importance(out: Matrix, w: Matrix, options: ScoreOptions): void;
  /** See `rankNM`. */
  rank(out: Matrix<"u8">, score: Matrix, options: { readonly of: number; readonly type: PruningType }): void;
  /** See `searchSalient`; `salient` is 1 × cols. */
  searchSalient(
    salient: Matrix<"u8">,
    options: SeenOptions & {
      readonly score: Matrix;
      readonly values: Matrix;
      readonly columnWeight?: Matrix;
      readonly most: number;
      readonly coarse?: boolean;
    },
  ): void;
  /** See `searchSegments`. */
  searchSegments(
    codes: Matrix<"u8">,
    options: SeenOptions & {
      readonly w: Matrix;
      readonly values?: Matrix;
      readonly columnWeight?: Matrix;
      readonly salient: Matrix<"u8">;
      readonly splitPoints: 0 | 1 | 2 | 3;
      readonly search: "free" | "doubled";
      readonly candidates: number;
      readonly coarse?: boolean;
    },
  ): void;
  /** See `startScales`. */
  startScales(
    codes: Matrix<"u8">,
    scales: Matrix,
    options: BlockShape & SeenOptions & { readonly w: Matrix; readonly salientPruned: number },
  ): void;
  /** See `alternateRounds`. */
  alternate(
    scales: Matrix,
    options: BlockShape & SeenOptions & {
      readonly w: Matrix;
      readonly gram: Matrix;
      readonly codes: Matrix<"u8">;
      readonly schedule: "stepwise" | "oneshot";
      readonly iterations: number;
    },
  ): void;
  /** See `pruneCodes`. */
  prune(codes: Matrix<"u8">, options: SeenOptions): void;
  /** See `solveJoint`. */
  solveJoint(
    scales: Matrix,
    options: BlockShape & { readonly target: Matrix; readonly gram: Matrix; readonly codes: Matrix<"u8"> },
  ): void;
  /** See `resignSweep`. */
  resign(
    codes: Matrix<"u8">,
    options: BlockShape & { readonly residual: Matrix; readonly gram: Matrix; readonly scales: Matrix },
  ): void;
  /** See `columnwiseSweep`. */
  columnwise(
    codes: Matrix<"u8">,
    errors: Matrix,
    options: BlockShape & { readonly w: Matrix; readonly factor: Matrix; readonly scales: Matrix },
  ): void;
  /** See `decodeBlock`, or with a size of groups `decodeLayer`. */
  decode(
    out: Matrix,
    options: BlockShape & { readonly codes: Matrix<"u8">; readonly scales: Matrix; readonly groupSize?: number },
  ): void;
  /**
   * out := the planes of a layer's codes and what was found, for `readPlaneBuffer`; of at least `planeBufferWords`. See
   * `packCodes`, and `packOn`.
   */
  packPlanes(out: DeviceBuffer<"u32">, codes: Matrix<"u8">, shape: PlaneShape): void;
  /** codes := those of planes, and found := the header of those, for `checkUnpacked`. See `unpackCodes`, and `decodeOn`. */
  unpackPlanes(
    codes: Matrix<"u8">,
    found: DeviceBuffer<"u32">,
    planes: DeviceBuffer<"u32">,
    placed: PlacedPlanes,
  ): void;

  /** out (vectors × rows) := x·Ŵᵀ of a packed layer, for 1 to 8 vectors x (vectors × cols); see `packedMatVec`. */
  packedMatVec(out: Matrix, weights: PackedMatrix, x: Matrix): void;
}

/** The array that a buffer comes back as. */
export type Downloaded<B> = B extends DeviceBuffer<infer T> ? ElementArrays[T] : never;

/** A whole buffer as a matrix, or its first rows × cols elements. */
export function matrix<T extends ElementType>(buffer: DeviceBuffer<T>, rows: number, cols: number): Matrix<T> {
  return { buffer, rows, cols, offset: 0, stride: cols };
}

/**
 * Some rows and columns of a matrix, without copying.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix, part } from "./device.ts";
 *
 * const whole = matrix({ type: "f32", length: 12 }, 3, 4);
 * const corner = part(whole, { row: 1, col: 2 });
 * assert.deepEqual([corner.rows, corner.cols, corner.offset, corner.stride], [2, 2, 6, 4]);
 * ```
 */
export function part<T extends ElementType>(
  from: Matrix<T>,
  at: { readonly row?: number; readonly col?: number; readonly rows?: number; readonly cols?: number },
): Matrix<T> {
  const { row = 0, col = 0, rows = from.rows - row, cols = from.cols - col } = at;
  return { buffer: from.buffer, rows, cols, offset: from.offset + row * from.stride + col, stride: from.stride };
}
