/** Chooses the next token from logits: greedy, or drawn with temperature, top-k and top-p. */

/** How tokens are drawn. */
export interface SampleOptions {
  /** 0 (default) takes the likeliest token, always. */
  readonly temperature?: number;
  /** Only the k likeliest tokens; 0 (default) means all. */
  readonly topK?: number;
  /** Only the likeliest tokens that together have this probability; default 1, all (Holtzman et al. 1904.09751). */
  readonly topP?: number;
  /** Same seed, same logits, same tokens; default 0. */
  readonly seed?: number;
}

/**
 * A chooser of tokens. Ties go to the lower id.
 *
 * @returns a function from logits [vocab] to a token id
 * @throws {RangeError} an option out of range
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sampler } from "./sample.ts";
 *
 * assert.equal(sampler()(Float32Array.of(0, 2, 2, 1)), 1);
 * const draw = sampler({ temperature: 1, topK: 2, seed: 7 });
 * assert.ok([1, 3].includes(draw(Float32Array.of(0, 5, 1, 5))));
 * ```
 */
export function sampler(
  { temperature = 0, topK = 0, topP = 1, seed = 0 }: SampleOptions = {},
): (logits: Float32Array) => number {
  check("temperature", temperature, temperature >= 0, "0 or more");
  check("topK", topK, Number.isInteger(topK) && topK >= 0, "an integer, 0 or more");
  check("topP", topP, topP > 0 && topP <= 1, "more than 0 and at most 1");
  check("seed", seed, Number.isInteger(seed), "an integer");
  if (temperature === 0) return likeliest;
  const random = uniform(seed);
  return (logits) => draw(logits, { temperature, topK, topP }, random());
}

function draw(
  logits: Float32Array,
  { temperature, topK, topP }: Required<Omit<SampleOptions, "seed">>,
  random: number,
): number {
  const ascending = logits.slice().sort();
  const size = logits.length;
  const weight = (logit: number) => Math.exp((logit - ascending[size - 1]) / temperature);
  let count = topK === 0 ? size : Math.min(topK, size);
  if (topP < 1) {
    let total = 0;
    for (let i = 1; i <= count; i++) total += weight(ascending[size - i]);
    let sum = 0;
    let kept = 0;
    while (kept < count && sum < topP * total) sum += weight(ascending[size - ++kept]);
    count = kept;
  }
  const threshold = ascending[size - count];
  let ties = count;
  for (const logit of logits) if (logit > threshold) ties--;
  const candidates: number[] = [];
  for (const [id, logit] of logits.entries()) {
    if (logit > threshold || (logit === threshold && ties-- > 0)) candidates.push(id);
  }
  let left = random * candidates.reduce((sum, id) => sum + weight(logits[id]), 0);
  for (const id of candidates) {
    left -= weight(logits[id]);
    if (left < 0) return id;
  }
  return candidates[candidates.length - 1];
}

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id;
  return best;
}

/** Numbers from 0 to below 1 with 32 random bits each (splitmix, Steele et al. 2014, with a 32-bit finaliser). */
function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    mixed ^= mixed >>> 15;
    return (mixed >>> 0) / 2 ** 32;
  };
}

function check(name: string, value: number, valid: boolean, wanted: string): void {
  if (valid) return;
  throw new RangeError(`Cannot sample tokens as ${name} must be ${wanted}: current value is ${value}`);
}
