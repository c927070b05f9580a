/**
 * The WebGPU device: every operation in compute shaders. Operations are encoded in order as they are called and sent in
 * batches, so nothing waits before a download; what differs from the CPU device is rounding, as sums are float32 or pairs of
 * float32 here.
 */
import type { Device, DeviceBuffer, Downloaded, ElementArrays, ElementType, KernelChoice, OpCount } from "./device.ts";
import { DeviceAccount } from "./device_account.ts";
import { bytesOfWords, gpuNarrow, gpuWiden, wordsOfBytes } from "./gpu/bytes.ts";
import { type GpuContextOptions, openGpuContext, type WebGpuContext } from "./gpu/context.ts";
import { tuneGemm, type TuningStore } from "./matrix/ops.ts";
import type { Op } from "./op.ts";
import { type Attributes, beginning, ended } from "../telemetry/spans.ts";

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
 * import { gemm } from "./matrix/ops.ts";
 * import { openWebGpuDevice } from "./webgpu.ts";
 *
 * if (await navigator.gpu.requestAdapter()) {
 *   const device = await openWebGpuDevice();
 *   const a = matrix(device.upload("f32", Float32Array.of(1, 2, 3, 4)), 2, 2);
 *   const out = matrix(device.alloc("f32", 4), 2, 2);
 *   device.run(gemm, out, a, a, { transposeB: true });
 *   const [product] = await device.download([out.buffer]);
 *   assert.deepEqual([...product], [5, 11, 11, 25]);
 *   await device.destroy();
 * }
 * ```
 */
export async function openWebGpuDevice({ tuning, ...options }: WebGpuDeviceOptions = {}): Promise<Device> {
  const context = await openGpuContext(options);
  try {
    return new WebGpuDevice(context, (await tuneGemm(context, tuning)).choices);
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
  #failure: Error | undefined;
  #section = "";
  /** Milliseconds of encoding and waiting since the last account. */
  #busy = 0;
  /** When the first operation since the last download was enqueued, where spans are wanted. */
  #began = 0;
  /** Dispatches by section since the last account. */
  #dispatches: Record<string, number> = {};
  readonly #account = new DeviceAccount();

  constructor(context: WebGpuContext, choices: readonly KernelChoice[]) {
    const { description, device, vendor } = context.info;
    this.#context = context;
    this.name = `WebGPU, ${description || device || vendor || "unnamed adapter"}`;
    this.choices = choices;
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
    const start = performance.now(), began = this.#began || beginning(), dispatches = { ...this.#dispatches };
    this.#began = 0;
    const arrays: readonly unknown[] = await this.#downloadNarrow(buffers);
    this.#busy += performance.now() - start;
    this.#shareTime();
    ended("kernels", began, () => attributesOf(this.name, dispatches));
    return arrays as { -readonly [I in keyof B]: Downloaded<B[I]> };
  }

  run<A extends readonly unknown[]>(op: Op<A>, ...args: A): void {
    op.check?.(...args);
    if (this.#failure) return;
    this.#began ||= beginning();
    const start = performance.now(), before = this.#context.dispatches, flops = this.#context.flops;
    try {
      op.gpu(this.#context, ...args);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.#failure = new Error(`Device operation "${op.name}" failed: ${reason}`, { cause });
    }
    const added = this.#context.dispatches - before;
    this.#dispatches[this.#section] = (this.#dispatches[this.#section] ?? 0) + added;
    this.#account.count(op.name, { dispatches: added, flops: this.#context.flops - flops });
    this.#busy += performance.now() - start;
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

/** Attributes of a span of all that was enqueued before a download: a GPU tells when all is done, not each. */
function attributesOf(device: string, dispatches: Readonly<Record<string, number>>): Attributes {
  const counts = Object.entries(dispatches).map(([section, count]) => [`pbs2p.dispatches.${section}`, count] as const);
  return { "pbs2p.device": device, ...Object.fromEntries(counts) };
}
