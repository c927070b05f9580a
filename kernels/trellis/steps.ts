/** Steps of columns: powers of 2^(1/32), so that a small whole number says a step to about one per cent. */

/** Parts of an octave. */
export const STEP_PARTS = 32;

/** Largest logarithm of a step, up or down: its product with any point is a finite float32. */
export const MAX_STEP = 112 * STEP_PARTS;

/** 2^(n/32), n = 0..31, as float32 has them: what a file says must not depend on an engine's powers. */
const FRACTIONS = Float32Array.of(
  ...[1, 1.0218971967697144, 1.0442737340927124, 1.0671404600143433],
  ...[1.0905077457427979, 1.114386796951294, 1.1387885808944702, 1.1637248992919922],
  ...[1.1892070770263672, 1.215247392654419, 1.2418577671051025, 1.2690509557724],
  ...[1.2968395948410034, 1.3252366781234741, 1.3542555570602417, 1.3839099407196045],
  ...[1.4142135381698608, 1.4451807737350464, 1.4768261909484863, 1.5091644525527954],
  ...[1.5422108173370361, 1.5759809017181396, 1.610490322113037, 1.6457555294036865],
  ...[1.6817928552627563, 1.7186193466186523, 1.7562521696090698, 1.7947090864181519],
  ...[1.8340080976486206, 1.8741676807403564, 1.9152065515518188, 1.9571441411972046],
);

/**
 * The step of a logarithm, exactly as it is multiplied with.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { logOfStep, stepOf } from "./steps.ts";
 *
 * assert.deepEqual([stepOf(0), stepOf(-64), stepOf(16)], [1, 0.25, Math.fround(Math.SQRT2)]);
 * assert.equal(logOfStep(stepOf(-327)), -327);
 * ```
 * @param log parts of an octave, −MAX_STEP to MAX_STEP
 */
export function stepOf(log: number): number {
  const octave = Math.floor(log / STEP_PARTS);
  let step = FRACTIONS[log - octave * STEP_PARTS];
  for (let i = 0; i < octave; i++) step *= 2;
  for (let i = 0; i > octave; i--) step /= 2;
  return step;
}

/**
 * The logarithm of a step.
 *
 * @throws {RangeError} when the step is none that `stepOf` gives
 */
export function logOfStep(step: number): number {
  const log = step > 0 && step < Infinity ? Math.round(STEP_PARTS * Math.log2(step)) : NaN;
  if (Math.abs(log) <= MAX_STEP && stepOf(log) === step) return log;
  throw new RangeError(
    `Cannot code a step as it must be 2^(i/${STEP_PARTS}) in float32 for a whole |i| ≤ ${MAX_STEP}: current value is ${step}`,
  );
}

/**
 * The logarithm of the step that is nearest to a positive number, by ratio.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { logNear, stepOf } from "./steps.ts";
 *
 * assert.deepEqual([0.5, stepOf(-77) * 1.01, 1e-300].map(logNear), [-32, -77, -3584]);
 * ```
 */
export function logNear(step: number): number {
  return Math.max(-MAX_STEP, Math.min(MAX_STEP, Math.round(Math.log2(step) * STEP_PARTS)));
}
