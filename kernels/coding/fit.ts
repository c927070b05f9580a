/** The shapes that codes have, found by descent along one number after the other: a file's tables are theirs. */
import { CONTEXTS, lowBits, type States, SYMBOLS, trellisOf } from "../trellis/ops.ts";
import { type Cells, defaultShapes, masses, SHAPE_FIELDS, type Shapes } from "./shapes.ts";

/** Codes below which nothing is fitted. */
const FEWEST = 64;
/** Share of the codes that a context must have to be worth its time. */
const LEAST_SHARE = 0.002;
/** First step of each number of a shape, in its units. */
const STEPS = [8, 8, 8, 16, 8, 8] as const;
/** Times that all numbers are tried. */
const ROUNDS = 24;
/** Share of all bits that a round must save for the next one to be worth its time. */
const ENOUGH = 2e-5;

/** What is fitted to. */
export interface Counted {
  readonly states: States;
  /** [2 quantizers, CONTEXTS, SYMBOLS]. */
  readonly counts: Uint32Array;
}

/**
 * Chances of magnitudes without their low bits.
 *
 * @returns [SYMBOLS], all above 0; the last is of all larger ones
 */
export function magnitudeChances(cells: Cells): Float64Array {
  const low = lowBits(cells.context),
    short = low === 0 ? 0 : 1,
    sums = masses(cells, { count: SYMBOLS + short, low, short });
  const chances = new Float64Array(SYMBOLS), total = sums[SYMBOLS - 1 + short];
  chances[0] = sums[short] / total;
  for (let s = 1; s < SYMBOLS; s++) chances[s] = (sums[s + short] - sums[s + short - 1]) / total;
  return chances;
}

/**
 * Fits shapes to counts by the bits that they would cost.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { CONTEXTS, contextOf, SYMBOLS } from "../trellis/ops.ts";
 * import { fitShapes } from "./fit.ts";
 * import { defaultShapes, SHAPE_FIELDS } from "./shapes.ts";
 *
 * const counts = new Uint32Array(2 * CONTEXTS * SYMBOLS);
 * assert.deepEqual(fitShapes({ states: 8, counts }), defaultShapes(8));
 * // Wider than the context says.
 * counts.set([100, 80, 60, 40, 30, 20, 10], contextOf(0, 0) * SYMBOLS);
 * assert.ok(fitShapes({ states: 1, counts })[0] > defaultShapes(1)[0] + 16);
 * assert.equal(fitShapes({ states: 1, counts }).length, SHAPE_FIELDS);
 * ```
 */
export function fitShapes(counted: Counted): Shapes {
  const shapes = defaultShapes(counted.states);
  for (let quantizer = 0; quantizer < trellisOf(counted.states).count; quantizer++) fitOne(shapes, quantizer, counted);
  return shapes;
}

/** Changes the shape of one quantizer as long as that saves bits. */
function fitOne(shapes: Shapes, quantizer: number, { states, counts }: Counted): void {
  const found: { readonly context: number; readonly own: Uint32Array; readonly sum: number }[] = [];
  let all = 0;
  for (let context = 0; context < CONTEXTS; context++) {
    const at = (quantizer * CONTEXTS + context) * SYMBOLS, own = counts.subarray(at, at + SYMBOLS);
    const sum = own.reduce((sum, count) => sum + count, 0);
    if (sum > 0) found.push({ context, own, sum });
    all += sum;
  }
  if (all < FEWEST) return;
  const contexts = found.filter(({ sum }) => sum > LEAST_SHARE * all);
  const bits = () => {
    let sum = 0;
    for (const { context, own } of contexts) {
      const chances = magnitudeChances({ states, quantizer, context, shapes });
      for (let s = 0; s < SYMBOLS; s++) if (own[s] > 0) sum -= own[s] * Math.log2(chances[s]);
    }
    return sum;
  };
  const steps: number[] = [...STEPS], at = quantizer * SHAPE_FIELDS;
  let best = bits();
  for (let round = 0; round < ROUNDS; round++) {
    const before = best;
    for (let i = 0; i < SHAPE_FIELDS; i++) {
      const was = shapes[at + i], step = Math.round(steps[i]);
      if (step === 0) continue;
      steps[i] /= 2;
      for (const change of [step, -step]) {
        const tried = was + change;
        if (tried < -128 || tried > 127) continue;
        shapes[at + i] = tried;
        const found = bits();
        if (found < best) {
          best = found;
          steps[i] = 1.5 * step * Math.sign(change);
          break;
        }
        shapes[at + i] = was;
      }
    }
    if (before - best < ENOUGH * best && steps.every((step) => Math.abs(step) < 4)) return;
  }
}
