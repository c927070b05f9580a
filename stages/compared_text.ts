/**
 * How far the packed model is from the original on a text: of its hidden states after a block, and of the next tokens that it expects.
 *
 * The original's last hidden states are kept, from which its head makes its logits again: they take hidden ÷ vocabulary of what logits
 * would. Names and definitions are those of llama.cpp's perplexity tool (mean and percentiles of KL divergence, same top p, RMS Δp).
 */
import type { HeadComparison } from "../models/forward.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { Batch, Windows } from "./hidden_states.ts";

/** Values of the original's last hidden states that are kept, at most: of more text the first windows are compared. */
const MOST_KEPT = 1 << 26;

/** Tokens whose hidden states are compared after each block, evenly spaced. */
const SAMPLED = 256;

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
  /** Root of the mean square of what the probability of the right token has changed by. */
  readonly rms_change: number;
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
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sumUp } from "./compared_text.ts";
 *
 * const even = { loss: Float32Array.of(1, 1), originalLoss: Float32Array.of(1, 1), same: Uint8Array.of(1, 0) };
 * const { kl, same_top, rms_change } = sumUp([{ ...even, divergence: Float32Array.of(0, 2) }]);
 * assert.deepEqual([kl.mean, kl.median, kl.max, same_top, rms_change], [1, 1, 2, 0.5, 0]);
 * ```
 */
export function sumUp(parts: readonly HeadComparison[]): Divergence {
  const tokens = parts.reduce((sum, { loss }) => sum + loss.length, 0);
  // Rounding makes of nothing a little less than nothing.
  const values = Float64Array.from(parts.flatMap(({ divergence }) => [...divergence]), (value) => Math.max(0, value))
    .sort();
  const mean = values.reduce((sum, value) => sum + value, 0) / tokens;
  const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const same = parts.reduce((sum, part) => sum + part.same.reduce((a, b) => a + b, 0), 0) / tokens;
  const changes = parts.reduce(
    (sum, { loss, originalLoss }) =>
      loss.reduce((all, value, i) => all + (Math.exp(-value) - Math.exp(-originalLoss[i])) ** 2, sum),
    0,
  );
  const error = (square: number) => tokens < 2 ? 0 : Math.sqrt(square / (tokens - 1) / tokens);
  return {
    tokens,
    kl: {
      ...{ mean, error: error(spread), median: percentile(values, 0.5), p90: percentile(values, 0.9) },
      ...{ p99: percentile(values, 0.99), p999: percentile(values, 0.999), max: values[values.length - 1] },
    },
    ...{ same_top: same, same_top_error: error(tokens * same * (1 - same)), rms_change: Math.sqrt(changes / tokens) },
  };
}

/** Of ascending values, between the two nearest ones in proportion. */
function percentile(values: Float64Array, share: number): number {
  const at = share * (values.length - 1), low = Math.floor(at), high = Math.min(low + 1, values.length - 1);
  return values[low] + (at - low) * (values[high] - values[low]);
}

/** Hidden states of a few tokens of a text, gathered as batches bring them. */
export class SampledStates {
  readonly values: Float32Array;
  readonly #places: readonly number[];
  readonly #hidden: number;
  readonly #length: number;

  constructor({ hidden }: Pick<ModelSpec, "hidden">, { windows, length }: Pick<Windows, "windows" | "length">) {
    const tokens = windows * length, some = Math.min(SAMPLED, tokens);
    this.#hidden = hidden;
    this.#length = length;
    this.#places = Array.from({ length: some }, (_, i) => Math.floor((i + 0.5) * tokens / some));
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
