/**
 * A packed layer as its mat-vec reads it: a bit to each weight that says whether it is kept, signs and marks of kept weights only,
 * scales as stored.
 *
 * Not a file format: it is made on loading. The file's planes (`pack.ts`), whose digits of base 70 and 3 cost divisions and whose marks
 * have no known place, are up to a sixth smaller. Words lie row beside row, so that neighbouring threads, one to a row, read
 * neighbouring words, and all of them the same inputs.
 */
import { type Device, type DeviceBuffer, expectShape, type Matrix } from "../device.ts";
import { GROUP_SHIFT, KEPT, type QuantizedLayer, scalesPerBlock, SECOND_SIGN, SIGN } from "../binary/ops.ts";

/** Columns whose signs lie together. Kept ones of N:8 fill whole words then. */
export const CHUNK = 256;

/** Words of a plane of one chunk and row. */
const CHUNK_WORDS = CHUNK / 32;

/** What the words of a layer do not say themselves. */
export interface MatVecShape {
  readonly rows: number;
  readonly cols: number;
  /** Consecutive columns that share scales; the last group may be shorter. */
  readonly groupSize: number;
  readonly segments: number;
  /** Whether salient columns have scales of their own. */
  readonly salient: boolean;
  /**
   * Planes with a bit to each weight: 0 where all are kept; 1, the mask; or 2, whose state is 0 for a pruned weight and mark + 1 for
   * a kept one. A mark is a segment less 1, or in a salient column whether the second sign is positive.
   */
  readonly planes: 0 | 1 | 2;
  /** Planes with a bit to each kept weight, besides the signs: the bits of its mark. */
  readonly marks: 0 | 1 | 2;
  /** Words of such a plane in one chunk and row, for all chunks but a last, shorter one, which has `lastSigns`. */
  readonly signs: number;
  readonly lastSigns: number;
  /** Whether scales are half precision, two to a word. */
  readonly half: boolean;
}

/** A layer as its mat-vec reads it. */
export interface MatVecWeights extends MatVecShape {
  /**
   * By chunk, of `CHUNK` columns: [words of a plane, planes, rows] states, then [signs, 1 + marks, rows] signs and marks of kept
   * weights; lowest bit first.
   */
  readonly words: Uint32Array;
  /** [words of a row, rows]; of a row its blocks' scales as `QuantizedLayer` has them. */
  readonly scales: Uint32Array;
  /** [⌈cols / 32⌉], a bit to a column. */
  readonly salientColumns: Uint32Array;
}

/** A packed layer on the device, as `arrangeWeights` has it; made by `uploadPacked`. */
export interface PackedMatrix extends MatVecShape {
  readonly words: DeviceBuffer<"u32">;
  readonly scales: DeviceBuffer<"u32">;
  readonly salientColumns: DeviceBuffer<"u32">;
}

/**
 * Arranges a layer for its mat-vec.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT, KEPT, SIGN } from "../binary/ops.ts";
 * const layer = { rows: 1, cols: 4, groupSize: 4, keep: 2, of: 4, type: "semi-structured", segments: 2, salient: false } as const;
 * const one = KEPT | 1 << GROUP_SHIFT, two = KEPT | 2 << GROUP_SHIFT | SIGN;
 * const { words } = arrangeWeights({ ...layer, codes: Uint8Array.of(0, two, one, 0), scales: Float32Array.of(0, 1, 0, 2) });
 * assert.deepEqual([...words], [0b0110, 0b01, 0b01]); // the mask, then signs and marks of the kept two
 * ```
 * @param layer of at least one row and column; its columns must be salient in all rows or in none
 */
export function arrangeWeights(layer: QuantizedLayer): MatVecWeights {
  const { rows, cols, codes, segments, salient } = layer;
  const prunes = codes.some((code) => !(code & KEPT));
  const kinds = Math.max(segments, salient ? 2 : 1), most = mostSigns(layer), signs = Math.ceil(most.whole / 32);
  // Three marks and the pruned weights are four states: two bits to a weight, or one and two more to a kept one.
  const stacked = prunes && kinds === 3 && 2 * CHUNK_WORDS < CHUNK_WORDS + 2 * signs;
  const shape: MatVecShape = {
    rows,
    cols,
    groupSize: layer.groupSize,
    segments,
    salient,
    planes: stacked ? 2 : prunes ? 1 : 0,
    marks: stacked || kinds === 1 ? 0 : kinds === 2 ? 1 : 2,
    signs,
    lastSigns: Math.ceil(most.last / 32),
    half: new Float16Array(layer.scales).every((scale, i) => scale === layer.scales[i]),
  };
  return { ...shape, words: arrangeCodes(shape, codes), ...arrangeScales(shape, layer) };
}

/** What one chunk has of each row. */
export interface ChunkShape {
  /** Words of a plane with a bit to each weight. */
  readonly perPlane: number;
  /** Words of a plane with a bit to each kept weight. */
  readonly signs: number;
  /** All words. */
  readonly words: number;
}

/** The words of one chunk of a layer, 0 the first. */
export function chunkShape(shape: MatVecShape, chunk: number): ChunkShape {
  const left = shape.cols - chunk * CHUNK;
  const perPlane = left < CHUNK ? Math.ceil(left / 32) : CHUNK_WORDS;
  const signs = left < CHUNK ? shape.lastSigns : shape.signs;
  return { perPlane, signs, words: perPlane * shape.planes + signs * (1 + shape.marks) };
}

/** Vectors that one product takes at most. */
const MAX_VECTORS = 8;

/** @throws {RangeError} when the vectors of a product do not fit it */
export function expectVectors(out: Matrix, { rows, cols }: MatVecShape, x: Matrix): void {
  if (x.rows < 1 || x.rows > MAX_VECTORS) {
    throw new RangeError(
      `Cannot enqueue "packedMatVec" as it takes 1 to ${MAX_VECTORS} vectors: current value is ${x.rows}`,
    );
  }
  expectShape("packedMatVec", x, x.rows, cols);
  expectShape("packedMatVec", out, x.rows, rows);
}

/** Bytes that one mat-vec reads of a layer. */
export function arrangedBytes({ words, scales, salientColumns }: MatVecWeights): number {
  return words.byteLength + scales.byteLength + salientColumns.byteLength;
}

/** Hands an arranged layer over to a device. */
export function uploadPacked(device: Device, weights: MatVecWeights): PackedMatrix {
  const { words, scales, salientColumns, ...shape } = weights;
  return {
    ...shape,
    words: device.upload("u32", words),
    scales: device.upload("u32", scales),
    salientColumns: device.upload("u32", salientColumns),
  };
}

/** Frees a layer on a device. */
export function releasePacked(device: Device, { words, scales, salientColumns }: PackedMatrix): void {
  for (const buffer of [words, scales, salientColumns]) device.release(buffer);
}

/** Most kept weights of a row in a whole chunk, and in the last one where it is shorter. */
function mostSigns({ rows, cols, codes }: QuantizedLayer): { readonly whole: number; readonly last: number } {
  let whole = 0, last = 0;
  for (let row = 0, at = 0; row < rows; row++) {
    for (let first = 0; first < cols; first += CHUNK) {
      const end = at + Math.min(CHUNK, cols - first);
      let kept = 0;
      while (at < end) kept += codes[at++] & KEPT;
      if (first + CHUNK <= cols) whole = Math.max(whole, kept);
      else last = Math.max(last, kept);
    }
  }
  return { whole, last };
}

function arrangeCodes(shape: MatVecShape, codes: Uint8Array): Uint32Array {
  const { rows, cols, planes, marks } = shape, chunks = Math.ceil(cols / CHUNK);
  let length = 0;
  for (let chunk = 0; chunk < chunks; chunk++) length += chunkShape(shape, chunk).words * rows;
  const words = new Uint32Array(length);
  for (let chunk = 0, base = 0; chunk < chunks; chunk++) {
    const { words: perRow, perPlane } = chunkShape(shape, chunk);
    const end = Math.min(cols, (chunk + 1) * CHUNK), signsAt = base + perPlane * planes * rows;
    for (let row = 0; row < rows; row++) {
      for (let col = chunk * CHUNK, i = row * cols + col, sign = 0; col < end; col++, i++) {
        const code = codes[i];
        if (!(code & KEPT)) continue;
        const group = code >>> GROUP_SHIFT, mark = group > 0 ? group - 1 : code & SECOND_SIGN ? 1 : 0;
        const state = planes === 2 ? mark + 1 : 1, at = base + (col % CHUNK >>> 5) * planes * rows + row;
        for (let plane = 0; plane < planes; plane++) words[at + plane * rows] |= (state >>> plane & 1) << col % 32;
        const to = signsAt + (sign >>> 5) * (1 + marks) * rows + row, bit = sign++ % 32;
        words[to] |= (code & SIGN ? 1 : 0) << bit;
        for (let plane = 0; plane < marks; plane++) words[to + (1 + plane) * rows] |= (mark >>> plane & 1) << bit;
      }
    }
    base += perRow * rows;
  }
  return words;
}

function arrangeScales(shape: MatVecShape, layer: QuantizedLayer): Pick<MatVecWeights, "scales" | "salientColumns"> {
  const { rows, cols, codes } = layer;
  const perRow = Math.ceil(cols / layer.groupSize) * scalesPerBlock(layer), per = shape.half ? 2 : 1;
  const scales = new Uint32Array(Math.ceil(perRow / per) * rows);
  const values = shape.half ? new Float16Array(scales.buffer) : new Float32Array(scales.buffer);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let at = 0; at < perRow; at++, i++) {
      values[(Math.floor(at / per) * rows + row) * per + at % per] = layer.scales[i];
    }
  }
  const salientColumns = new Uint32Array(Math.ceil(cols / 32));
  for (let i = 0; layer.salient && i < codes.length; i++) {
    const col = i % cols;
    if (codes[i] & KEPT && codes[i] >>> GROUP_SHIFT === 0) salientColumns[col >>> 5] |= 1 << (col & 31);
  }
  return { scales, salientColumns };
}
