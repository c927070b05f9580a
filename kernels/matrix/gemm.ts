/**
 * Matrix products in float32 on the CPU, through onnxruntime's Gemm.
 *
 * Not the operations (`gemm_ops.ts`) and not for other precisions.
 */
import { InferenceSession, Tensor } from "onnxruntime-node";
import { Graph } from "../../onnx/graph.ts";
import type { ArrayWindow } from "../cpu_buffer.ts";
import { copyWindow } from "./elementwise.ts";

/** What a product does beside multiplying. */
export interface GemmOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  /** Factor of what `out` held before; 0 never reads it. */
  readonly beta?: number;
}

/** What a product of a matrix with its own transpose does beside multiplying. */
export interface SyrkOptions {
  readonly transposed?: boolean;
  readonly alpha?: number;
  /** Factor of what `out` held before; 0 never reads it. */
  readonly beta?: number;
}

/** Columns of a product of a matrix with its own transpose that are made together. */
const SYRK_COLUMNS = 256;

/**
 * Elements of one call's operands by rows: larger outputs leave the cache (94 GFLOP/s against 27 at 13824×128×128, one
 * thread).
 */
const CHUNK_ELEMENTS = 1 << 18;

/** Multiplies matrices; owns its onnxruntime sessions, one for each kind of product. */
export class Gemm {
  readonly #threads: number;
  readonly #sessions = new Map<string, Promise<InferenceSession>>();
  #scratch: Float32Array[] = [];

  /** @param threads threads of one product; results do not depend on it */
  constructor(threads = 1) {
    this.#threads = threads;
  }

  /**
   * out := alpha · op(a) · op(b) + beta · out.
   *
   * @param out rows × cols
   * @param a rows × inner, or inner × rows when transposed
   * @param b inner × cols, or cols × inner when transposed
   * @throws {RangeError} when the shapes do not fit each other
   */
  async run(out: ArrayWindow, a: ArrayWindow, b: ArrayWindow, options: GemmOptions = {}): Promise<void> {
    const { transposeA = false, transposeB = false, alpha = 1, beta = 0 } = options;
    const inner = transposeA ? a.rows : a.cols;
    const fits = (transposeA ? a.cols : a.rows) === out.rows && (transposeB ? b.rows : b.cols) === out.cols &&
      (transposeB ? b.cols : b.rows) === inner;
    if (!fits) {
      throw new RangeError(
        `Cannot multiply ${shape(a, transposeA)} by ${shape(b, transposeB)} into ${out.rows}×${out.cols}`,
      );
    }
    if (out.rows === 0 || out.cols === 0) return;
    if (inner === 0) return scale(out, beta);
    const right = new Tensor("float32", this.#dense(b, 0), [b.rows, b.cols]);
    const left = this.#dense(a, 1);
    // A transposed operand's columns are not contiguous, so only the plain form is cut into row chunks.
    const chunk = transposeA ? out.rows : Math.max(out.cols, 128, Math.floor(CHUNK_ELEMENTS / (out.cols + inner)));
    for (let row = 0; row < out.rows; row += chunk) {
      const rows = Math.min(chunk, out.rows - row);
      // Threads that share columns round differently from one alone (they sum over other stretches), those that share
      // rows do not.
      const threads = rows >= out.cols ? this.#threads : 1;
      const session = await this.#session({ transposeA, transposeB, alpha, beta }, threads);
      const target = { ...out, rows, offset: out.offset + row * out.stride };
      const contiguous = out.stride === out.cols;
      const data = contiguous
        ? out.data.subarray(target.offset, target.offset + rows * out.cols)
        : this.#buffer(2, rows * out.cols);
      const result = { data, rows, cols: out.cols, offset: 0, stride: out.cols };
      if (!contiguous && beta !== 0) copyWindow(result, target);
      const y = new Tensor("float32", data, [rows, out.cols]);
      const part = transposeA
        ? new Tensor("float32", left, [a.rows, a.cols])
        : new Tensor("float32", left.subarray(row * inner, (row + rows) * inner), [rows, inner]);
      await session.run(beta === 0 ? { a: part, b: right } : { a: part, b: right, c: y }, { y });
      if (!contiguous) copyWindow(target, result);
    }
  }

  /**
   * out := alpha · op(a) · op(a)ᵀ + beta · out, its upper triangle and some of what is below it.
   *
   * @param out size × size
   * @param a size × inner, or inner × size when transposed
   * @throws {RangeError} when the shapes do not fit each other
   */
  async syrk(
    out: ArrayWindow,
    a: ArrayWindow,
    { transposed = false, alpha = 1, beta = 0 }: SyrkOptions = {},
  ): Promise<void> {
    const size = transposed ? a.cols : a.rows;
    if (out.rows !== size || out.cols !== size) {
      throw new RangeError(`Cannot multiply ${shape(a, transposed)} by its transpose into ${out.rows}×${out.cols}`);
    }
    for (let col = 0; col < size; col += SYRK_COLUMNS) {
      const cols = Math.min(SYRK_COLUMNS, size - col), rows = col + cols;
      const some = (row: number, rows: number): ArrayWindow =>
        transposed ? { ...a, cols: rows, offset: a.offset + row } : { ...a, rows, offset: a.offset + row * a.stride };
      await this.run({ ...out, rows, cols, offset: out.offset + col }, some(0, rows), some(col, cols), {
        transposeA: transposed,
        transposeB: !transposed,
        alpha,
        beta,
      });
    }
  }

  /** Frees the sessions. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    this.#scratch = [];
    for (const session of sessions) await (await session).release();
  }

  #session(options: Required<GemmOptions>, threads: number): Promise<InferenceSession> {
    const key = `${threads} ${options.transposeA} ${options.transposeB} ${options.alpha} ${options.beta}`;
    let session = this.#sessions.get(key);
    if (!session) {
      session = InferenceSession.create(gemmModel(options), {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        enableCpuMemArena: false,
        enableMemPattern: false,
        extra: { session: { intra_op: { allow_spinning: "0" } } },
      });
      this.#sessions.set(key, session);
    }
    return session;
  }

  /** The window without gaps: a view when it has none, else a copy in scratch space. */
  #dense(window: ArrayWindow, slot: number): Float32Array {
    const length = window.rows * window.cols;
    if (window.stride === window.cols) return window.data.subarray(window.offset, window.offset + length);
    const copy = this.#buffer(slot, length);
    copyWindow({ data: copy, rows: window.rows, cols: window.cols, offset: 0, stride: window.cols }, window);
    return copy;
  }

  #buffer(slot: number, length: number): Float32Array {
    if ((this.#scratch[slot]?.length ?? 0) < length) this.#scratch[slot] = new Float32Array(length);
    return this.#scratch[slot].subarray(0, length);
  }
}

/** Floating-point operations of `Gemm.syrk`. */
export function syrkFlops(size: number, inner: number): number {
  let elements = 0;
  for (let col = 0; col < size; col += SYRK_COLUMNS) {
    const cols = Math.min(SYRK_COLUMNS, size - col);
    elements += (col + cols) * cols;
  }
  return 2 * elements * inner;
}

/** What a product without summands leaves, which onnxruntime gets wrong. */
function scale({ data, rows, cols, offset, stride }: ArrayWindow, factor: number): void {
  for (let row = 0; row < rows; row++) {
    const start = offset + row * stride;
    for (let at = start; at < start + cols; at++) data[at] = factor === 0 ? 0 : factor * data[at];
  }
}

function shape(window: ArrayWindow, transposed: boolean): string {
  return transposed ? `${window.cols}×${window.rows}` : `${window.rows}×${window.cols}`;
}

function gemmModel({ transposeA, transposeB, alpha, beta }: Required<GemmOptions>): Uint8Array {
  const graph = new Graph("gemm");
  const inputs = (beta === 0 ? ["a", "b"] : ["a", "b", "c"]).map((name) => graph.input(name, [`${name}0`, `${name}1`]));
  const attributes = {
    transA: Number(transposeA),
    transB: Number(transposeB),
    alpha: { float: alpha },
    beta: { float: beta === 0 ? 1 : beta },
  };
  graph.result("y", ["y0", "y1"], { type: "Gemm", inputs, attributes });
  return graph.bytes();
}
