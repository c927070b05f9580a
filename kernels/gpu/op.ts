/** What operations on the WebGPU device are made of: shaders, their operands, and the context that runs them. */
import type { ElementArrays, ElementType } from "../device_buffer.ts";

/** Memory on the GPU. Every element takes 4 bytes there, u8 too (one per u32), so that no two threads share a word. */
export interface GpuBuffer<T extends ElementType = ElementType> {
  readonly type: T;
  /** Elements. */
  readonly length: number;
}

/** A compute shader. */
export interface GpuOp {
  /** Name for people: it labels what the GPU reports. */
  readonly name: string;
  /** WGSL with one entry point `main`. */
  readonly code: string;
  /** Values of its `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  /**
   * Floating-point operations of the dispatch, where they are many: they are counted, and batches of long dispatches
   * kept short.
   */
  readonly work?: number;
}

/** A storage buffer of one dispatch, or a window of it. */
export interface GpuBinding {
  readonly buffer: GpuBuffer;
  readonly access: "read" | "read_write";
  /** First element that is bound, a multiple of `WINDOW_ALIGNMENT`; the shader counts from it. */
  readonly first?: number;
  /** Elements that are bound; to the end by default. */
  readonly count?: number;
}

/** A member of the uniform `params`: u32 unless marked. */
export type GpuParam = number | { readonly f32: number };

/** What the host side of an operation needs. */
export interface GpuContext {
  /**
   * Encodes one dispatch. `bindings` are `@group(0) @binding(0…n−1)` in order, `params` the uniform at `@binding(n)`.
   * @throws {RangeError} when a binding or the dispatch is beyond the adapter's limits, one buffer is bound both "read"
   * and "read_write", or the shader's uniform has another number of members
   * @throws {Error} when a buffer was released
   */
  run(
    op: GpuOp,
    bindings: readonly GpuBinding[],
    params: readonly GpuParam[],
    workgroups: readonly [number, number?, number?],
  ): void;
  /**
   * A buffer of zeros, or of anything. Release it once the last dispatch that uses it is encoded.
   * @param options.zeroed false where all of it is written before it is read
   */
  scratch<T extends ElementType>(type: T, length: number, options?: { readonly zeroed?: boolean }): GpuBuffer<T>;
  /** An array on the device; u8 is widened. */
  upload<T extends ElementType>(type: T, data: ElementArrays[T]): GpuBuffer<T>;
  /** Hands a buffer back to the pool. */
  release(buffer: GpuBuffer): void;
  /** What was asked of the adapter and granted. */
  readonly limits: GPUSupportedLimits;
  /** Largest number of elements that one binding may have. */
  readonly bindable: number;
}

/** Windows of buffers start at multiples of this many elements (256 bytes, WebGPU's default alignment). */
export const WINDOW_ALIGNMENT = 64;

/** Threads of a subgroup where shaders make use of them: that of software devices; a GPU's is larger, or varies. */
export const SUBGROUP = 8;

/** Floating-point operations of one batch: some tenths of a second at 100 GFLOP/s, well within a watchdog's patience. */
export const BATCH_WORK = 2 ** 35;
