/** How far a compressed model's next tokens are from the original's, in words and numbers. */
import type { Metrics } from "./metrics.ts";
import { formatNumber } from "./numbers.ts";

/** Of one text. */
export type Divergence = NonNullable<Metrics["perplexity"][string]["divergence"]>;

/** Percentiles, as people call them. */
export const PERCENTILES = [["median", "median"], ["p90", "90 %"], ["p99", "99 %"], ["p999", "99.9 %"], [
  "max",
  "largest",
]] as const;

/** A share in percent. */
export function formatPercent(share: number): string {
  return (100 * share).toFixed(1);
}

/** What is told of it beside the perplexity. */
export function sayDivergence({ kl, same_top, rms_change }: Divergence): string[] {
  return [
    `KL ${formatNumber(kl.mean)} nats a token`,
    `median ${formatNumber(kl.median)}`,
    `99 % ${formatNumber(kl.p99)}`,
    `same top token ${formatPercent(same_top)} %`,
    `RMS Δp ${formatPercent(rms_change)} %`,
  ];
}
