/** Zero-shot scores as bars with their standard errors, the original model's beside the compressed one's. */
import * as Plot from "@observablehq/plot";
import type { Html } from "./markup.ts";
import type { Metrics } from "./metrics.ts";
import { draw, END_LABEL, WIDTH } from "./plot.ts";
import { AVERAGE, formatShare, scoresOf } from "./task_scores.ts";

/** Of the score that papers show of each task: `acc`. */
export function taskChart({ tasks }: Pick<Metrics, "tasks">, width: number = WIDTH): Html {
  const shown = scoresOf(tasks).filter(({ metric }) => metric === "acc");
  const bars = shown.flatMap(({ task, original, compressed }) => [
    { task, which: "original", ...original },
    { task, which: "compressed", ...compressed },
  ]);
  const fills: Record<string, string> = { original: "var(--quiet)", compressed: "var(--accent)" };
  const end = (bar: { readonly value: number; readonly error?: number }) => bar.value + (bar.error ?? 0);
  return draw(
    {
      width,
      height: 24 + 46 * shown.length,
      marginLeft: 112,
      // For the words behind the longest.
      marginRight: 94,
      marginTop: 8,
      marginBottom: 8,
      x: { axis: null, domain: [0, Math.max(...bars.map(end), 0.01)] },
      y: { axis: null, domain: ["original", "compressed"] },
      fy: { label: null, domain: shown.map(({ task }) => task), tickSize: 0, padding: 0.25, axis: "left" },
      marks: [
        Plot.barX(bars, {
          ...{ fy: "task", y: "which", x: "value", insetTop: 1, insetBottom: 1 },
          fill: ({ which }) => fills[which],
        }),
        Plot.ruleY(bars.filter(({ error }) => error !== undefined), {
          ...{ fy: "task", y: "which", x2: end, stroke: "var(--text)" },
          x1: ({ value, error }) => Math.max(0, value - error),
        }),
        Plot.text(bars, { fy: "task", y: "which", x: end, text: formatShare, ...END_LABEL }),
      ],
      color: { type: "identity" },
    },
    "Accuracy on tasks",
    bars.map((bar) => `${bar.task === AVERAGE ? "mean over tasks" : bar.task}, ${bar.which}: ${formatShare(bar)} %`)
      .join("; "),
  );
}
