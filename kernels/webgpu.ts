/**
 * The WebGPU device: every kernel a compute shader. Operations are encoded in order as they are called and sent in
 * batches, so nothing waits before a download; what differs from the CPU device is rounding, as sums are float32 or pairs of
 * float32 here.
 */
import { gpuAlternate } from "./binary/alternate_webgpu.ts";
import { gpuPrune, gpuStartScales } from "./binary/binarize_webgpu.ts";
import { bytesOfWords, gpuNarrow, gpuWiden, wordsOfBytes } from "./gpu/bytes.ts";
import { gpuCholesky } from "./matrix/cholesky_webgpu.ts";
import { gpuColumnwise } from "./binary/columnwise_webgpu.ts";
import { expectShape } from "./cpu_buffer.ts";
import { gpuDecode } from "./binary/decode_webgpu.ts";
import {
  type Device,
  type DeviceBuffer,
  type Downloaded,
  type ElementArrays,
  type ElementType,
  type KernelChoice,
  type Matrix,
  type OpCount,
  type PackedMatrix,
  type ScoreOptions,
} from "./device.ts";
import { DeviceAccount } from "./device_account.ts";
import {
  gpuAddDot,
  gpuClearColumns,
  gpuColumnSquares,
  gpuCopy,
  gpuDamp,
  gpuDiagonal,
  gpuPower,
  gpuRoundHalf,
  gpuSubtract,
  gpuUnpack,
} from "./matrix/elementwise_webgpu.ts";
import type { GemmOptions, SyrkOptions } from "./matrix/gemm.ts";
import { type GemmTuning, NARROW, tuneGemm, type TuningStore } from "./matrix/gemm_tuning_webgpu.ts";
import { gpuGemm, gpuSyrk } from "./matrix/gemm_webgpu.ts";
import { gpuAbsoluteSums, gpuImportance } from "./scores/importance_webgpu.ts";
import { gpuSolveJoint } from "./binary/joint_webgpu.ts";
import { expectVectors } from "./matvec/matvec_layout.ts";
import { gpuPackedMatVec } from "./matvec/matvec_webgpu.ts";
import type { PlaneShape } from "./packing/pack.ts";
import { gpuPackPlanes } from "./packing/pack_webgpu.ts";
import type { PlacedPlanes } from "./packing/plane_buffer.ts";
import { gpuUnpackPlanes } from "./packing/unpack_webgpu.ts";
import { gpuResign } from "./binary/resign_webgpu.ts";
import { gpuSearchSalient } from "./binary/salient_webgpu.ts";
import { gpuSearchSegments } from "./binary/segments_webgpu.ts";
import { gpuRank } from "./scores/select_webgpu.ts";
import { type GpuContextOptions, openGpuContext, type WebGpuContext } from "./gpu/context.ts";

/** How the device is opened. */
export interface WebGpuDeviceOptions extends GpuContextOptions {
  /** Where it is remembered which kernels are fastest on this adapter; without it none are timed. */
  readonly tuning?: TuningStore;
}

/**
 * Opens the WebGPU device.
 *
 * @throws {Error} when no adapter is found
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./device.ts";
 * import { openWebGpuDevice } from "./webgpu.ts";
 *
 * if (await navigator.gpu.requestAdapter()) {
 *   const device = await openWebGpuDevice();
 *   const a = matrix(device.upload("f32", Float32Array.of(1, 2, 3, 4)), 2, 2);
 *   const out = matrix(device.alloc("f32", 4), 2, 2);
 *   device.gemm(out, a, a, { transposeB: true });
 *   const [product] = await device.download([out.buffer]);
 *   assert.deepEqual([...product], [5, 11, 11, 25]);
 *   await device.destroy();
 * }
 * ```
 */
export async function openWebGpuDevice({ tuning, ...options }: WebGpuDeviceOptions = {}): Promise<Device> {
  const context = await openGpuContext(options);
  try {
    return new WebGpuDevice(context, await tuneGemm(context, tuning));
  } catch (error) {
    context.destroy();
    throw error;
  }
}

class WebGpuDevice implements Device {
  readonly kind = "webgpu";
  readonly name: string;
  readonly choices: readonly KernelChoice[];
  readonly #context: WebGpuContext;
  readonly #gemm: GemmTuning;
  #failure: Error | undefined;
  #section = "";
  /** Milliseconds of encoding and waiting since the last account. */
  #busy = 0;
  /** Dispatches by section since the last account. */
  #dispatches: Record<string, number> = {};
  readonly #account = new DeviceAccount();

  constructor(context: WebGpuContext, gemm: GemmTuning) {
    const { description, device, vendor } = context.info;
    this.#context = context;
    this.name = `WebGPU, ${description || device || vendor || "unnamed adapter"}`;
    this.#gemm = gemm;
    this.choices = gemm.choices;
  }

  alloc<T extends ElementType>(type: T, length: number): DeviceBuffer<T> {
    return this.#context.scratch(type, length);
  }

  upload<T extends ElementType>(type: T, data: ElementArrays[T]): DeviceBuffer<T> {
    if (!(data instanceof Uint8Array)) return this.#context.upload(type, data);
    return this.#uploadBytes(data) as DeviceBuffer as DeviceBuffer<T>;
  }

  release(buffer: DeviceBuffer): void {
    this.#context.release(buffer);
  }

  async download<const B extends readonly DeviceBuffer[]>(
    buffers: B,
  ): Promise<{ -readonly [I in keyof B]: Downloaded<B[I]> }> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    const start = performance.now();
    const arrays: readonly unknown[] = await this.#downloadNarrow(buffers);
    this.#busy += performance.now() - start;
    this.#shareTime();
    return arrays as { -readonly [I in keyof B]: Downloaded<B[I]> };
  }

  section(name: string): void {
    this.#section = name;
    this.#context.section(name);
  }

  spent(): Readonly<Record<string, number>> {
    return this.#account.spent();
  }

  counters(): Readonly<Record<string, OpCount>> {
    return this.#account.counters();
  }

  destroy(): Promise<void> {
    this.#context.destroy();
    return Promise.resolve();
  }

  copy<T extends ElementType>(out: Matrix<T>, from: Matrix<T>, { transposed = false } = {}): void {
    expectShape("copy", out, transposed ? from.cols : from.rows, transposed ? from.rows : from.cols);
    this.#encode("copy", (context) => gpuCopy(context, out, from, { transposed }));
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
    this.#encode("subtract", (context) => gpuSubtract(context, out, a, b, { scale, transposed }));
  }

  power(out: Matrix, from: Matrix, exponent: number): void {
    expectShape("power", out, from.rows, from.cols);
    this.#encode("power", (context) => gpuPower(context, out, from, exponent));
  }

  diagonal(out: Matrix, from: Matrix): void {
    expectShape("diagonal", out, 1, from.cols);
    this.#encode("diagonal", (context) => gpuDiagonal(context, out, from));
  }

  columnSquares(out: Matrix, from: Matrix): void {
    expectShape("columnSquares", out, 1, from.cols);
    this.#encode("columnSquares", (context) => gpuColumnSquares(context, out, from));
  }

  addDot(out: Matrix, a: Matrix, b: Matrix, factor: number): void {
    expectShape("addDot", b, a.rows, a.cols);
    this.#encode("addDot", (context) => gpuAddDot(context, out, a, b, factor));
  }

  clearColumns(w: Matrix, live: Matrix): void {
    expectShape("clearColumns", live, 1, w.cols);
    this.#encode("clearColumns", (context) => gpuClearColumns(context, w, live));
  }

  roundHalf(x: Matrix): void {
    this.#encode("roundHalf", (context) => gpuRoundHalf(context, x));
  }

  gemm(out: Matrix, a: Matrix, b: Matrix, options: GemmOptions = {}): void {
    const variant = Math.min(out.rows, out.cols) <= NARROW ? this.#gemm.narrow : this.#gemm.wide;
    this.#encode("gemm", (context) => gpuGemm(context, out, a, b, { ...options, variant }));
  }

  syrk(out: Matrix, a: Matrix, options: SyrkOptions = {}): void {
    const variant = out.rows <= NARROW ? this.#gemm.narrow : this.#gemm.wide;
    this.#encode("syrk", (context) => gpuSyrk(context, out, a, { ...options, variant }));
  }

  unpack(out: Matrix, packed: DeviceBuffer<"f32">, options: Parameters<Device["unpack"]>[2]): void {
    if (options.added) expectShape("unpack", options.added, 1, options.size);
    this.#encode("unpack", (context) => gpuUnpack(context, out, packed, options));
  }

  damp(
    diagonal: Matrix,
    added: Matrix,
    packed: DeviceBuffer<"f32">,
    options: { readonly size: number; readonly damping: number },
  ): void {
    expectShape("damp", diagonal, 1, options.size);
    expectShape("damp", added, 1, options.size);
    this.#encode("damp", (context) => gpuDamp(context, diagonal, added, packed, options));
  }

  cholesky(h: Matrix, status: Matrix<"u32">, options: Parameters<Device["cholesky"]>[2]): void {
    expectShape("cholesky", options.inverse, h.rows, h.cols);
    this.#encode("cholesky", (context) => gpuCholesky(context, h, status, options));
  }

  absoluteSums(rowSums: Matrix, columnSums: Matrix, moments: Matrix, w: Matrix): void {
    this.#encode("absoluteSums", (context) => gpuAbsoluteSums(context, rowSums, columnSums, moments, w));
  }

  importance(out: Matrix, w: Matrix, options: ScoreOptions): void {
    this.#encode("importance", (context) => gpuImportance(context, out, w, options));
  }

  rank(out: Matrix<"u8">, score: Matrix, options: Parameters<Device["rank"]>[2]): void {
    this.#encode("rank", (context) => gpuRank(context, out, score, options));
  }

  searchSalient(salient: Matrix<"u8">, options: Parameters<Device["searchSalient"]>[1]): void {
    this.#encode("searchSalient", (context) => gpuSearchSalient(context, salient, options));
  }

  searchSegments(codes: Matrix<"u8">, options: Parameters<Device["searchSegments"]>[1]): void {
    this.#encode("searchSegments", (context) => gpuSearchSegments(context, codes, options));
  }

  startScales(codes: Matrix<"u8">, scales: Matrix, options: Parameters<Device["startScales"]>[2]): void {
    this.#encode("startScales", (context) => gpuStartScales(context, codes, scales, options));
  }

  alternate(scales: Matrix, options: Parameters<Device["alternate"]>[1]): void {
    this.#encode("alternate", (context) => gpuAlternate(context, scales, options));
  }

  prune(codes: Matrix<"u8">, options: Parameters<Device["prune"]>[1]): void {
    this.#encode("prune", (context) => gpuPrune(context, codes, options));
  }

  solveJoint(scales: Matrix, options: Parameters<Device["solveJoint"]>[1]): void {
    this.#encode("solveJoint", (context) => gpuSolveJoint(context, scales, options));
  }

  resign(codes: Matrix<"u8">, options: Parameters<Device["resign"]>[1]): void {
    this.#encode("resign", (context) => gpuResign(context, codes, options));
  }

  columnwise(codes: Matrix<"u8">, errors: Matrix, options: Parameters<Device["columnwise"]>[2]): void {
    this.#encode("columnwise", (context) => gpuColumnwise(context, codes, errors, options));
  }

  decode(out: Matrix, options: Parameters<Device["decode"]>[1]): void {
    this.#encode("decode", (context) => gpuDecode(context, out, options));
  }

  packPlanes(out: DeviceBuffer<"u32">, codes: Matrix<"u8">, shape: PlaneShape): void {
    this.#encode("packPlanes", (context) => gpuPackPlanes(context, out, codes, shape));
  }

  unpackPlanes(
    codes: Matrix<"u8">,
    found: DeviceBuffer<"u32">,
    planes: DeviceBuffer<"u32">,
    placed: PlacedPlanes,
  ): void {
    this.#encode("unpackPlanes", (context) => gpuUnpackPlanes(context, codes, found, planes, placed));
  }

  packedMatVec(out: Matrix, weights: PackedMatrix, x: Matrix): void {
    expectVectors(out, weights, x);
    this.#encode("packedMatVec", (context) => gpuPackedMatVec(context, out, weights, x));
  }

  #uploadBytes(data: Uint8Array): DeviceBuffer<"u8"> {
    if (data.length === 0) return this.#context.upload("u8", data);
    const words = this.#context.upload("u32", wordsOfBytes(data));
    const bytes = gpuWiden(this.#context, words, data.length);
    this.#context.release(words);
    return bytes;
  }

  /** Downloads with bytes four to a word: they take a word each on the device. */
  async #downloadNarrow(buffers: readonly DeviceBuffer[]): Promise<ElementArrays[ElementType][]> {
    const narrowed = buffers.map((buffer) => isBytes(buffer) ? gpuNarrow(this.#context, buffer) : buffer);
    try {
      const arrays = await this.#context.download(narrowed);
      return arrays.map((array, i) => {
        if (!isBytes(buffers[i]) || !(array instanceof Uint32Array)) return array;
        this.#context.release(buffers[i]);
        return bytesOfWords(array, buffers[i].length);
      });
    } finally {
      narrowed.forEach((buffer, i) => buffer !== buffers[i] && this.#context.release(buffer));
    }
  }

  #encode(name: string, encode: (context: WebGpuContext) => void): void {
    if (this.#failure) return;
    const start = performance.now(), before = this.#context.dispatches, flops = this.#context.flops;
    try {
      encode(this.#context);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#failure = new Error(`Device operation "${name}" failed: ${reason}`, { cause });
    }
    const added = this.#context.dispatches - before;
    this.#dispatches[this.#section] = (this.#dispatches[this.#section] ?? 0) + added;
    this.#account.count(name, { dispatches: added, flops: this.#context.flops - flops });
    this.#busy += performance.now() - start;
  }

  /** Shares the time since the last account between sections: by the GPU's clock, or by dispatches where it has none. */
  #shareTime(): void {
    const ticks = this.#context.ticks();
    const shares = Object.keys(ticks).length > 0 ? ticks : this.#dispatches;
    const total = Object.values(shares).reduce((sum, share) => sum + share, 0);
    this.#dispatches = {};
    if (total === 0) return;
    for (const [section, share] of Object.entries(shares)) {
      this.#account.spend(section, this.#busy / 1000 * share / total);
    }
    this.#busy = 0;
  }
}

function isBytes(buffer: DeviceBuffer): buffer is DeviceBuffer<"u8"> {
  return buffer.type === "u8" && buffer.length > 0;
}
