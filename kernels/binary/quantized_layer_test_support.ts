/** Random layers for tests: any shape, any kind of mask, no maths behind them. */
import * as fc from "fast-check";
import { GROUP_SHIFT, KEPT, type QuantizedLayer, scalesPerBlock, SECOND_SIGN, SIGN } from "./quantized_layer.ts";
import type { PruningType } from "../scores/ops.ts";

/** What a random layer is made from. */
export type LayerShape = Omit<QuantizedLayer, "codes" | "scales">;

/** Layer shapes of every type and N:M, with odd sizes and short last blocks. */
export const layerShapes: fc.Arbitrary<LayerShape> = fc.record({
  rows: fc.integer({ min: 1, max: 13 }),
  runs: fc.integer({ min: 1, max: 19 }),
  of: fc.integer({ min: 1, max: 32 }),
  keepShare: fc.double({ min: 0, max: 1, noNaN: true }),
  groupSize: fc.constantFrom(1, 3, 8, 64, 128),
  type: fc.constantFrom<PruningType>("semi-structured", "unstructured", "structured", "none"),
  segments: fc.integer({ min: 1, max: 4 }),
  salient: fc.boolean(),
}).map(({ runs, keepShare, ...shape }) => ({
  ...shape,
  cols: shape.type === "semi-structured" ? runs * shape.of : runs,
  keep: 1 + Math.floor(keepShare * (shape.of - 1)),
}));

/** Numbers in [0, 1), the same for the same seed (mulberry32, public domain). */
export function makeRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A random layer of that shape; pruned weights have code 0, so that unpacking gives the very same codes.
 *
 * @param seed of masks, signs, groups and scales; scales are exact in half precision
 */
export function randomLayer(shape: LayerShape, seed: number): QuantizedLayer {
  const { rows, cols, keep, of, type, segments, salient } = shape;
  const random = makeRandom(seed);
  const isSalient = Uint8Array.from({ length: cols }, () => salient && random() < 0.2 ? 1 : 0);
  const columnKept = Uint8Array.from({ length: cols }, () => random() < keep / of ? 1 : 0);
  const codes = new Uint8Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let first = 0; first < cols; first += of) {
      const width = Math.min(of, cols - first);
      const order = Array.from({ length: width }, (_, i) => ({ i, key: random() })).sort((a, b) => a.key - b.key);
      for (const [place, { i }] of order.entries()) {
        const column = first + i;
        const kept = {
          "semi-structured": place < keep,
          unstructured: random() < keep / of,
          structured: columnKept[column] === 1,
          none: true,
        }[type];
        if (!kept) continue;
        const sign = random() < 0.5 ? SIGN : 0;
        codes[row * cols + column] = isSalient[column]
          ? KEPT | sign | (random() < 0.5 ? SECOND_SIGN : 0)
          : KEPT | sign | (1 + Math.floor(random() * segments)) << GROUP_SHIFT;
      }
    }
  }
  const blocks = Math.ceil(cols / shape.groupSize);
  const scales = Float32Array.from(
    { length: rows * blocks * scalesPerBlock(shape) },
    () => Math.floor(random() * 2048 - 1024) / 4096,
  );
  return { ...shape, codes, scales };
}
