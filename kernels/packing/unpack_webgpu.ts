/** `unpackCodes` on WebGPU: first which weights are kept, then the bits that are theirs. */
import type { DeviceBuffer, Matrix } from "../device.ts";
import { checkShape, maskDigits } from "./pack.ts";
import {
  chooseTable,
  gpuPackPatterns,
  gpuPlaneCounts,
  markWords,
  SECTION,
  sectionWindows,
  uploadWords,
  withSections,
  withSums,
} from "./pack_webgpu.ts";
import { FILL, grid, readsBuffer, rowWindows, writesBuffer } from "../gpu/dispatch.ts";
import type { PlacedPlanes } from "./plane_buffer.ts";
import words from "./plane_words.wgsl" with { type: "text" };
import { radixCode } from "./radix.ts";
import unpackCodes from "./unpack_codes.wgsl" with { type: "text" };
import unpackColumns from "./unpack_columns.wgsl" with { type: "text" };
import unpackMask from "./unpack_mask.wgsl" with { type: "text" };
import unpackPatterns from "./unpack_patterns.wgsl" with { type: "text" };
import unpackSegments from "./unpack_segments.wgsl" with { type: "text" };
import type { GpuContext } from "../gpu/op.ts";

/** A shader that reads planes. */
function withPlanes(code: string): string {
  return withSections(`${words}\n${code}`);
}

const UNPACK_MASK = { name: "unpack_mask", code: withSections(unpackMask) };
const UNPACK_COLUMNS = { name: "unpack_columns", code: unpackColumns };
const UNPACK_CODES = { name: "unpack_codes", code: withPlanes(withSums(unpackCodes)) };
const UNPACK_PATTERNS = { name: "unpack_patterns", code: withPlanes(unpackPatterns) };
const UNPACK_SEGMENTS = { name: "unpack_segments", code: withPlanes(unpackSegments) };

/** Kinds of mask, as the shader has them; ranks are read by another. */
const MASK_KINDS = { none: 0, structured: 1, unstructured: 2, "semi-structured": 2 } as const;

/**
 * See `unpackPlanes`.
 *
 * @throws {RangeError} for a shape that no layer has, or planes beyond one binding
 */
export function gpuUnpackPlanes(
  context: GpuContext,
  codes: Matrix<"u8">,
  found: DeviceBuffer<"u32">,
  planes: DeviceBuffer<"u32">,
  placed: PlacedPlanes,
): void {
  checkShape(placed);
  const { rows, cols, type, segments, starts } = placed, weights = rows * cols;
  context.run(FILL, [writesBuffer(found)], [found.length, 0, 0], grid(context, found.length));
  unpackMaskInto(context, codes, found, planes, placed);
  const columns = context.scratch("u32", cols);
  if (placed.salient) {
    context.run(
      UNPACK_COLUMNS,
      [writesBuffer(columns), readsBuffer(planes)],
      [cols, starts.salient],
      grid(context, cols),
    );
  }
  const counts = gpuPlaneCounts(context, found, { codes, columns, segments: 0, full: false });
  const marksWords = markWords(weights), marks = context.scratch("u32", 2 * marksWords);
  if (segments > 1) {
    const code = radixCode(segments), tile = code.widths.length - 1, widths = uploadWords(context, code.widths);
    context.run(
      UNPACK_SEGMENTS,
      [writesBuffer(marks), writesBuffer(found), readsBuffer(planes), readsBuffer(widths)],
      [code.base, tile, starts.segments, planes.length, marksWords],
      grid(context, Math.ceil(weights / tile)),
    );
    context.release(widths);
  }
  for (const { bound, first, length } of sectionWindows(context, codes, "read_write")) {
    context.run(
      UNPACK_CODES,
      [bound.binding, readsBuffer(planes), readsBuffer(marks), readsBuffer(columns), readsBuffer(counts)],
      [length, first, cols, bound.offset, starts.signs, starts.second_signs, planes.length, marksWords],
      grid(context, length, SECTION),
    );
  }
  if (type === "semi-structured" && placed.mask === "bitmask") gpuPackPatterns(context, found, codes, placed);
  for (const buffer of [columns, counts, marks]) context.release(buffer);
}

function unpackMaskInto(
  context: GpuContext,
  codes: Matrix<"u8">,
  found: DeviceBuffer<"u32">,
  planes: DeviceBuffer<"u32">,
  placed: PlacedPlanes,
): void {
  const { cols, keep, of, type, starts } = placed, digits = maskDigits(placed);
  if (!digits) {
    for (const { bound, first, length } of sectionWindows(context, codes, "read_write")) {
      context.run(
        UNPACK_MASK,
        [bound.binding, readsBuffer(planes)],
        [length, first, cols, bound.offset, MASK_KINDS[type], starts.mask],
        grid(context, length),
      );
    }
    return;
  }
  const { code, rowBits } = digits, tile = code.widths.length - 1, tiles = Math.ceil(cols / of / tile);
  const widths = uploadWords(context, code.widths), choose = uploadWords(context, chooseTable(of));
  for (const { row, rows, written: [to] } of rowWindows(context, { written: [codes] })) {
    context.run(
      UNPACK_PATTERNS,
      [to.binding, writesBuffer(found), readsBuffer(planes), readsBuffer(widths), readsBuffer(choose)],
      [code.base, tile, keep, of, rows, cols, row, to.offset, rowBits, starts.mask, planes.length],
      grid(context, rows * tiles),
    );
  }
  context.release(widths);
  context.release(choose);
}
