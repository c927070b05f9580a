/** Layer errors on the windows that were calibrated on beside those on windows that were held out, in words. */
import type { Metrics } from "./metrics.ts";

type Errors = Pick<Metrics["layer_error"], "mean" | "held_out">;

/** How much larger the mean error may be on windows held out before more text is advised. */
const MUCH = 1.15;

/** What to do where errors are much larger on windows held out. @returns undefined where they are not, or none were held out */
export function adviceOn({ mean, held_out: heldOut }: Errors): string | undefined {
  if (heldOut === undefined || !(heldOut.mean > MUCH * mean)) return undefined;
  return "more calibration text would help: raise stages.calibrate.samples";
}

/**
 * Whether more calibration text would help, by how much errors grow on windows that nothing else was told of.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sayHeldOut } from "./held_out.ts";
 *
 * assert.match(sayHeldOut({ mean: 0.02, held_out: { mean: 0.03, layers: [] } }) ?? "", /50 % larger, .* raise stages\.calibrate\.samples/);
 * assert.match(sayHeldOut({ mean: 0.02, held_out: { mean: 0.0202, layers: [] } }) ?? "", /1 % larger: .* would help little/);
 * assert.equal(sayHeldOut({ mean: 0.02 }), undefined);
 * ```
 * @returns undefined where nothing was held out
 */
export function sayHeldOut(
  { mean, held_out: heldOut }: Pick<Metrics["layer_error"], "mean" | "held_out">,
): string | undefined {
  if (heldOut === undefined) return undefined;
  const ratio = mean > 0 ? heldOut.mean / mean : 1, percent = Math.round(100 * Math.abs(ratio - 1));
  const compared = percent === 0
    ? "On windows held out the mean error is the same"
    : `On windows held out the mean error is ${percent} % ${ratio > 1 ? "larger" : "smaller"}`;
  const advice = adviceOn({ mean, held_out: heldOut });
  return advice === undefined
    ? `${compared}: more calibration text would help little.`
    : `${compared}, as layers are fitted to their calibration text: ${advice}.`;
}
