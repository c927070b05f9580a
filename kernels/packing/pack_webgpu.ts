/** `packCodes` on WebGPU: bits to the places that sums over the kept weights before them give. */
import { binomials } from "./combinations.ts";
import type { DeviceBuffer, Matrix } from "../device.ts";
import digits from "./digits.wgsl" with { type: "text" };
import { checkShape, maskDigits, type PlaneShape } from "./pack.ts";
import packBits from "./pack_bits.wgsl" with { type: "text" };
import packColumns from "./pack_columns.wgsl" with { type: "text" };
import packPatterns from "./pack_patterns.wgsl" with { type: "text" };
import packSegments from "./pack_segments.wgsl" with { type: "text" };
import { fixedBits, PLANE_HEADER } from "./plane_buffer.ts";
import columnsCode from "./plane_columns.wgsl" with { type: "text" };
import countsCode from "./plane_counts.wgsl" with { type: "text" };
import scanCode from "./plane_scan.wgsl" with { type: "text" };
import sections from "./plane_sections.wgsl" with { type: "text" };
import sums from "./plane_sums.wgsl" with { type: "text" };
import { radixCode } from "./radix.ts";
import { type GpuBuffer, type GpuContext, WINDOW_ALIGNMENT } from "../gpu/op.ts";
import { denseOffset, FILL, grid, readsBuffer, rowWindows, writesBuffer } from "../gpu/dispatch.ts";
import { bindMatrix, type BoundMatrix } from "../gpu/window.ts";

/** Codes of a workgroup, as the shaders have it. */
export const SECTION = 2048;

/** Rows of one dispatch of a thread to a column: it loops no longer than llvmpipe lets it. */
const MOST_ROWS = 60_000;

/** Codes of one dispatch, short enough for a watchdog. */
const MOST_CODES = 2 ** 24;

/** A shader on sections of codes, with digits. */
export function withSections(code: string): string {
  return `${sections}\n${digits}\n${code}`;
}

/** A shader that sums over the threads of a workgroup. */
export function withSums(code: string): string {
  return `${sums}\n${code}`;
}

const COLUMNS = { name: "plane_columns", code: withSections(columnsCode) };
const PACK_COLUMNS = { name: "pack_columns", code: withSections(packColumns) };
const COUNTS = { name: "plane_counts", code: withSections(countsCode) };
const SCAN = { name: "plane_scan", code: withSums(scanCode) };
const PACK_BITS = { name: "pack_bits", code: withSections(withSums(packBits)) };
const PACK_SEGMENTS = { name: "pack_segments", code: withSections(packSegments) };
const PACK_PATTERNS = { name: "pack_patterns", code: withSections(packPatterns) };

/**
 * See `packPlanes`.
 *
 * @throws {RangeError} for a shape that no layer has, or planes beyond one binding
 */
export function gpuPackPlanes(
  context: GpuContext,
  planes: DeviceBuffer<"u32">,
  codes: Matrix<"u8">,
  shape: PlaneShape,
): void {
  checkShape(shape);
  const { rows, cols, type, segments } = shape, weights = rows * cols;
  const { mask, salient } = fixedBits(shape), structured = type === "structured";
  const salientAt = PLANE_HEADER + Math.ceil(mask / 32), signsAt = salientAt + Math.ceil(salient / 32);
  context.run(FILL, [writesBuffer(planes)], [planes.length, 0, 0], grid(context, planes.length));
  const columns = context.scratch("u32", cols);
  if (shape.salient || structured) {
    for (const { rows, read: [from] } of rowWindows(context, { read: [codes], most: MOST_ROWS })) {
      context.run(COLUMNS, [writesBuffer(columns), from.binding], [rows, cols, from.offset], grid(context, cols));
    }
    context.run(
      PACK_COLUMNS,
      [writesBuffer(planes), writesBuffer(columns)],
      [cols, Number(shape.salient), Number(structured), salientAt, PLANE_HEADER],
      grid(context, Math.ceil(cols / 32)),
    );
  }
  const counts = gpuPlaneCounts(context, planes, { codes, columns, segments, full: type === "none" });
  const marksWords = markWords(weights), marks = context.scratch("u32", 2 * marksWords);
  const masked = type === "unstructured" || (type === "semi-structured" && shape.mask === "bitmask");
  for (const { bound, first, length } of sectionWindows(context, codes)) {
    context.run(
      PACK_BITS,
      [writesBuffer(planes), writesBuffer(marks), bound.binding, readsBuffer(columns), readsBuffer(counts)],
      [length, first, cols, bound.offset, Number(masked), PLANE_HEADER, signsAt, marksWords],
      grid(context, length, SECTION),
    );
  }
  if (segments > 1) {
    const code = radixCode(segments), tile = code.widths.length - 1, widths = uploadWords(context, code.widths);
    context.run(
      PACK_SEGMENTS,
      [writesBuffer(planes), readsBuffer(marks), readsBuffer(widths)],
      [code.base, tile, signsAt, marksWords],
      grid(context, Math.ceil(weights / tile)),
    );
    context.release(widths);
  }
  if (type === "semi-structured") gpuPackPatterns(context, planes, codes, shape);
  for (const buffer of [columns, counts, marks]) context.release(buffer);
}

/** Checks that N of every M are kept, and writes their ranks where the mask is made of those. */
export function gpuPackPatterns(
  context: GpuContext,
  planes: DeviceBuffer<"u32">,
  codes: Matrix<"u8">,
  shape: PlaneShape,
): void {
  const { cols, keep, of } = shape, digits = maskDigits(shape), code = digits?.code ?? radixCode(1);
  const tile = code.widths.length - 1, tiles = Math.ceil(cols / of / tile);
  const widths = uploadWords(context, code.widths), choose = uploadWords(context, digits ? chooseTable(of) : [0]);
  for (const { row, rows, read: [from] } of rowWindows(context, { read: [codes] })) {
    context.run(
      PACK_PATTERNS,
      [writesBuffer(planes), from.binding, readsBuffer(widths), readsBuffer(choose)],
      [
        code.base,
        tile,
        keep,
        of,
        rows,
        cols,
        row,
        from.offset,
        digits?.rowBits ?? 0,
        PLANE_HEADER,
        Number(digits !== undefined),
      ],
      grid(context, rows * tiles),
    );
  }
  context.release(widths);
  context.release(choose);
}

/**
 * Counts of kept weights before each section, and of those with two signs; the totals go to the header.
 *
 * @param header three words or more; what is wrong with the codes is added to the first
 * @param options.segments 0: groups are not checked
 * @param options.full whether all weights must be kept
 */
export function gpuPlaneCounts(
  context: GpuContext,
  header: DeviceBuffer<"u32">,
  { codes, columns, segments, full }: {
    readonly codes: Matrix<"u8">;
    readonly columns: GpuBuffer;
    readonly segments: number;
    readonly full: boolean;
  },
): GpuBuffer<"u32"> {
  const sections = Math.ceil(codes.rows * codes.cols / SECTION);
  const counts = context.scratch("u32", 2 * sections, { zeroed: false });
  for (const { bound, first, length } of sectionWindows(context, codes)) {
    context.run(
      COUNTS,
      [writesBuffer(counts), writesBuffer(header), bound.binding, readsBuffer(columns)],
      [length, first, codes.cols, bound.offset, segments, Number(full)],
      grid(context, length, SECTION),
    );
  }
  context.run(SCAN, [writesBuffer(counts), writesBuffer(header)], [sections], [1]);
  return counts;
}

/** Codes of one dispatch. */
export interface SectionWindow {
  readonly bound: BoundMatrix;
  /** Index in the layer of the first code, a multiple of the section. */
  readonly first: number;
  readonly length: number;
}

/** Cuts codes into whole sections that can be bound. */
export function sectionWindows(
  context: GpuContext,
  codes: Matrix<"u8">,
  access: "read" | "read_write" = "read",
): SectionWindow[] {
  const begin = denseOffset(codes), weights = codes.rows * codes.cols;
  const most = Math.min(MOST_CODES, context.bindable - WINDOW_ALIGNMENT);
  const step = Math.max(1, Math.floor(most / SECTION)) * SECTION, windows: SectionWindow[] = [];
  for (let first = 0; first < weights; first += step) {
    const length = Math.min(step, weights - first);
    const run = { buffer: codes.buffer, rows: 1, cols: length, offset: begin + first, stride: length };
    windows.push({ bound: bindMatrix(run, access), first, length });
  }
  return windows;
}

/** Words of one of the two planes that hold marks before they are digits. */
export function markWords(weights: number): number {
  return Math.ceil(weights / 32) + 1;
}

/** Numbers that a shader looks up. */
export function uploadWords(context: GpuContext, numbers: readonly number[]): GpuBuffer<"u32"> {
  return context.upload("u32", Uint32Array.from(numbers));
}

/** C(n, k), [of, of + 1]. */
export function chooseTable(of: number): number[] {
  return binomials(of).slice(0, of).flatMap((row) => row.slice(0, of + 1));
}
