/** What the host sides of the shaders share: windows, how many workgroups, pairs of floats. */
import { type ElementType, type Matrix, part } from "../device_buffer.ts";
import fillCode from "./fill.wgsl" with { type: "text" };
import twoFloatCode from "./two_float.wgsl" with { type: "text" };
import { type GpuBinding, type GpuBuffer, type GpuContext, type GpuOp, WINDOW_ALIGNMENT } from "./op.ts";
import { bindMatrix, type BoundMatrix } from "./window.ts";

/** Threads of a workgroup in shaders that run one thread for each element or row. */
export const GROUP_THREADS = 64;

/** Words that are all the same; by its length, where it begins, the word. */
export const FILL: GpuOp = { name: "fill", code: fillCode };

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

/** Most elements of one window: short enough for a watchdog. */
export const WINDOW_ELEMENTS = 2 ** 24;

/** Consecutive rows of matrices, as many as one dispatch takes. */
export interface RowWindow {
  readonly row: number;
  readonly rows: number;
  readonly written: readonly BoundMatrix[];
  readonly read: readonly BoundMatrix[];
}

/**
 * Cuts matrices of equally many rows and without gaps into windows that can be bound.
 *
 * @param matrices.most rows at a time
 * @throws {RangeError} when one has gaps, or does not lie in its buffer
 */
export function rowWindows(
  { bindable }: Pick<GpuContext, "bindable">,
  { written = [], read = [], most = Infinity }: {
    readonly written?: readonly Matrix<ElementType>[];
    readonly read?: readonly Matrix<ElementType>[];
    readonly most?: number;
  },
): RowWindow[] {
  const all = [...written, ...read], rows = Math.max(...all.map((m) => m.rows));
  all.forEach(denseOffset);
  const elements = Math.min(bindable, WINDOW_ELEMENTS) - WINDOW_ALIGNMENT;
  const step = Math.max(1, Math.floor(Math.min(most, elements / Math.max(...all.map((m) => m.cols)))));
  const windows: RowWindow[] = [];
  for (let row = 0; row < rows; row += step) {
    const some = Math.min(step, rows - row);
    windows.push({
      row,
      rows: some,
      written: written.map((m) => bindMatrix(part(m, { row, rows: some }), "read_write")),
      read: read.map((m) => bindMatrix(part(m, { row, rows: some }), "read")),
    });
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

/** A buffer that a shader reads. */
export function readsBuffer(buffer: GpuBuffer): GpuBinding {
  return { buffer, access: "read" };
}

/** A buffer that a shader writes. */
export function writesBuffer(buffer: GpuBuffer): GpuBinding {
  return { buffer, access: "read_write" };
}
