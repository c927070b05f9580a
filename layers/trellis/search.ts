/** The step at which a layer's codes take the bits that it may have. */
import type { Device } from "../../kernels/device.ts";
import { MAX_STRIP, partsOf, type States } from "../../kernels/trellis/ops.ts";
import { type Coded, type Columns, type Feedback, pass, someRows } from "./pass.ts";
import { costTable, entropyBits, type Histogram, histogramT } from "./temp_model.ts";

/** What is to be met. */
export interface Goal {
  /** Bits a weight, all that is stored included. */
  readonly bits: number;
  readonly states: States;
  /** Squared steps that a bit is worth. */
  readonly lambda: number;
}

/** Codes within their budget. */
export interface Found {
  readonly coded: Coded;
  readonly step: number;
  /** Bits a weight. */
  readonly bits: number;
  readonly strip: number;
  readonly passes: number;
}

const ROWS = 128;
const TRIES = 8;

export async function search(
  device: Device,
  { columns, feedback, group, goal, diagonalU }: {
    readonly columns: Columns;
    readonly feedback: Feedback | undefined;
    readonly group: number;
    readonly goal: Goal;
    /** [cols] */
    readonly diagonalU: Float32Array;
  },
): Promise<Found> {
  const { states, lambda } = goal, strip = MAX_STRIP;
  let passes = 0, seen: Histogram | undefined;
  const count = (of: Columns, coded: Coded) => {
    seen = histogramT({ ...of, states, strip, codes: coded.codes, columnSizes: coded.columnSizes });
    const { codes, tables } = entropyBits(seen);
    return { codes: codes / (of.rows * of.cols), tables };
  };
  const side = (12 * columns.cols + 4 * columns.rows) / (columns.rows * columns.cols);
  const run = async (of: Columns, step: number) => {
    const bits = costTable(states, lambda > 0 ? seen : undefined);
    const rounding = { states, strip, costs: partsOf(bits, lambda) };
    passes += of.rows / columns.rows;
    return await pass(device, { columns: of, feedback, group, step, rounding });
  };
  let logs = 0, live = 0;
  columns.columnRms.forEach((rms, j) => {
    if (rms > 0) logs += Math.log(rms / diagonalU[j]), live++;
  });
  let step = Math.exp(logs / Math.max(live, 1)) * 2 ** -goal.bits * (states === 1 ? 4.13 : 2.27);
  const every = Math.max(1, Math.floor(columns.rows / ROWS)), some = every > 1 ? someRows(columns, every) : columns;
  let tableShare = 0;
  for (let i = 0; i < TRIES; i++) {
    const coded = await run(some, step), { codes, tables } = count(some, coded);
    tableShare = tables / (columns.rows * columns.cols);
    const rate = codes + side + tableShare;
    if (Math.abs(rate - goal.bits) < 0.01 && i > 1) break;
    step *= 2 ** Math.max(-2, Math.min(2, (rate - goal.bits) * (goal.bits > 1.5 ? 1 : 1.3)));
  }
  for (let i = 0;; i++) {
    const coded = await run(columns, step), { codes, tables } = count(columns, coded);
    const rate = codes + side + tables / (columns.rows * columns.cols);
    if ((rate <= goal.bits && rate > goal.bits * 0.99) || i > TRIES) {
      return { coded, step, bits: rate, strip, passes };
    }
    step *= 2 ** ((rate - goal.bits * 0.996) * (goal.bits > 1.5 ? 1 : 1.3));
  }
}
