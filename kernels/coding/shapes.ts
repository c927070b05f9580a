/**
 * What codes are like, in a few numbers: a generalised Gaussian density over the points of a quantizer, as wide as the context says.
 *
 * A code stands for the weights of a cell around its point. Where rates count in the choice of codes, cells are not those of nearest
 * points: zero takes more, and the more so the smaller the weights are. So a quantizer has six numbers: the width and the exponent of
 * the density, how far the first edge is moved, what is left of that from one edge to the next, and how the edges and the exponent
 * go with the logarithm of the size.
 */
import { pointOf, type States } from "../trellis/ops.ts";
import { exp2, log2 } from "./elementary.ts";

/** Numbers of a shape. */
export const SHAPE_FIELDS = 6;

/** Shapes of a layer's quantizers, [quantizers, SHAPE_FIELDS], in the units of `UNITS`. */
export type Shapes = Int8Array;

/** What 1 stands for, of: width (octaves), exponent, first edge (octaves), what is left of it, both slopes. */
const UNITS = [1 / 64, 1 / 32, 1 / 64, 1 / 128, 1 / 64, 1 / 64] as const;

/** Where nothing is known: as 8 states and a price of bits leave ordinary weights at two bits each. */
const DEFAULTS = {
  1: [15, 64, 0, 0, 0, 0],
  4: [4, 70, 3, 38, -12, -15, 14, 78, -20, 4, -15, -19],
  8: [4, 70, 3, 38, -12, -15, 14, 78, -20, 4, -15, -19],
} as const;

/** The shapes of a layer of which nothing is known. */
export function defaultShapes(states: States): Shapes {
  return Int8Array.from(DEFAULTS[states]);
}

/** Least exponent of a density. */
const LEAST_EXPONENT = 0.25;
/** The context of size 1: whole ones begin a quarter below their middle. */
const MIDDLE = 47.75;
/** Octaves from size 1 that slopes reach. */
const REACH = 3;
/** Where the density has no mass any more: it is 2^−40 there. */
const NOTHING = 40;

/** Cells of one quantizer in one context. */
export interface Cells {
  readonly states: States;
  readonly quantizer: number;
  /** Quarter octaves, as `contextOf` counts them; it may lie between two. */
  readonly context: number;
  readonly shapes: Shapes;
}

/**
 * The mass of codes from 0 on, of 0 itself the half, up to a total that is not 1: [n] of those to n·2^low − short.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { contextOf } from "../trellis/ops.ts";
 * import { defaultShapes, masses } from "./shapes.ts";
 *
 * // A Gaussian of size 1 on whole numbers: 38.3 % are rounded to 0, 24.2 % to 1.
 * const context = contextOf(0, 0), cells = { states: 1, quantizer: 0, context, shapes: defaultShapes(1) } as const;
 * const [half, ...rest] = masses(cells, { count: 8 }), total = 2 * rest[6];
 * assert.ok(Math.abs(2 * half / total - 0.383) < 0.02);
 * assert.ok(Math.abs((rest[0] - half) / total - 0.242) < 0.01);
 * ```
 * @param count how many
 * @param low codes are taken together by 2^low
 * @param short 1 where a sum ends before the code that begins the next ones; [0] is 0 then
 */
export function masses(
  { states, quantizer, context, shapes }: Cells,
  { count, low = 0, short = 0 }: { readonly count: number; readonly low?: number; readonly short?: 0 | 1 },
): Float64Array {
  const at = quantizer * SHAPE_FIELDS, field = (i: number) => shapes[at + i] * UNITS[i];
  const octaves = Math.max(-REACH, Math.min(REACH, (context - MIDDLE) / 4));
  const width = exp2((context - MIDDLE) / 4 + field(0)),
    exponent = Math.max(LEAST_EXPONENT, field(1) + field(5) * octaves);
  const moved = exp2(field(2) + field(4) * octaves) - 1, left = field(3);
  const found = new Float64Array(count), reach = width * exp2(log2(NOTHING) / exponent);
  /** The edge behind code k. */
  const edge = (k: number, kept: number) => {
    const middle = (pointOf(states, quantizer, k) + pointOf(states, quantizer, k + 1)) / 2;
    return middle * (1 + moved * kept);
  };
  let from = 0, kept = 1, sum = 0;
  for (let n = short; n < count; n++) {
    const to = Math.max(from, edge(n * 2 ** low - short, kept));
    if (from < reach) sum += integral(from, Math.min(to, reach), { width, exponent, parts: n < 3 ? 8 : 3 });
    // A tiny mass keeps every symbol possible and sums ordered.
    sum += 1e-12;
    found[n] = sum;
    from = to;
    kept = low === 0 ? kept * left : 0;
  }
  return found;
}

/** ∫ 2^−(x/width)^exponent dx by the rule of midpoints. */
function integral(
  from: number,
  to: number,
  { width, exponent, parts }: { readonly width: number; readonly exponent: number; readonly parts: number },
): number {
  const step = (to - from) / parts;
  if (!(step > 0)) return 0;
  let sum = 0;
  for (let i = 0; i < parts; i++) sum += exp2(-exp2(exponent * log2((from + (i + 0.5) * step) / width)));
  return sum * step;
}
