/** The leaderboard's columns and cells in words, alike in the terminal, in Markdown and on the page. */
import type { SweepRecord } from "../runner/sweep/record.ts";
import { axisText } from "./axis_names.ts";
import type { Leaderboard, Row, Spread } from "./leaderboard.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds, formatSpread } from "./numbers.ts";

/** A column of numbers or words about rows. */
export interface RowColumn {
  readonly head: string;
  /** What it is, for those who ask. */
  readonly title: string;
  readonly cell: (row: Row) => string;
}

/** Columns in their order: what tells a row apart, what it is worth, what it costs. */
export interface RowColumns {
  readonly apart: readonly RowColumn[];
  readonly worth: readonly RowColumn[];
  readonly costs: readonly RowColumn[];
}

/** What the counts of bits mean. */
export const BITS_NOTE =
  "Bits per weight. nominal: as papers count; stored: 8 × bytes ÷ weights of the compressed layers; " +
  "file: the same of the whole packed file.";

/** The columns of a leaderboard; those that say nothing are left out. */
export function columnsOf({ axes, evaluations, originals, rows }: Leaderboard): RowColumns {
  const one = evaluations.length === 1;
  const column = (head: string, title: string, cell: RowColumn["cell"]): RowColumn => ({ head, title, cell });
  const optional = (spread: Spread | undefined, format: (value: number) => string) =>
    spread === undefined ? "–" : format(spread.mean);
  return {
    apart: [
      ...(new Set(originals.map(({ model }) => model)).size > 1
        ? [column("model", "Model", ({ model }) => model)]
        : []),
      ...axes.filter(({ said }) => !said).map(({ path, name }) =>
        column(name, path, ({ values }) => axisText(values[path]))
      ),
      ...(rows.some(({ of }) => of > 1)
        ? [column("n", "Points that repeat each other", ({ points, of }) => countOf(points.length, of))]
        : []),
    ],
    worth: [
      ...evaluations.map((name) =>
        column(
          one ? "perplexity" : name,
          `Perplexity, ${name}`,
          ({ perplexity: { [name]: value } }) => value === undefined ? "–" : formatSpread(value.mean, value.sd),
        )
      ),
      column("nominal", "Nominal bits per weight, as papers count", ({ bits }) => formatBits(bits.nominal.mean)),
      column("stored", "Stored bits per weight of the compressed layers", ({ bits }) => formatBits(bits.stored.mean)),
      column("file", "Bits per weight of the whole packed file", ({ bits }) => formatBits(bits.model.mean)),
      column("layer error", "Relative error, mean over layers", ({ layerError: { mean } }) => formatNumber(mean.mean)),
    ],
    costs: [
      column("size", "Packed file", ({ bytes }) => formatBytes(bytes.mean)),
      column("alone", "Time, with the steps that it shares", ({ seconds }) => optional(seconds.alone, formatSeconds)),
      column("in sweep", "Time that it took in the sweep", ({ seconds }) => optional(seconds.sweep, formatSeconds)),
      column("memory", "Memory of the process at its peak", ({ peakMemory }) => formatBytes(peakMemory.mean)),
    ],
  };
}

/** What became of the points, in one sentence. */
export function describeSweep({ points, seconds, steps }: SweepRecord): string {
  const states = ["failed", "interrupted", "waiting"] as const;
  const counts = states.map((state) => [points.filter((point) => point.state === state).length, state] as const);
  const finished = points.length - counts.reduce((sum, [count]) => sum + count, 0);
  const rest = counts.filter(([count]) => count > 0).map(([count, state]) => `, ${count} ${state}`).join("");
  const shared = steps.all - steps.different;
  return `${finished} of ${points.length} points finished${rest}, in ${formatSeconds(seconds)}` +
    (shared > 0 ? `; ${shared} of ${steps.all} steps shared` : "");
}

/** Perplexity of the uncompressed models, a line each. */
export function describeOriginals({ originals }: Leaderboard): string[] {
  return originals.filter(({ perplexity }) => Object.keys(perplexity).length > 0).map(({ model, perplexity }) =>
    `${model} uncompressed: ` +
    Object.entries(perplexity).map(([name, value]) => `${name} ${formatNumber(value)}`).join(", ")
  );
}

/** What marks the front, and how the rows stand, in sentences. */
export function describeOrder({ rows, evaluations }: Leaderboard, mark: string): string[] {
  const on = evaluations.length > 1 ? ` on ${evaluations[0]}` : "";
  return [
    ...(evaluations.length > 0 ? [`${mark} on the Pareto front of whole-file bits and perplexity${on}.`] : []),
    `Sorted by bits of the whole file, then perplexity${on}.`,
    ...(rows.some(({ of }) => of > 1) ? ["±: standard deviation over the n points that repeat each other."] : []),
  ];
}

/** Whether a row is on the front that is marked: that of the first evaluation. */
export function isMarked({ front }: Row, { evaluations: [first] }: Leaderboard): boolean {
  return front.includes(first);
}

function countOf(finished: number, of: number): string {
  return finished === of ? `${of}` : `${finished} of ${of}`;
}
