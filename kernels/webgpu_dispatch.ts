/** What the host sides of the shaders share: windows, how many workgroups, pairs of floats. */
import type { ElementType, Matrix } from "./device.ts";
import twoFloatCode from "./two_float.wgsl" with { type: "text" };
import { type GpuBinding, type GpuContext, WINDOW_ALIGNMENT } from "./webgpu_context.ts";

/** Threads of a workgroup in shaders that run one thread for each element or row. */
export const GROUP_THREADS = 64;

/**
 * A shader that computes with pairs of floats (`two_float.wgsl`).
 *
 * @param code a shader with one `main`
 */
export function withTwoFloat(code: string): string {
  return `${twoFloatCode}\n${code}`;
}

/**
 * First element of a matrix without gaps.
 *
 * @throws {RangeError} when it has gaps, or does not lie in its buffer
 */
export function denseOffset({ buffer, rows, cols, offset, stride }: Matrix<ElementType>): number {
  if (rows > 1 && stride !== cols) throw new RangeError(`Cannot use a ${rows}×${cols} window of stride ${stride} here`);
  if (offset + rows * cols > buffer.length) {
    throw new RangeError(`Cannot use ${rows}×${cols} at ${offset} of a buffer of ${buffer.length}`);
  }
  return offset;
}

/** Elements of one window: short enough for a watchdog. */
const WINDOW_ELEMENTS = 2 ** 24;

/** Consecutive rows of a matrix, as much of it as one dispatch reads. */
export interface RowWindow {
  readonly row: number;
  readonly rows: number;
  /** Its first element in the binding. */
  readonly at: number;
  readonly binding: GpuBinding;
}

/**
 * Cuts a matrix without gaps into windows that can be bound.
 *
 * @throws {RangeError} when it has gaps, or does not lie in its buffer
 */
export function rowWindows({ bindable }: Pick<GpuContext, "bindable">, m: Matrix<ElementType>): RowWindow[] {
  const { buffer, rows, cols } = m, start = denseOffset(m);
  const most = Math.min(bindable, WINDOW_ELEMENTS) - WINDOW_ALIGNMENT;
  const step = Math.max(1, Math.floor(most / cols)), windows: RowWindow[] = [];
  for (let row = 0; row < rows; row += step) {
    const some = Math.min(step, rows - row), begin = start + row * cols, at = begin % WINDOW_ALIGNMENT;
    const binding = { buffer, access: "read", first: begin - at, count: at + some * cols } as const;
    windows.push({ row, rows: some, at, binding });
  }
  return windows;
}

/**
 * Workgroups for so many threads, in two dimensions where one does not reach; a shader finds its thread as id.x + id.y
 * · groups.x · size.
 *
 * @param size threads of a workgroup
 */
export function grid({ limits }: GpuContext, threads: number, size: number = GROUP_THREADS): [number, number] {
  const groups = Math.max(1, Math.ceil(threads / size));
  const x = Math.min(groups, limits.maxComputeWorkgroupsPerDimension);
  return [x, Math.ceil(groups / x)];
}

/** A matrix's buffer that a shader reads. */
export function reads(m: Matrix<ElementType>): GpuBinding {
  return { buffer: m.buffer, access: "read" };
}

/** A matrix's buffer that a shader writes. */
export function writes(m: Matrix<ElementType>): GpuBinding {
  return { buffer: m.buffer, access: "read_write" };
}
