/**
 * The embedded device: kernels on typed arrays, matrix products through onnxruntime. Operations run one after the other
 * on the thread that owns the device; several workers with a device each use several cores.
 */
import { alternateRounds } from "./binary/alternate.ts";
import { startScales } from "./binary/binarize.ts";
import { choleskyUpper } from "./matrix/cholesky.ts";
import { columnwiseSweep } from "./binary/columnwise.ts";
import { decodeBlock, decodeLayer } from "./binary/decode.ts";
import { CpuBuffer, dense, expectShape, owned, view } from "./cpu_buffer.ts";
import {
  type Device,
  type DeviceBuffer,
  type Downloaded,
  type ElementArrays,
  type ElementType,
  type Matrix,
  type OpCount,
  type PackedMatrix,
  type ScoreOptions,
} from "./device.ts";
import { DeviceAccount } from "./device_account.ts";
import {
  clearColumnsOf,
  columnSquaresOf,
  copyWindow,
  dampDiagonal,
  diagonalOf,
  dotWindows,
  powerWindow,
  roundHalfWindow,
  subtractWindow,
  transposeWindow,
} from "./matrix/elementwise.ts";
import { Gemm, type GemmOptions, syrkFlops, type SyrkOptions } from "./matrix/gemm.ts";
import { absoluteSums, importance, relativeMoments } from "./scores/importance.ts";
import { solveJoint } from "./binary/joint.ts";
import { resignSweep } from "./binary/resign.ts";
import { searchSalient } from "./binary/salient.ts";
import { searchSegments } from "./binary/segments.ts";
import { packedMatVec } from "./matvec/matvec.ts";
import { expectVectors } from "./matvec/matvec_layout.ts";
import type { PlaneShape } from "./packing/pack.ts";
import { packIntoBuffer, type PlacedPlanes, unpackFromBuffer } from "./packing/plane_buffer.ts";
import { pruneCodes, rankNM } from "./scores/select.ts";
import { unpackPart } from "./matrix/triangle.ts";
import { invertUpper } from "./matrix/triangular.ts";

/**
 * Opens the CPU device.
 *
 * @param options.threads threads of one matrix product; results do not depend on it
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "./cpu.ts";
 * import { matrix } from "./device.ts";
 *
 * const device = openCpuDevice();
 * const a = matrix(device.upload("f32", Float32Array.of(1, 2, 3, 4)), 2, 2);
 * const out = matrix(device.alloc("f32", 4), 2, 2);
 * device.gemm(out, a, a, { transposeB: true });
 * const [product] = await device.download([out.buffer]);
 * assert.deepEqual([...product], [5, 11, 11, 25]);
 * await device.destroy();
 * ```
 */
export function openCpuDevice({ threads = 1 }: { readonly threads?: number } = {}): Device {
  return new CpuDevice(threads);
}

interface Job {
  readonly name: string;
  readonly section: string;
  readonly run: () => void | Promise<void>;
}

class CpuDevice implements Device {
  readonly kind = "cpu";
  readonly name: string;
  readonly choices = [];
  readonly #gemm: Gemm;
  readonly #jobs: Job[] = [];
  #draining: Promise<void> | undefined;
  #failure: Error | undefined;
  #section = "";
  readonly #account = new DeviceAccount();

  constructor(threads: number) {
    this.name = `CPU, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    this.#gemm = new Gemm(threads);
  }

  alloc<T extends ElementType>(type: T, length: number): DeviceBuffer<T> {
    return new CpuBuffer(type, length);
  }

  upload<T extends ElementType>(type: T, data: ElementArrays[T]): DeviceBuffer<T> {
    return new CpuBuffer(type, data.length, data);
  }

  release(buffer: DeviceBuffer): void {
    // Also after a failure: memory must not wait for it.
    this.#enqueue("release", () => owned(buffer).release());
  }

  async download<const B extends readonly DeviceBuffer[]>(
    buffers: B,
  ): Promise<{ -readonly [I in keyof B]: Downloaded<B[I]> }> {
    await this.#draining;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    return buffers.map((buffer) => {
      const { array } = owned(buffer);
      owned(buffer).release();
      return array;
    }) as { -readonly [I in keyof B]: Downloaded<B[I]> };
  }

  section(name: string): void {
    this.#section = name;
  }

  spent(): Readonly<Record<string, number>> {
    return this.#account.spent();
  }

  counters(): Readonly<Record<string, OpCount>> {
    return this.#account.counters();
  }

  async destroy(): Promise<void> {
    await this.#draining;
    await this.#gemm.close();
  }

  copy<T extends ElementType>(out: Matrix<T>, from: Matrix<T>, { transposed = false } = {}): void {
    expectShape("copy", out, transposed ? from.cols : from.rows, transposed ? from.rows : from.cols);
    this.#enqueue("copy", () => (transposed ? transposeWindow : copyWindow)(view(out), view(from)));
  }

  subtract(
    out: Matrix,
    a: Matrix,
    b: Matrix,
    { scale, transposed = false }: { readonly scale?: Matrix; readonly transposed?: boolean } = {},
  ): void {
    expectShape("subtract", b, a.rows, a.cols);
    expectShape("subtract", out, transposed ? a.cols : a.rows, transposed ? a.rows : a.cols);
    if (scale) expectShape("subtract", scale, 1, a.cols);
    this.#enqueue(
      "subtract",
      () => subtractWindow(view(out), view(a), view(b), { scale: scale && view(scale), transposed }),
    );
  }

  power(out: Matrix, from: Matrix, exponent: number): void {
    expectShape("power", out, from.rows, from.cols);
    this.#enqueue("power", () => powerWindow(view(out), view(from), exponent));
  }

  diagonal(out: Matrix, from: Matrix): void {
    expectShape("diagonal", out, 1, from.cols);
    this.#enqueue("diagonal", () => diagonalOf(view(out), view(from)));
  }

  columnSquares(out: Matrix, from: Matrix): void {
    expectShape("columnSquares", out, 1, from.cols);
    this.#enqueue("columnSquares", () => columnSquaresOf(view(out), view(from)));
  }

  addDot(out: Matrix, a: Matrix, b: Matrix, factor: number): void {
    expectShape("addDot", b, a.rows, a.cols);
    this.#enqueue("addDot", () => {
      view(out).data[out.offset] += factor * dotWindows(view(a), view(b));
    });
  }

  clearColumns(w: Matrix, live: Matrix): void {
    expectShape("clearColumns", live, 1, w.cols);
    this.#enqueue("clearColumns", () => clearColumnsOf(view(w), view(live)));
  }

  roundHalf(x: Matrix): void {
    this.#enqueue("roundHalf", () => roundHalfWindow(view(x)));
  }

  gemm(out: Matrix, a: Matrix, b: Matrix, options: GemmOptions = {}): void {
    const inner = options.transposeA ? a.rows : a.cols;
    this.#enqueue("gemm", () => this.#gemm.run(view(out), view(a), view(b), options), 2 * out.rows * out.cols * inner);
  }

  syrk(out: Matrix, a: Matrix, options: SyrkOptions = {}): void {
    const inner = options.transposed ? a.rows : a.cols;
    this.#enqueue("syrk", () => this.#gemm.syrk(view(out), view(a), options), syrkFlops(out.rows, inner));
  }

  unpack(
    out: Matrix,
    packed: DeviceBuffer<"f32">,
    { size, row, col, added }: {
      readonly size: number;
      readonly row: number;
      readonly col: number;
      readonly added?: Matrix;
    },
  ): void {
    this.#enqueue("unpack", () => {
      const { data, rows, cols, offset, stride } = view(out);
      unpackPart(data, owned(packed).array, { size, row, col, rows, cols, offset, stride });
      if (!added) return;
      const extra = dense(added);
      for (let j = Math.max(row, col); j < Math.min(row + rows, col + cols); j++) {
        data[offset + (j - row) * stride + j - col] += extra[j];
      }
    });
  }

  damp(
    diagonal: Matrix,
    added: Matrix,
    packed: DeviceBuffer<"f32">,
    { size, damping }: { readonly size: number; readonly damping: number },
  ): void {
    expectShape("damp", diagonal, 1, size);
    expectShape("damp", added, 1, size);
    this.#enqueue("damp", () => dampDiagonal(dense(diagonal), dense(added), owned(packed).array, damping));
  }

  cholesky(h: Matrix, status: Matrix<"u32">, { first, inverse }: Parameters<Device["cholesky"]>[2]): void {
    expectShape("cholesky", inverse, h.rows, h.cols);
    this.#enqueue("cholesky", () => {
      const bad = choleskyUpper(view(h).data, h.rows, h), state = dense(status);
      if (bad >= 0 && state[0] === 0) state[0] = first + bad + 1;
      invertUpper(view(inverse).data, view(h).data, { size: h.rows, to: inverse, from: h });
    }, 2 * h.rows ** 3 / 3);
  }

  absoluteSums(rowSums: Matrix, columnSums: Matrix, moments: Matrix, w: Matrix): void {
    this.#enqueue("absoluteSums", () => {
      const sums = absoluteSums(dense(w), w.rows, w.cols);
      dense(rowSums).set(sums.rowSums);
      dense(columnSums).set(sums.columnSums);
      const { mean, deviation } = relativeMoments(dense(w), sums.rowSums, sums.columnSums);
      dense(moments).set([mean, deviation]);
    });
  }

  importance(out: Matrix, w: Matrix, options: ScoreOptions): void {
    const { metric, seed, firstColumn } = options;
    this.#enqueue("importance", () => {
      const vector = (m: Matrix | undefined) => m && dense(m);
      const moments = vector(options.moments);
      importance(dense(out), dense(w), {
        rows: w.rows,
        cols: w.cols,
        metric,
        diagonalU: vector(options.diagonalU),
        inverseDiagonal: vector(options.inverseDiagonal),
        inputNorm: vector(options.inputNorm),
        rowSums: vector(options.rowSums),
        columnSums: vector(options.columnSums),
        moments: moments && { mean: moments[0], deviation: moments[1] },
        seed,
        firstColumn,
      });
    });
  }

  rank(out: Matrix<"u8">, score: Matrix, options: Parameters<Device["rank"]>[2]): void {
    const { rows, cols } = score;
    this.#enqueue("rank", () => rankNM(dense(out), dense(score), { rows, cols, ...options }));
  }

  searchSalient(salient: Matrix<"u8">, options: Parameters<Device["searchSalient"]>[1]): void {
    const { score, values, columnWeight, rank, pruned, most, coarse } = options;
    const { rows, cols } = score;
    this.#enqueue("searchSalient", () =>
      searchSalient(dense(salient), {
        score: dense(score),
        values: dense(values),
        columnWeight: columnWeight && dense(columnWeight),
        rank: dense(rank),
        pruned,
        rows,
        cols,
        most,
        coarse,
      }));
  }

  searchSegments(codes: Matrix<"u8">, options: Parameters<Device["searchSegments"]>[1]): void {
    const { w, values, columnWeight, salient, rank, pruned, splitPoints, search, candidates, coarse } = options;
    const { rows, cols } = w;
    this.#enqueue("searchSegments", () =>
      searchSegments(dense(codes), {
        w: dense(w),
        values: values && dense(values),
        columnWeight: columnWeight && dense(columnWeight),
        salient: dense(salient),
        rank: dense(rank),
        pruned,
        rows,
        cols,
        splitPoints,
        search,
        candidates,
        coarse,
      }));
  }

  startScales(codes: Matrix<"u8">, scales: Matrix, options: Parameters<Device["startScales"]>[2]): void {
    const { w, rank, pruned, salientPruned, segments, salient } = options;
    const { rows, cols } = w;
    this.#enqueue("startScales", () =>
      startScales(dense(codes), dense(scales), {
        w: dense(w),
        rank: dense(rank),
        rows,
        cols,
        segments,
        salient,
        pruned,
        salientPruned,
      }));
  }

  alternate(scales: Matrix, options: Parameters<Device["alternate"]>[1]): void {
    const { w, gram, codes, rank, ...rest } = options;
    const { rows, cols } = w;
    this.#enqueue("alternate", () =>
      alternateRounds(dense(scales), {
        ...rest,
        w: dense(w),
        gram: dense(gram),
        codes: dense(codes),
        rank: dense(rank),
        rows,
        cols,
      }));
  }

  prune(codes: Matrix<"u8">, { rank, pruned }: Parameters<Device["prune"]>[1]): void {
    this.#enqueue("prune", () => pruneCodes(dense(codes), dense(rank), pruned));
  }

  solveJoint(scales: Matrix, options: Parameters<Device["solveJoint"]>[1]): void {
    const { target, gram, codes, segments, salient } = options;
    const { rows, cols } = target;
    this.#enqueue("solveJoint", () =>
      solveJoint(dense(scales), {
        target: dense(target),
        gram: dense(gram),
        codes: dense(codes),
        rows,
        cols,
        segments,
        salient,
      }));
  }

  resign(codes: Matrix<"u8">, options: Parameters<Device["resign"]>[1]): void {
    const { residual, gram, scales, segments, salient } = options;
    const { rows, cols } = residual;
    this.#enqueue("resign", () =>
      resignSweep(dense(codes), {
        residual: dense(residual),
        gram: dense(gram),
        scales: dense(scales),
        rows,
        cols,
        segments,
        salient,
      }));
  }

  columnwise(codes: Matrix<"u8">, errors: Matrix, options: Parameters<Device["columnwise"]>[2]): void {
    const { w, factor, scales, segments, salient } = options;
    const { rows, cols } = w;
    this.#enqueue("columnwise", () =>
      columnwiseSweep(dense(codes), dense(errors), {
        w: dense(w),
        factor: dense(factor),
        scales: dense(scales),
        rows,
        cols,
        segments,
        salient,
      }));
  }

  decode(out: Matrix, options: Parameters<Device["decode"]>[1]): void {
    const { codes, scales, segments, salient, groupSize } = options;
    const { rows, cols } = out;
    this.#enqueue("decode", () => {
      const block = { codes: dense(codes), scales: dense(scales), rows, cols, segments, salient };
      if (groupSize) decodeLayer({ ...block, groupSize }, dense(out));
      else decodeBlock(dense(out), block);
    });
  }

  packPlanes(out: DeviceBuffer<"u32">, codes: Matrix<"u8">, shape: PlaneShape): void {
    this.#enqueue("packPlanes", () => packIntoBuffer(owned(out).array, dense(codes), shape));
  }

  unpackPlanes(
    codes: Matrix<"u8">,
    found: DeviceBuffer<"u32">,
    planes: DeviceBuffer<"u32">,
    placed: PlacedPlanes,
  ): void {
    this.#enqueue(
      "unpackPlanes",
      () => unpackFromBuffer(dense(codes), owned(found).array, owned(planes).array, placed),
    );
  }

  packedMatVec(out: Matrix, weights: PackedMatrix, x: Matrix): void {
    expectVectors(out, weights, x);
    const { words, scales, salientColumns, ...shape } = weights;
    this.#enqueue("packedMatVec", () => {
      const arrays = {
        words: owned(words).array,
        scales: owned(scales).array,
        salientColumns: owned(salientColumns).array,
      };
      packedMatVec(dense(out), { ...shape, ...arrays }, dense(x), x.rows);
    }, 2 * weights.rows * weights.cols * x.rows);
  }

  #enqueue(name: string, run: () => void | Promise<void>, flops = 0): void {
    if (name !== "release") this.#account.count(name, { dispatches: 0, flops });
    this.#jobs.push({ name, section: this.#section, run });
    this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    await Promise.resolve();
    const jobs = this.#jobs;
    for (let i = 0; i < jobs.length; i++) {
      const { name, section, run } = jobs[i];
      if (this.#failure && name !== "release") continue;
      const start = performance.now();
      try {
        const pending = run();
        if (pending) await pending;
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        this.#failure ??= new Error(`Device operation "${name}" failed: ${reason}`, { cause });
      }
      this.#account.spend(section, (performance.now() - start) / 1000);
    }
    jobs.length = 0;
    this.#draining = undefined;
  }
}
