/** The leaderboard's columns and cells in words, alike in the terminal, in Markdown and on the page. */
import type { SweepPoint, SweepRecord } from "../runner/sweep/record.ts";
import { axisText } from "./axis_names.ts";
import { formatPercent } from "./divergence.ts";
import { compressedParts, type Leaderboard, type Row, type Spread } from "./leaderboard.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds, formatSpread } from "./numbers.ts";

/** A column of numbers or words about rows. */
export interface RowColumn {
  readonly head: string;
  /** What it is, for those who ask. */
  readonly title: string;
  readonly cell: (row: Row) => string;
  /** The number that the cell shows, for who sorts; missing where it shows words. */
  readonly value?: (row: Row) => number | undefined;
  /** The axis whose values it shows. */
  readonly axis?: string;
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
  const column = (head: string, title: string, cell: RowColumn["cell"], value?: RowColumn["value"]): RowColumn => ({
    ...{ head, title, cell },
    ...(value === undefined ? {} : { value }),
  });
  const optional = (spread: Spread | undefined, format: (value: number) => string) =>
    spread === undefined ? "–" : format(spread.mean);
  return {
    apart: [
      ...(new Set(originals.map(({ model }) => model)).size > 1
        ? [column("model", "Model", ({ model }) => model)]
        : []),
      ...axes.filter(({ said }) => !said).map(({ path, name }) => ({
        ...column(name, path, ({ values }) => axisText(values[path])),
        axis: path,
      })),
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
          ({ perplexity }) => perplexity[name]?.mean,
        )
      ),
      ...evaluations.filter((name) => rows.some(({ divergence }) => name in divergence)).flatMap((name) => [
        column(
          one ? "KL" : `KL, ${name}`,
          `KL divergence of the next token from the original's, nats, mean over ${name}`,
          ({ divergence }) => optional(divergence[name]?.kl, formatNumber),
          ({ divergence }) => divergence[name]?.kl.mean,
        ),
        column(
          one ? "top-1" : `top-1, ${name}`,
          `Tokens after which both models find the same one the likeliest, %, ${name}`,
          ({ divergence }) => optional(divergence[name]?.sameTop, formatPercent),
          ({ divergence }) => divergence[name]?.sameTop.mean,
        ),
      ]),
      ...(rows.some(({ tasks }) => tasks !== undefined)
        ? [column(
          "tasks",
          "Zero-shot accuracy, %, mean over the tasks",
          ({ tasks }) => optional(tasks, formatPercent),
          ({ tasks }) => tasks?.mean,
        )]
        : []),
      column(
        "nominal",
        "Nominal bits per weight, as papers count",
        ({ bits }) => formatBits(bits.nominal.mean),
        ({ bits }) => bits.nominal.mean,
      ),
      column(
        "stored",
        "Stored bits per weight of the compressed layers",
        ({ bits }) => formatBits(bits.stored.mean),
        ({ bits }) => bits.stored.mean,
      ),
      ...compressedParts(rows).map((part) =>
        column(
          part,
          `Stored bits per weight of the ${part}`,
          ({ bits }) => optional(bits[part], formatBits),
          ({ bits }) => bits[part]?.mean,
        )
      ),
      column(
        "file",
        "Bits per weight of the whole packed file",
        ({ bits }) => formatBits(bits.model.mean),
        ({ bits }) => bits.model.mean,
      ),
      column(
        "layer error",
        "Relative error, mean over layers",
        ({ layerError: { mean } }) => formatNumber(mean.mean),
        ({ layerError }) => layerError.mean.mean,
      ),
    ],
    costs: [
      column("size", "Packed file", ({ bytes }) => formatBytes(bytes.mean), ({ bytes }) => bytes.mean),
      column(
        "alone",
        "Time, with the steps that it shares",
        ({ seconds }) => optional(seconds.alone, formatSeconds),
        ({ seconds }) => seconds.alone?.mean,
      ),
      column(
        "in sweep",
        "Time that it took in the sweep",
        ({ seconds }) => optional(seconds.sweep, formatSeconds),
        ({ seconds }) => seconds.sweep?.mean,
      ),
      column(
        "memory",
        "Memory of the process at its peak",
        ({ peakMemory }) => formatBytes(peakMemory.mean),
        ({ peakMemory }) => peakMemory.mean,
      ),
    ],
  };
}

/** What became of the points, in one sentence. */
export function describeSweep(record: SweepRecord): string {
  const { points, seconds, steps } = record;
  const shared = steps.all - steps.different;
  const alone = secondsAlone(record);
  return [
    [`${points.length - countUnfinished(record)} of ${points.length} points finished`, ...statesOf(record)].join(", ") +
    `, in ${formatSeconds(seconds)}`,
    ...(shared > 0 ? [`${shared} of ${steps.all} steps shared`] : []),
    ...(alone === undefined ? [] : [`${(seconds / alone).toFixed(2)} of the ${formatSeconds(alone)} of single runs`]),
  ].join("; ");
}

/** How many points run, failed, were interrupted or wait, in words. @param running so many of those that wait in the record */
export function statesOf({ points }: SweepRecord, running = 0): string[] {
  const count = (state: SweepPoint["state"]) => points.filter((point) => point.state === state).length;
  const [failed, interrupted, waiting] = (["failed", "interrupted", "waiting"] as const).map(count);
  return Object.entries(countRunning({ failed, interrupted, waiting }, running)).filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`);
}

/**
 * Points by what they do now. A record is written when a point ends: those that run are in it as what they were before, and counts do not
 * say what that was. It is taken for interrupted where there are such, then for waiting.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { countRunning } from "./leaderboard_cells.ts";
 *
 * const now = countRunning({ failed: 1, interrupted: 1, waiting: 3 }, 2);
 * assert.deepEqual(now, { running: 2, failed: 1, interrupted: 0, waiting: 2 });
 * ```
 */
export function countRunning(
  { failed, interrupted, waiting }: { readonly failed: number; readonly interrupted: number; readonly waiting: number },
  running: number,
): Readonly<Record<"running" | "failed" | "interrupted" | "waiting", number>> {
  const again = Math.min(interrupted, running), first = Math.min(waiting, running - again);
  return {
    ...{ running, failed: Math.max(0, failed - (running - again - first)) },
    ...{ interrupted: interrupted - again, waiting: waiting - first },
  };
}

/** Seconds that the points would take one by one; undefined while not all are finished, as then nothing compares with it. */
export function secondsAlone({ points }: SweepRecord): number | undefined {
  const known = points.filter(({ state, alone }) => state === "finished" && alone !== undefined);
  if (points.length < 2 || known.length < points.length) return undefined;
  return known.reduce((sum, { alone = 0 }) => sum + alone, 0) || undefined;
}

function countUnfinished({ points }: SweepRecord): number {
  return points.filter(({ state }) => state !== "finished").length;
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
