/**
 * Powers and logarithms that are the same to the bit wherever they are computed: tables of a file are made of them, and Math.exp may
 * differ by the last bit from one engine to the next. Sums, products and quotients of doubles may not (IEEE 754).
 */

/** ln(2)^n / n!, n = 0..10: 2^f = Σ cₙ fⁿ within 10⁻¹³ for |f| ≤ 1/2. */
const POWERS = [
  1,
  0.6931471805599453,
  0.2402265069591007,
  0.05550410866482158,
  0.009618129107628477,
  0.0013333558146428443,
  0.00015403530393381608,
  0.000015252733804059841,
  0.0000013215486790144307,
  1.0178086009239699e-7,
  7.0549116208011e-9,
] as const;

/** 2 / (n ln 2), n = 1, 3, … 17: log2(m) = Σ cₙ tⁿ with t = (m − 1)/(m + 1), within 10⁻¹⁴ for 1/√2 ≤ m ≤ √2. */
const LOGARITHMS = [
  2.8853900817779268,
  0.9617966939259756,
  0.5770780163555854,
  0.41219858311113245,
  0.3205988979753252,
  0.2623081892525388,
  0.22195308321368668,
  0.1923593387851951,
  0.16972882833987805,
] as const;

const DOUBLE = new Float64Array(1), WORDS = new Uint32Array(DOUBLE.buffer);
/** Which word of a double has its exponent. */
const HIGH = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0;

/**
 * 2^x for −1000 ≤ x ≤ 1000; what lies beyond is taken as these.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { exp2 } from "./elementary.ts";
 *
 * assert.deepEqual([exp2(-3), exp2(0), exp2(10)], [1 / 8, 1, 1024]);
 * assert.ok(Math.abs(exp2(0.5) - Math.SQRT2) < 1e-12);
 * ```
 */
export function exp2(x: number): number {
  const within = x < -1000 ? -1000 : x > 1000 ? 1000 : x, whole = Math.floor(within + 0.5), f = within - whole;
  let sum = POWERS[10];
  for (let n = 9; n >= 0; n--) sum = sum * f + POWERS[n];
  WORDS[1 - HIGH] = 0;
  WORDS[HIGH] = (whole + 1023) << 20;
  return sum * DOUBLE[0];
}

/**
 * log2(x) of a normal positive number.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { log2 } from "./elementary.ts";
 *
 * assert.deepEqual([log2(1 / 8), log2(1), log2(1024)], [-3, 0, 10]);
 * assert.ok(Math.abs(log2(3) - Math.log2(3)) < 1e-12);
 * ```
 */
export function log2(x: number): number {
  DOUBLE[0] = x;
  let exponent = (WORDS[HIGH] >>> 20) - 1023;
  WORDS[HIGH] = WORDS[HIGH] & 0xfffff | 1023 << 20;
  let m = DOUBLE[0];
  if (m > Math.SQRT2) {
    m /= 2;
    exponent++;
  }
  const t = (m - 1) / (m + 1), square = t * t;
  let sum = LOGARITHMS[8];
  for (let n = 7; n >= 0; n--) sum = sum * square + LOGARITHMS[n];
  return exponent + sum * t;
}
