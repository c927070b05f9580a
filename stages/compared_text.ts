/**
 * How far the packed model is from the original on a text: of its hidden states after a block, and of the next tokens that it expects.
 *
 * The original's last hidden states are kept, from which its head makes its logits again: they take hidden ÷ vocabulary of what logits
 * would. Names and definitions are those of llama.cpp's `llama-perplexity --kl-divergence` (tools/perplexity/perplexity.cpp: mean KLD with
 * its standard error, percentiles between neighbours, same top p, mean and RMS Δp), over all tokens that perplexity is of, where it takes
 * the second half of each window; same top p is the top-1 agreement of exllamav3's `model_diff.py`.
 */
import type { HeadComparison } from "../models/forward.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { Batch, Windows } from "./hidden_states.ts";

/** Values of the original's last hidden states that are kept, at most: of more text the first windows are compared. */
const MOST_KEPT = 1 << 26;

/** Tokens whose hidden states are compared after each block. */
const SAMPLED = 256;

/** The golden ratio's fraction, whose multiples are spread evenly, and never in step with anything. */
const GOLDEN = 0.618033988749895;

/** The next tokens that two models expect, compared over the tokens of some windows. */
export type Divergence = {
  /** Compared tokens. */
  readonly tokens: number;
  /** KL(original ‖ compressed) in nats: its mean with its standard error, and percentiles over tokens. */
  readonly kl: {
    readonly mean: number;
    readonly error: number;
    readonly median: number;
    readonly p90: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  /** Share of tokens after which both find the same one the likeliest, and its standard error. */
  readonly same_top: number;
  readonly same_top_error: number;
  /** What the probability of the right token has changed by, compressed − original: its mean, that one's standard error, the root of the mean square. */
  readonly mean_change: number;
  readonly mean_change_error: number;
  readonly rms_change: number;
  /** Tokens by KL divergence, a quarter of a decade each; the first takes all below. */
  readonly histogram: readonly { readonly below: number; readonly tokens: number }[];
  /** Mean KL divergence by how many tokens of the window the models have seen: 1, 2 to 3, 4 to 7 and so on. */
  readonly context: readonly { readonly from: number; readonly to: number; readonly kl: number }[];
};

/** So many of the first windows are compared. */
export function comparedWindows(
  { hidden }: Pick<ModelSpec, "hidden">,
  { windows, length }: Pick<Windows, "windows" | "length">,
): number {
  return Math.min(windows, Math.max(1, Math.floor(MOST_KEPT / (length * hidden))));
}

/**
 * Sums up a comparison.
 *
 * @param length of the windows
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sumUp } from "./compared_text.ts";
 *
 * const even = { loss: Float32Array.of(1, 1), originalLoss: Float32Array.of(1, 1), same: Uint8Array.of(1, 0) };
 * const { kl, same_top, rms_change } = sumUp([{ ...even, divergence: Float32Array.of(0, 2) }], { length: 3 });
 * assert.deepEqual([kl.mean, kl.median, kl.max, same_top, rms_change], [1, 1, 2, 0.5, 0]);
 * ```
 */
export function sumUp(parts: readonly HeadComparison[], { length }: Pick<Windows, "length">): Divergence {
  const tokens = parts.reduce((sum, { loss }) => sum + loss.length, 0);
  const found = new Float64Array(tokens), changes = new Float64Array(tokens);
  let same = 0, at = 0;
  for (const part of parts) {
    for (let i = 0; i < part.loss.length; i++, at++) {
      // Rounding makes of nothing a little less than nothing.
      found[at] = Math.max(0, part.divergence[i]);
      changes[at] = Math.exp(-part.loss[i]) - Math.exp(-part.originalLoss[i]);
      same += part.same[i];
    }
  }
  const context = byContext(found, length), values = found.sort();
  const mean = meanOf(values), change = meanOf(changes), top = same / tokens;
  const error = (square: number) => tokens < 2 ? 0 : Math.sqrt(square / (tokens - 1));
  return {
    tokens,
    kl: {
      ...{ mean, error: error(variance(values, mean)), median: percentile(values, 0.5), p90: percentile(values, 0.9) },
      ...{ p99: percentile(values, 0.99), p999: percentile(values, 0.999), max: values[values.length - 1] },
    },
    ...{ same_top: top, same_top_error: error(top * (1 - top)) },
    ...{ mean_change: change, mean_change_error: error(variance(changes, change)) },
    rms_change: Math.sqrt(changes.reduce((sum, value) => sum + value ** 2, 0) / tokens),
    ...{ histogram: histogramOf(values), context },
  };
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function variance(values: Float64Array, mean: number): number {
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
}

/** Steps of the histogram in a decade, and the step whose end is the first: 10⁻⁶. */
const [STEPS, FIRST_STEP] = [4, -24];

function histogramOf(values: Float64Array): Divergence["histogram"] {
  const steps = Array.from(values, (value) => Math.max(FIRST_STEP, Math.floor(STEPS * Math.log10(value)) + 1));
  const first = steps[0], counts = new Array<number>(steps[steps.length - 1] - first + 1).fill(0);
  for (const step of steps) counts[step - first]++;
  return counts.map((tokens, i) => ({ below: 10 ** ((first + i) / STEPS), tokens }));
}

/** @param values of whole windows, one after another */
function byContext(values: Float64Array, length: number): Divergence["context"] {
  const per = length - 1, sums: number[] = [], counts: number[] = [];
  for (const [i, value] of values.entries()) {
    const bucket = 31 - Math.clz32(i % per + 1);
    sums[bucket] = (sums[bucket] ?? 0) + value;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  return sums.map((sum, bucket) => ({
    ...{ from: 2 ** bucket, to: Math.min(per, 2 ** (bucket + 1) - 1), kl: sum / counts[bucket] },
  }));
}

/** Of ascending values, between the two nearest ones in proportion. */
function percentile(values: Float64Array, share: number): number {
  const at = share * (values.length - 1), low = Math.floor(at), high = Math.min(low + 1, values.length - 1);
  return values[low] + (at - low) * (values[high] - values[low]);
}

/**
 * Hidden states of a few tokens of a text, gathered as batches bring them.
 *
 * They are spread over the text at uneven distances, as even ones are the same places of all windows. The first of a window is none of
 * them: it sees nothing but itself, and many models give it states a hundred times as large as others, which would be all that is compared.
 */
export class SampledStates {
  readonly values: Float32Array;
  readonly #places: readonly number[];
  readonly #hidden: number;
  readonly #length: number;

  constructor({ hidden }: Pick<ModelSpec, "hidden">, { windows, length }: Pick<Windows, "windows" | "length">) {
    const per = length - 1, tokens = windows * per, some = Math.min(SAMPLED, tokens);
    this.#hidden = hidden;
    this.#length = length;
    this.#places = Array.from({ length: some }, (_, i) => {
      const token = Math.floor((i + (i * GOLDEN) % 1) * tokens / some);
      return Math.floor(token / per) * length + 1 + token % per;
    });
    this.values = new Float32Array(some * hidden);
  }

  /** @param states of the batch's windows */
  take({ first, windows }: Batch, states: Float32Array): void {
    const [from, end] = [first * this.#length, (first + windows) * this.#length], width = this.#hidden;
    for (const [i, place] of this.#places.entries()) {
      if (place < from || place >= end) continue;
      this.values.set(states.subarray((place - from) * width, (place - from + 1) * width), i * width);
    }
  }

  /** ‖own − other‖ ÷ ‖other‖ over all of them. */
  awayFrom(other: Float32Array): number {
    let away = 0, norm = 0;
    for (let i = 0; i < this.values.length; i++) {
      away += (this.values[i] - other[i]) ** 2;
      norm += other[i] ** 2;
    }
    return Math.sqrt(away / norm);
  }
}

/** Bytes of the states that are sampled. */
export function sampledBytes({ hidden }: Pick<ModelSpec, "hidden">): number {
  return 4 * SAMPLED * hidden;
}
