/** The step at which a layer's codes take the bits that it may have. */
import { codedBits, costTable, entropyBits, type Histogram, histogram } from "../../kernels/coding/ops.ts";
import type { Device } from "../../kernels/device.ts";
import { CONTEXTS, partsOf, type States, SYMBOLS } from "../../kernels/trellis/ops.ts";
import { type Coded, type Columns, type Feedback, inRows, pass, someRows } from "./pass.ts";

/** What is to be met. */
export interface Goal {
  /** Bits a weight that the layer may take, all that is stored included. */
  readonly bits: number;
  readonly states: States;
  /** Squared steps that a bit is worth. */
  readonly lambda: number;
}

/** A layer whose codes keep to their bits. */
export interface Found {
  readonly coded: Coded;
  /** rows × cols */
  readonly codes: Int16Array;
  /** Bits a weight, all that is stored included. */
  readonly bits: number;
  /** Rows after which trellises start anew. */
  readonly strip: number;
  /** What this thread took beside the device, in seconds. */
  readonly seconds: number;
}

/** Rows that the step is looked for with at first, where there are more. */
const SOME_ROWS = 128;

/**
 * Rows after which trellises start anew, so that strips can be decoded side by side. On Gaussian weights 1024 cost 0.008 dB, 256 cost
 * 0.034 dB (0.006 bits).
 */
const STRIP = 1024;

/** Passes over some rows, and over all. */
const TRIES = 8, FULL_TRIES = 8;

/** How near to the goal is near enough: over some rows, in bits, and over all, as a share of the goal. */
const NEAR = 0.01, NEARLY_ALL = 0.994;
/** Passes after which what codes cost is learned again; then it stays, so that bits depend on the step alone. */
const LEARNED = 2;
/** Where the goal is aimed at. */
const AIM = 0.998;

/** What rows, columns, steps and tables take, about, until it is known. */
const ROW_BITS = 4, COLUMN_BITS = 9, TABLE_BITS = 300;

/**
 * Looks for the step c, of which a layer's columns have multiples, with some of the rows first, then with all.
 *
 * @returns the codes that come nearest to the goal without going beyond
 * @throws {RangeError} when so few bits do not hold the layer
 */
export async function search(
  device: Device,
  { name, columns, feedback, group, goal, diagonalU }: {
    readonly name: string;
    readonly columns: Columns;
    readonly feedback: Feedback | undefined;
    readonly group: number;
    readonly goal: Goal;
    /** [cols]: U_jj. */
    readonly diagonalU: Float32Array;
  },
): Promise<Found> {
  const { states, lambda } = goal, strip = STRIP, { rows, cols } = columns, weights = rows * cols;
  let seconds = 0,
    costs = costsOf({ states, counts: new Uint32Array(2 * CONTEXTS * SYMBOLS), raw: 0 }, lambda);
  const go = async (of: Columns, step: number) => {
    const coded = await pass(device, { columns: of, feedback, group, step, rounding: { states, strip, costs } });
    const { columnSizes, stepLogs } = coded, codes = inRows(coded.codes, of.rows);
    const layer = { rows: of.rows, cols, states, strip, codes, rowSizes: of.rowSizes, columnSizes };
    seconds += coded.seconds;
    return { coded, codes, layer: { ...layer, steps: Int16Array.from(stepLogs) } };
  };
  const every = Math.max(1, Math.floor(rows / SOME_ROWS)), aim = AIM * goal.bits;
  let step = firstStep(columns, diagonalU, goal);
  if (every > 1) {
    const some = someRows(columns, every), besides = ROW_BITS / cols + COLUMN_BITS / rows + TABLE_BITS / weights;
    const next = towards(aim);
    for (let i = 0; i < TRIES; i++) {
      const counted = histogram((await go(some, step)).layer),
        bits = entropyBits(counted) / (some.rows * cols) + besides;
      if (i < LEARNED) costs = costsOf(counted, lambda);
      step = next(step, bits);
      if (Math.abs(bits - aim) < NEAR && i > 0) break;
    }
  }
  let best: Omit<Found, "seconds"> | undefined;
  const next = towards(aim);
  for (let i = 0; i < FULL_TRIES && !(best && best.bits >= NEARLY_ALL * goal.bits); i++) {
    const { coded, codes, layer } = await go(columns, step), bits = codedBits(layer) / weights;
    if (bits <= goal.bits && bits > (best?.bits ?? 0)) best = { coded, codes, bits, strip };
    if (every === 1 && i < LEARNED) costs = costsOf(histogram(layer), lambda);
    step = next(step, bits);
  }
  if (best) return { ...best, seconds };
  throw new RangeError(
    `Cannot compress layer "${name}" into ${goal.bits} bits a weight as no step that was tried leaves so few: what is stored ` +
      "besides its codes may take most of them; raise stages.trellis.bits, or stages.coarse-search.bits",
  );
}

/** What codes cost, by how often they occur. */
function costsOf(seen: Histogram, lambda: number): Int32Array {
  return partsOf(costTable(seen), lambda);
}

/**
 * Steps that lead to so many bits: by the line through the last two that were tried. A bit is about an octave of steps, where most
 * codes are 0 less.
 */
function towards(goal: number): (step: number, bits: number) => number {
  let last: { readonly octave: number; readonly bits: number } | undefined, slope = goal > 1.5 ? -0.95 : -0.75;
  return (step, bits) => {
    const octave = Math.log2(step);
    if (last && Math.abs(octave - last.octave) > 1e-4) {
      slope = Math.max(-1.1, Math.min(-0.3, (bits - last.bits) / (octave - last.octave)));
    }
    last = { octave, bits };
    return 2 ** (octave + Math.max(-2, Math.min(2, (goal - bits) / slope)));
  };
}

/** Where the search begins: what a Gaussian of the layer's columns would need. */
function firstStep({ columnRms }: Columns, diagonalU: Float32Array, { bits, states }: Goal): number {
  let logs = 0, live = 0;
  columnRms.forEach((rms, j) => {
    if (rms === 0) return;
    logs += Math.log(rms / diagonalU[j]);
    live++;
  });
  // log2 √(2πe) is what a step's worth of a Gaussian takes; a trellis' points are half as far apart as a quantizer's.
  const octaves = 0.5 * Math.log2(2 * Math.PI * Math.E) - (states === 1 ? 0 : 0.85);
  return Math.exp(logs / Math.max(live, 1)) * 2 ** (octaves - bits);
}
