/** Memory of the WebGPU device: taken when first used, handed back for the next buffer of its size, within a budget. */
import type { ElementType } from "../device_buffer.ts";

/** A buffer of the WebGPU device; its memory comes from a `GpuPool`. */
export class GpuMemory<T extends ElementType = ElementType> {
  readonly type: T;
  readonly length: number;
  /** Whether it must hold zeros at first. */
  readonly zeroed: boolean;
  /** Undefined until first used and after the release. */
  #buffer: GPUBuffer | undefined;
  /** Whether the memory held another buffer before, so that it is not zero. */
  dirty = false;
  /** The batch of commands that used it last. */
  batch = -1;
  released = false;

  constructor(type: T, length: number, zeroed: boolean) {
    this.type = type;
    this.length = length;
    this.zeroed = zeroed;
  }

  /** @throws {Error} when it has no memory */
  get buffer(): GPUBuffer {
    if (!this.#buffer) throw new Error(`A ${this.type} buffer of ${this.length} has no memory`);
    return this.#buffer;
  }

  /** Whether it has memory. */
  get taken(): boolean {
    return this.#buffer !== undefined;
  }

  /** Takes memory, or parts with it. */
  set memory(buffer: GPUBuffer | undefined) {
    this.#buffer = buffer;
  }
}

interface Free {
  readonly buffer: GPUBuffer;
  readonly batch: number;
}

/** Buffers by size. Sizes are rounded up by at most an eighth, so that similar ones are reused. */
export class GpuPool {
  readonly #device: GPUDevice;
  readonly #budget: number;
  readonly #free = new Map<number, Free[]>();
  /** Memories in use. */
  readonly #used = new Set<GpuMemory>();
  #bytes = 0;

  /** @param budget bytes that all buffers may take together */
  constructor(device: GPUDevice, budget: number) {
    this.#device = device;
    this.#budget = budget;
  }

  /** Bytes taken from the device, free ones included. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Gives a buffer its memory, unless it has some.
   *
   * @returns whether it was given some now; it then holds zeros unless `dirty`
   * @throws {Error} when the buffer was released
   * @throws {RangeError} when it is larger than the device's buffers, or the budget is spent
   */
  take(memory: GpuMemory): boolean {
    if (memory.released) throw new Error(`A ${memory.type} buffer of ${memory.length} was used after its release`);
    if (memory.taken) return false;
    const size = roundSize(Math.max(1, memory.length) * 4), most = this.#device.limits.maxBufferSize;
    const free = this.#free.get(size)?.pop();
    this.#used.add(memory);
    if (free) {
      memory.memory = free.buffer;
      memory.batch = free.batch;
      memory.dirty = true;
      return true;
    }
    if (size > most) {
      throw new RangeError(`Cannot take a buffer of ${size} bytes: the WebGPU device's largest has ${most}`);
    }
    if (this.#bytes + size > this.#budget) this.#trim();
    if (this.#bytes + size > this.#budget) {
      throw new RangeError(
        `Cannot take a buffer of ${size} bytes as the WebGPU device's budget is ${this.#budget}: ` +
          `current use is ${this.#bytes}`,
      );
    }
    memory.memory = this.#device.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    this.#bytes += size;
    return true;
  }

  /** Takes a buffer's memory back; what is encoded already still finds it. */
  release(memory: GpuMemory): void {
    if (memory.released) return;
    memory.released = true;
    this.#used.delete(memory);
    if (!memory.taken) return;
    const { buffer, batch } = memory, { size } = buffer;
    memory.memory = undefined;
    const free = this.#free.get(size);
    if (free) free.push({ buffer, batch });
    else this.#free.set(size, [{ buffer, batch }]);
  }

  /** Frees all memory, also what is in use. */
  destroy(): void {
    this.#trim();
    for (const memory of this.#used) {
      if (memory.taken) memory.buffer.destroy();
      memory.memory = undefined;
      memory.released = true;
    }
    this.#used.clear();
    this.#bytes = 0;
  }

  /** Destroys what is free. */
  #trim(): void {
    for (const list of this.#free.values()) {
      for (const { buffer } of list) {
        this.#bytes -= buffer.size;
        buffer.destroy();
      }
    }
    this.#free.clear();
  }
}

/** At least 256 bytes, else an eighth of a power of two as step. */
function roundSize(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(bytes)) - 3));
  return Math.ceil(bytes / step) * step;
}
