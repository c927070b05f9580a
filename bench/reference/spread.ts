/**
 * What a row's perplexity is worth where blocks amplify what those before them get wrong: the recipe made again with dampings so near its own
 * that nobody would choose between them. Where the record's perplexity lies among theirs, chance alone takes a result so far.
 */
import { boundsOf, type Comparison } from "./compare.ts";

/** The setting that is changed; what multiplies it. */
const DAMPING = "stages.compensate.damping", NEARBY = [0.98, 0.99, 1.01, 1.02];

/** Perplexities of a recipe and of those that hardly differ from it. */
export interface Spread {
  readonly least: number;
  readonly most: number;
  /** Whether the record's is one that lies between them. */
  readonly covers: boolean;
}

/**
 * The dampings that show a row's spread; none where the row is met, or it is not only a chaotic model's perplexity that is missed.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { boundsOf, compareOutcome } from "./compare.ts";
 * import { nearbySettings } from "./spread.ts";
 *
 * const row = { perplexity: 12_749, layerError: 0.087, keep: [] }, ours = { ...row, perplexity: 33_627 };
 * const comparison = compareOutcome(ours, row, boundsOf("smollm2-135m"));
 * const settings = nearbySettings({ model: "smollm2-135m", comparison, damping: 0.01 });
 * assert.equal(settings[2], "stages.compensate.damping=0.0101");
 * ```
 */
export function nearbySettings({ model, comparison, damping }: {
  readonly model: string;
  readonly comparison: Comparison;
  readonly damping: number | undefined;
}): string[] {
  const { perplexity, layerError, sameKeep } = comparison;
  const alone = perplexity.verdict === "missed" && layerError?.verdict !== "missed" && sameKeep;
  if (!boundsOf(model).logarithmic || !alone || damping === undefined || damping === 0) return [];
  return NEARBY.map((factor) => `${DAMPING}=${Number((damping * factor).toPrecision(6))}`);
}

/** @param perplexities of the recipe itself and of those nearby */
export function spreadOf(perplexities: readonly number[], record: number): Spread {
  const least = Math.min(...perplexities), most = Math.max(...perplexities);
  return { least, most, covers: least <= record && record <= most };
}
