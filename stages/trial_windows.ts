/** The calibration windows that layers' sensitivities are measured on, and others that what comes of it is checked on. */
import type { Windows } from "./hidden_states.ts";

/** Tokens of each kind at most, unless one window alone has more. */
const TOKENS = 2048;

/** Tokens whose logits are looked at where layers are measured, at most. */
const LOOKED_AT = 256;

/** Windows of both kinds; no window is of both. */
export interface TrialWindows {
  readonly measured: Windows;
  readonly heldOut: Windows;
}

/**
 * How many windows of each kind are taken.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { trialCount } from "./trial_windows.ts";
 *
 * assert.equal(trialCount({ windows: 128, length: 256 }), 8);
 * assert.equal(trialCount({ windows: 128, length: 4096 }), 1);
 * assert.equal(trialCount({ windows: 5, length: 32 }), 2);
 * ```
 */
export function trialCount({ windows, length }: Pick<Windows, "windows" | "length">): number {
  return Math.min(Math.max(1, Math.floor(TOKENS / length)), Math.floor(windows / 2));
}

/**
 * Takes windows evenly from all there are, by turns for one kind and the other.
 *
 * @throws {RangeError} when there is only one
 */
export function trialWindows({ ids, windows, length }: Windows): TrialWindows {
  const each = trialCount({ windows, length });
  if (each === 0) {
    throw new RangeError(`Cannot measure layers as there must be 2 calibration windows: current value is ${windows}`);
  }
  const pick = (first: 0 | 1): Windows => {
    const taken = new Int32Array(each * length);
    for (let i = 0; i < each; i++) {
      const from = Math.floor((2 * i + first) * windows / (2 * each));
      taken.set(ids.subarray(from * length, (from + 1) * length), i * length);
    }
    return { ids: taken, windows: each, length };
  };
  return { measured: pick(0), heldOut: pick(1) };
}

/** Hidden states of at most 256 tokens, evenly spaced. @param states tokens × hidden */
export function someTokens(states: Float32Array, hidden: number): Float32Array {
  const tokens = states.length / hidden, some = Math.min(LOOKED_AT, tokens), rows = new Float32Array(some * hidden);
  for (let i = 0; i < some; i++) {
    const from = Math.floor((i + 0.5) * tokens / some);
    rows.set(states.subarray(from * hidden, (from + 1) * hidden), i * hidden);
  }
  return rows;
}
