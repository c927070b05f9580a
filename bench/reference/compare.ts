/** Whether a result meets a row of the prototype's record: the bounds, and what is printed of them. */

/** What is compared of a result. */
export interface Outcome {
  readonly perplexity: number;
  /** Mean over the layers; of a row, absent where there is none to hold a result against. */
  readonly layerError?: number;
  /** N per block. */
  readonly keep: readonly number[];
}

/** By how much a result may be worse, as shares of the row's values. */
export interface Bounds {
  readonly perplexity: number;
  /** Whether the perplexities' logarithms are compared. */
  readonly logarithmic: boolean;
  readonly layerError: number;
}

/** `better`: beyond the bound, on the good side. */
export type Verdict = "met" | "better" | "missed";

/** A result beside its row. */
export interface Comparison {
  /** ours / the row's − 1, of the perplexities or their logarithms. */
  readonly perplexity: { readonly deviation: number; readonly verdict: Verdict };
  readonly layerError?: { readonly deviation: number; readonly verdict: Verdict };
  readonly sameKeep: boolean;
  readonly verdict: Verdict;
}

/** How far the perplexity of the uncompressed model may be off, either way. */
export const ORIGINAL_BOUND = 0.001;

/** The bounds of a model's rows. */
export function boundsOf(model: string): Bounds {
  return model === "tiny-llama"
    ? { perplexity: 0.03, logarithmic: false, layerError: 0.02 }
    : { perplexity: 0.02, logarithmic: true, layerError: 0.02 };
}

/**
 * Compares a result with its row.
 *
 * @example
 * ```ts
 * import { boundsOf, compareOutcome } from "./compare.ts";
 * import assert from "node:assert/strict";
 * const row = { perplexity: 37, layerError: 0.08, keep: [5, 4, 3] };
 * const ours = { perplexity: 38, layerError: 0.07, keep: [5, 4, 3] };
 * assert.equal(compareOutcome(ours, row, boundsOf("tiny-llama")).verdict, "better");
 * ```
 * @throws {RangeError} when a number is not finite and positive
 */
export function compareOutcome(ours: Outcome, row: Outcome, bounds: Bounds): Comparison {
  for (const value of [ours.perplexity, ours.layerError, row.perplexity, row.layerError]) {
    if (value !== undefined && !(value > 0 && Number.isFinite(value))) {
      throw new RangeError(
        `Cannot compare with a row as numbers must be finite and positive: current value is ${value}`,
      );
    }
  }
  const scale = bounds.logarithmic ? Math.log : (value: number) => value;
  const perplexity = judge(scale(ours.perplexity) / scale(row.perplexity) - 1, bounds.perplexity);
  const layerError = ours.layerError === undefined || row.layerError === undefined
    ? undefined
    : judge(ours.layerError / row.layerError - 1, bounds.layerError);
  const sameKeep = ours.keep.length === row.keep.length && ours.keep.every((n, block) => n === row.keep[block]);
  const verdicts = [perplexity.verdict, layerError?.verdict ?? "met", sameKeep ? "met" : "missed"];
  const verdict = verdicts.includes("missed") ? "missed" : verdicts.includes("better") ? "better" : "met";
  return { perplexity, ...(layerError === undefined ? {} : { layerError }), sameKeep, verdict };
}

/** `+1.2 %`. */
export function percent(share: number): string {
  const text = (100 * share).toFixed(1);
  return `${share > 0 && Number(text) !== 0 ? "+" : ""}${Number(text) === 0 ? "0.0" : text} %`;
}

function judge(deviation: number, bound: number): { readonly deviation: number; readonly verdict: Verdict } {
  return { deviation, verdict: deviation > bound ? "missed" : deviation < -bound ? "better" : "met" };
}
