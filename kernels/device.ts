/**
 * The device: where arrays live and operations run. The layer loop knows only this, and the operations of the rooms.
 *
 * Every call enqueues and returns at once; only `download` waits, and one download ends a layer. What depends on data
 * (how many columns are salient, where segments are cut) therefore stays in device buffers.
 */
import type { DeviceBuffer, ElementArrays, ElementType } from "./device_buffer.ts";
import type { Op } from "./op.ts";

export {
  type DeviceBuffer,
  type ElementArrays,
  type ElementType,
  expectShape,
  type Matrix,
  matrix,
  part,
} from "./device_buffer.ts";

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

/**
 * Memory, and what runs operations on it. Opened by `openCpuDevice` and `openWebGpuDevice`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "./cpu.ts";
 * import { type Device, matrix } from "./device.ts";
 * import { copy } from "./matrix/ops.ts";
 *
 * const device: Device = openCpuDevice();
 * const from = matrix(device.upload("f32", Float32Array.of(1, 2)), 1, 2), to = matrix(device.alloc("f32", 2), 1, 2);
 * device.run(copy, to, from);
 * assert.deepEqual(await device.download([to.buffer]), [Float32Array.of(1, 2)]);
 * assert.equal(device.counters().copy.calls, 1);
 * await device.destroy();
 * ```
 */
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
  /**
   * Enqueues an operation.
   * @throws {RangeError} when the shapes of its operands do not fit
   */
  run<A extends readonly unknown[]>(op: Op<A>, ...args: NoInfer<A>): void;
  /** Seconds of what is enqueued from here on count for `section`. */
  section(name: string): void;
  /** Seconds by section since the last call; complete after a download. */
  spent(): Readonly<Record<string, number>>;
  /** What was enqueued since the last call, by operation. */
  counters(): Readonly<Record<string, OpCount>>;
  /** Frees everything; nothing may be called after it. */
  destroy(): Promise<void>;
}

/** The array that a buffer comes back as. */
export type Downloaded<B> = B extends DeviceBuffer<infer T> ? ElementArrays[T] : never;
