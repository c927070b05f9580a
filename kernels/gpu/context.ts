/**
 * The WebGPU side of the device: one command stream, a pool of buffers, pipelines by shader. Operations are encoded in
 * order and sent in batches; only a download waits.
 *
 * Not the operations (each is in its room's `…_webgpu.ts`).
 */
import type { ElementArrays, ElementType } from "../device_buffer.ts";
import { GpuFailures } from "./failures.ts";
import {
  BATCH_WORK,
  type GpuBinding,
  type GpuBuffer,
  type GpuContext,
  type GpuOp,
  type GpuParam,
  SUBGROUP,
  WINDOW_ALIGNMENT,
} from "./op.ts";
import { checkDispatch, GpuPipelines } from "./pipelines.ts";
import { GpuMemory, GpuPool } from "./pool.ts";
import { GpuTimer } from "./timer.ts";

/** How a context is opened. */
export interface GpuContextOptions {
  readonly powerPreference?: GPUPowerPreference;
  /** Bytes that buffers may take together, the pool's included. */
  readonly memoryBudget?: number;
  /** Bytes of one binding, where less than the adapter's limit is wanted. */
  readonly maxBindingSize?: number;
  /** Sends every dispatch by itself, so that an error names the one kernel it belongs to; much slower. */
  readonly apart?: boolean;
}

/** Bytes of the uniforms of one batch. */
const PARAMS_BYTES = 1 << 16;

/** Dispatches of one batch: short ones keep a watchdog quiet and the GPU busy early. */
const BATCH_DISPATCHES = 128;

/** Bytes written to the queue after which it is sent, as it keeps copies until then. */
const STAGED_BYTES = 1 << 26;

/** Default for `memoryBudget`: 4 GiB, several times what one layer of a 7B model takes. */
const MEMORY_BUDGET = 2 ** 32;

/** Limits that are asked for in full: WebGPU's defaults are small. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

/**
 * Opens a WebGPU device with all limits of its adapter.
 *
 * @throws {Error} when there is no adapter
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openGpuContext } from "./context.ts";
 *
 * if (await navigator.gpu.requestAdapter()) {
 *   const context = await openGpuContext();
 *   const twice = { name: "twice", code: `
 *     @group(0) @binding(0) var<storage, read_write> x: array<f32>;
 *     @group(0) @binding(1) var<uniform> length: u32;
 *     @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
 *       if (id.x < length) { x[id.x] *= 2.0; }
 *     }` };
 *   const x = context.upload("f32", Float32Array.of(1, 2, 3));
 *   context.run(twice, [{ buffer: x, access: "read_write" }], [3], [1]);
 *   assert.deepEqual([...(await context.download([x]))[0]], [2, 4, 6]);
 *   context.destroy();
 * }
 * ```
 */
export async function openGpuContext(options: GpuContextOptions = {}): Promise<WebGpuContext> {
  const {
    powerPreference = "high-performance",
    memoryBudget = MEMORY_BUDGET,
    maxBindingSize = Infinity,
    apart = false,
  } = options;
  const adapter = await navigator.gpu.requestAdapter({ powerPreference });
  if (!adapter) {
    throw new Error(
      "Cannot open a WebGPU device as no adapter was found: install a driver for Vulkan (Linux), Metal or Direct3D 12, " +
        'or choose the device "cpu"',
    );
  }
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const timed = adapter.features.has("timestamp-query");
  const { subgroupMinSize: least, subgroupMaxSize: most } = adapter.info;
  const request = (features: readonly GPUFeatureName[]) =>
    adapter.requestDevice({
      label: "pbs2p",
      requiredLimits,
      requiredFeatures: [...features, ...timed ? ["timestamp-query"] as const : []],
    });
  // Deno grants this feature where it is, but does not list it.
  const shared = least === SUBGROUP && most === SUBGROUP
    ? await request(["subgroups"]).catch(() => undefined)
    : undefined;
  const device = shared ?? await request([]), sharing = shared !== undefined;
  return new WebGpuContext(device, adapter.info, { memoryBudget, maxBindingSize, apart, timed, sharing });
}

/** A context with what its owner needs: arrays in and out, seconds, an end. Made by `openGpuContext`. */
export class WebGpuContext implements GpuContext {
  readonly info: GPUAdapterInfo;
  readonly limits: GPUSupportedLimits;
  readonly bindable: number;
  /** Whether threads come in subgroups of exactly `SUBGROUP`, and hand values around in them. */
  readonly sharing: boolean;
  readonly #device: GPUDevice;
  readonly #pool: GpuPool;
  readonly #timer: GpuTimer | undefined;
  readonly #params: GPUBuffer;
  readonly #staged = new ArrayBuffer(PARAMS_BYTES);
  readonly #stagedU32 = new Uint32Array(this.#staged);
  readonly #stagedF32 = new Float32Array(this.#staged);
  readonly #pipelines: GpuPipelines;
  readonly #failures: GpuFailures;
  readonly #dispatchesOfBatch: number;
  #paramsEnd = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #dispatches = 0;
  #flops = 0;
  #batch = 0;
  #written = 0;
  #work = 0;
  #section = "";
  #destroyed = false;

  constructor(
    device: GPUDevice,
    info: GPUAdapterInfo,
    options: {
      readonly memoryBudget: number;
      readonly maxBindingSize: number;
      readonly apart: boolean;
      readonly timed: boolean;
      readonly sharing: boolean;
    },
  ) {
    this.#device = device;
    this.sharing = options.sharing;
    this.info = info;
    this.limits = device.limits;
    const bindingBytes = Math.min(device.limits.maxStorageBufferBindingSize, options.maxBindingSize);
    this.bindable = Math.floor(bindingBytes / 256) * WINDOW_ALIGNMENT;
    this.#dispatchesOfBatch = options.apart ? 1 : BATCH_DISPATCHES;
    this.#failures = new GpuFailures(device);
    this.#pipelines = new GpuPipelines(device, (error) => this.#failures.report(error));
    this.#pool = new GpuPool(device, options.memoryBudget);
    if (options.timed) this.#timer = new GpuTimer(device);
    this.#params = device.createBuffer({
      label: "params",
      size: PARAMS_BYTES,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  /** Dispatches encoded so far. */
  get dispatches(): number {
    return this.#dispatches;
  }

  /** Floating-point operations encoded so far, as dispatches state their work. */
  get flops(): number {
    return this.#flops;
  }

  /** Bytes taken on the device, the pool's included. */
  get memory(): number {
    return this.#pool.bytes;
  }

  run(
    op: GpuOp,
    bindings: readonly GpuBinding[],
    params: readonly GpuParam[],
    workgroups: readonly [number, number?, number?],
  ): void {
    checkDispatch(this, op, bindings, workgroups);
    const [x, y = 1, z = 1] = workgroups;
    if (x === 0 || y === 0 || z === 0) return;
    // Nothing comes of it any more; the download says why.
    if (this.#failures.lost) return;
    const { layout, pipeline } = this.#pipelines.get(op, bindings, params);
    const bytes = Math.max(16, Math.ceil(params.length / 4) * 16);
    if (this.#paramsEnd + bytes > PARAMS_BYTES) this.flush();
    this.#failures.ran(op.name);
    const memories = bindings.map(({ buffer }) => this.#memory(buffer));
    const offset = this.#paramsEnd;
    params.forEach((value, i) => {
      if (typeof value === "number") this.#stagedU32[offset / 4 + i] = value;
      else this.#stagedF32[offset / 4 + i] = value.f32;
    });
    this.#paramsEnd += Math.ceil(bytes / 256) * 256;
    const pass = this.#beginPass();
    const entries: GPUBindGroupEntry[] = memories.map((memory, i) => {
      const { buffer, first = 0, count = buffer.length - first } = bindings[i];
      memory.batch = this.#batch;
      return {
        binding: i,
        resource: { buffer: memory.buffer, offset: first * 4, size: Math.max(16, Math.ceil(count / 4) * 16) },
      };
    });
    entries.push({ binding: entries.length, resource: { buffer: this.#params, offset, size: bytes } });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, this.#device.createBindGroup({ label: op.name, layout, entries }));
    pass.setBindGroup(1, this.#pipelines.zero);
    pass.dispatchWorkgroups(x, y, z);
    this.#work += op.work ?? 0;
    this.#flops += op.work ?? 0;
    if (++this.#dispatches % this.#dispatchesOfBatch === 0 || this.#work >= BATCH_WORK) this.flush();
  }

  scratch<T extends ElementType>(type: T, length: number, { zeroed = true } = {}): GpuMemory<T> {
    return new GpuMemory(type, length, zeroed);
  }

  upload<T extends ElementType>(type: T, data: ElementArrays[T]): GpuMemory<T> {
    const memory = new GpuMemory(type, data.length, false);
    if (data.length === 0) return memory;
    this.#pool.take(memory);
    // What is written to the queue comes before the batch that is being encoded.
    if (memory.dirty && memory.batch === this.#batch) this.flush();
    const words = data instanceof Uint8Array ? Uint32Array.from(data) : data;
    // The queue refuses shared memory.
    const bytes = words.buffer instanceof ArrayBuffer
      ? new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
      : new Uint8Array(words.slice().buffer);
    this.#device.queue.writeBuffer(memory.buffer, 0, bytes);
    this.#written += words.byteLength;
    if (this.#written > STAGED_BYTES) this.flush();
    return memory;
  }

  release(buffer: GpuBuffer): void {
    this.#pool.release(owned(buffer));
  }

  /**
   * Waits for everything encoded and hands buffers back, which are released by that.
   * @throws {Error} what the GPU reported since the last download, or that it was lost
   */
  async download<const B extends readonly GpuBuffer[]>(
    buffers: B,
  ): Promise<{ -readonly [I in keyof B]: B[I] extends GpuBuffer<infer T> ? ElementArrays[T] : never }> {
    const staging = buffers.map((buffer) => {
      const memory = this.#memory(buffer), size = Math.max(4, buffer.length * 4);
      const copy = this.#device.createBuffer({
        label: "download",
        size,
        usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
      });
      this.#endPass();
      this.#encode().copyBufferToBuffer(memory.buffer, 0, copy, 0, size);
      return copy;
    });
    this.flush();
    try {
      const maps = staging.map((copy) => copy.mapAsync(GPUMapMode.READ));
      if (maps.length === 0) maps.push(this.#device.queue.onSubmittedWorkDone());
      const timed = this.#timer?.collect();
      // All of them, so that none is left rejected and unheard.
      const outcomes = await Promise.allSettled([...maps, timed]);
      const failed = outcomes.find((outcome) => outcome.status === "rejected");
      await this.#failures.settle(failed?.reason);
      return buffers.map((buffer, i) => {
        const words = staging[i].getMappedRange();
        const array = fromWords(buffer.type, words, buffer.length);
        this.release(buffer);
        return array;
      }) as { -readonly [I in keyof B]: B[I] extends GpuBuffer<infer T> ? ElementArrays[T] : never };
    } finally {
      for (const copy of staging) copy.destroy();
    }
  }

  /** What is encoded from here on counts for `section`. */
  section(name: string): void {
    if (name === this.#section) return;
    this.#endPass();
    this.#section = name;
  }

  /** The GPU's time by section since the last call, in ticks whose length only the driver knows. */
  ticks(): Readonly<Record<string, number>> {
    return this.#timer?.ticks() ?? {};
  }

  /** Sends what is encoded. */
  flush(): void {
    this.#endPass();
    this.#written = this.#work = 0;
    if (this.#paramsEnd > 0) {
      this.#device.queue.writeBuffer(this.#params, 0, this.#staged, 0, this.#paramsEnd);
      this.#paramsEnd = 0;
    }
    const encoder = this.#encoder;
    this.#encoder = undefined;
    if (encoder) this.#timer?.resolve(encoder);
    this.#device.queue.submit(encoder ? [encoder.finish()] : []);
    this.#failures.endBatch();
    this.#batch++;
  }

  /** Frees everything; nothing may be called after it. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#endPass();
    this.#encoder = undefined;
    this.#destroyed = true;
    this.#failures.close();
    this.#timer?.destroy();
    this.#pool.destroy();
    this.#params.destroy();
    this.#pipelines.destroy();
    this.#device.destroy();
  }

  #memory(buffer: GpuBuffer): GpuMemory {
    const memory = owned(buffer);
    if (this.#pool.take(memory) && memory.dirty && memory.zeroed) {
      this.#endPass();
      this.#encode().clearBuffer(memory.buffer);
    }
    memory.batch = this.#batch;
    return memory;
  }

  #encode(): GPUCommandEncoder {
    return this.#encoder ??= this.#device.createCommandEncoder();
  }

  #beginPass(): GPUComputePassEncoder {
    if (this.#pass) return this.#pass;
    const timestampWrites = this.#timer?.begin(this.#section);
    return this.#pass = this.#encode().beginComputePass({ timestampWrites });
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }
}

/** @throws {TypeError} when the buffer is another device's */
function owned<T extends ElementType>(buffer: GpuBuffer<T>): GpuMemory<T> {
  if (!(buffer instanceof GpuMemory)) throw new TypeError("Cannot use a buffer of another device");
  return buffer;
}

function fromWords<T extends ElementType>(type: T, words: ArrayBuffer, length: number): ElementArrays[T] {
  const arrays: { readonly [K in ElementType]: () => ElementArrays[K] } = {
    f32: () => new Float32Array(words).slice(0, length),
    u8: () => Uint8Array.from(new Uint32Array(words).subarray(0, length)),
    u32: () => new Uint32Array(words).slice(0, length),
  };
  return arrays[type]();
}
