/** A run's result as lines for a terminal. */
import { graphemes, textWidth } from "../files/text_width.ts";
import { type Expectation, type Expectations, meets } from "./expectation.ts";
import { sayDivergence } from "./divergence.ts";
import type { StepDetail } from "./gather.ts";
import { adviceOn } from "./held_out.ts";
import { componentsOf, type Metrics, PARTS } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";
import { sayPropagation } from "./propagation.ts";
import { formatShare, sayCut, scoresOf } from "./task_scores.ts";
import { sayTaskSpeed, taskSpeed } from "./task_speed.ts";

/** Columns where nothing is said. */
const WIDTH = 80;
/** Columns of labels. */
const INDENT = 14;
/** Columns of numbers, where there is room. */
const NUMBER = 11;

/** Says a label and its parts in lines. */
type Entry = (label: string, parts: readonly string[], separator?: string) => string[];

/**
 * Renders the result: perplexity before and after, bits, error, time, memory, steps.
 *
 * @param metrics of the run
 * @param recipe what it expects of the result
 * @param options `width`: columns of the terminal, 40 or more; `steps`: what its events say of steps, for how fast they were
 * @returns lines of at most `width` columns, without colour
 */
export function renderResultTable(
  metrics: Metrics,
  recipe: { readonly expect?: Expectations },
  { width = WIDTH, steps = [] }: { readonly width?: number; readonly steps?: readonly StepDetail[] } = {},
): string[] {
  const entry: Entry = (label, parts, separator = ", ") => layOut(label, parts, { separator, width });
  const { bits, bytes, seconds, layer_error: error, keep, of, allocation, propagation } = metrics;
  const advice = adviceOn(error);
  const storing = bits.storing === undefined ? "" : `+ ${formatBits(bits.storing)} for storing, `;
  const [component, ...others] = componentsOf(metrics).map(({ name, value }) => `${name} ${formatBits(value)}`);
  const parts = PARTS.flatMap((part) => {
    const value = bits[part];
    return value === undefined ? [] : [`${part} ${formatBits(value)}`];
  });
  const worst = error.layers.toSorted((a, b) => b.error - a.error)[0];
  const stages = Object.entries(seconds.stages).filter(([, spent]) => spent >= 0.05);
  return [
    ...perplexityLines(metrics, recipe.expect, { width, entry }),
    ...divergenceLines(metrics, entry),
    ...taskLines(metrics, { width, entry }),
    ...speedLines(metrics, steps, entry),
    ...entry("bits", [`nominal ${formatBits(bits.nominal)} (${storing}as papers count)`]),
    ...entry("", [`stored ${formatBits(bits.stored.total)}${component ? ` = ${component}` : ""}`, ...others], " + "),
    ...entry("", [`whole model ${formatBits(bits.model)}`, ...parts]),
    ...entry("size", [
      `${formatBytes(bytes.packed)}, was ${formatBytes(bytes.original)} ` +
      `(${formatNumber(bytes.original / Math.max(bytes.packed, 1))} times as much)`,
    ]),
    ...(keep === undefined ? [] : entry(of === undefined ? "kept" : `kept of ${of}`, keep.map(String), " ")),
    ...(allocation === undefined ? [] : allocationLines(allocation, entry)),
    ...entry("layer error", [
      `mean ${formatNumber(error.mean)}${
        error.held_out === undefined ? "" : ` (held-out ${formatNumber(error.held_out.mean)})`
      }`,
      ...(worst === undefined ? [] : [`worst ${formatNumber(worst.error)} at ${worst.name}`]),
    ]),
    ...(advice === undefined ? [] : entry("", [advice])),
    ...(propagation === undefined ? [] : entry("propagation", sayPropagation(propagation))),
    ...entry(
      "time",
      [formatSeconds(seconds.total), ...stages.map(([stage, spent]) => `${stage} ${formatSeconds(spent)}`)],
    ),
    ...entry("memory", [`${formatBytes(metrics.peak_memory_bytes)} at its peak`]),
    ...entry("steps", [`${metrics.steps.run} run`, `${metrics.steps.cached} from the cache`]),
  ];
}

/** Bits by block, and what came of the look at windows held out. */
function allocationLines({ blocks, check }: NonNullable<Metrics["allocation"]>, entry: Entry): string[] {
  const lines = entry("bits by block", blocks.map(formatBits), " ");
  if (check === undefined) return lines;
  const [found, same] = [check.allocated, check.uniform].map(formatNumber);
  return [
    ...lines,
    ...entry("", [
      check.kept
        ? "kept, as on windows held out the divergence from the original is"
        : "the same for all, as on windows held out " +
          "the divergence from the original is not less:",
      `${found} with bits by sensitivity`,
      `${same} with the same for all`,
    ], " "),
  ];
}

function perplexityLines({ perplexity }: Metrics, expect: Expectations | undefined, room: Room): string[] {
  const rows = Object.entries(perplexity).map(([name, { original, compressed, tokens }]) => ({
    name,
    cells: [original, compressed, tokens].map(formatNumber),
    verdict: expectation(compressed, expect?.[name]),
  }));
  return columns("perplexity", ["before", "after", "tokens"], rows, room);
}

function divergenceLines({ perplexity }: Metrics, entry: Entry): string[] {
  const texts = Object.entries(perplexity);
  return texts.flatMap(([name, { divergence }]) =>
    divergence === undefined
      ? []
      : entry("divergence", [...(texts.length > 1 ? [name] : []), ...sayDivergence(divergence)])
  );
}

function taskLines({ tasks }: Metrics, room: Room): string[] {
  const rows = scoresOf(tasks).map(({ task, metric, original, compressed, items }) => ({
    name: metric === "acc" ? task : "  acc_norm",
    cells: [
      formatShare(original),
      formatShare(compressed),
      items === undefined || metric !== "acc" ? "" : formatNumber(items),
    ],
  }));
  const cut = sayCut(tasks);
  return [
    ...columns("tasks, %", ["before", "after", "questions"], rows, room),
    ...(cut === undefined ? [] : room.entry("", [cut])),
  ];
}

function speedLines(metrics: Metrics, steps: readonly StepDetail[], entry: Entry): string[] {
  const said = sayTaskSpeed(taskSpeed(metrics, steps));
  return said.length === 0 ? [] : entry("", said);
}

interface Room {
  readonly width: number;
  readonly entry: Entry;
}

/** A table; where the terminal is too narrow for one, entries. */
function columns(
  title: string,
  heads: readonly string[],
  rows: readonly { readonly name: string; readonly cells: readonly string[]; readonly verdict?: string }[],
  { width, entry }: Room,
): string[] {
  if (rows.length === 0) return [];
  const needed = Math.max(...[heads, ...rows.map(({ cells }) => cells)].flat().map((text) => text.length + 2));
  const column = Math.min(Math.max(NUMBER, needed), Math.floor((width - INDENT) / heads.length));
  if (column < needed) {
    return rows.flatMap(({ name, cells, verdict }) => [
      ...entry(title, [name.trim()]),
      ...entry("", [
        ...cells.flatMap((cell, i) => cell === "" ? [] : [`${heads[i]} ${cell}`]),
        ...(verdict === undefined ? [] : [verdict]),
      ]),
    ]);
  }
  const line = (label: string, cells: readonly string[]) =>
    pad(label, INDENT) + cells.map((cell) => cell.padStart(column)).join("");
  const lines = [line(title, heads)];
  for (const { name, cells, verdict } of rows) {
    const label = `  ${name}`;
    const fits = textWidth(label) < INDENT;
    if (!fits) lines.push(...broken(label, width));
    const numbers = line(fits ? label : "", cells);
    const beside = verdict !== undefined && textWidth(numbers) + 3 + textWidth(verdict) <= width;
    lines.push(beside ? `${numbers}   ${verdict}` : numbers.trimEnd());
    if (verdict !== undefined && !beside) lines.push(...entry("", [verdict]));
  }
  return lines;
}

function expectation(value: number, expected: Expectation | undefined): string | undefined {
  if (expected === undefined) return undefined;
  const off = value / expected.value - 1;
  const by = Number.isFinite(off)
    ? `${off < 0 ? "−" : "+"}${(100 * Math.abs(off)).toFixed(1)} % of`
    : `${formatNumber(value)} for`;
  return `${by} ${formatNumber(expected.value)}: ${meets(value, expected) ? "met" : "NOT met"}`;
}

/** What is set whole, and what joins it to its neighbour on the same line. */
interface Piece {
  readonly text: string;
  readonly joint: string;
}

/** A label and its parts, wrapped between parts; one that is too long for a line between its words. */
function layOut(
  label: string,
  parts: readonly string[],
  { separator, width }: { readonly separator: string; readonly width: number },
): string[] {
  const room = width - INDENT, own = textWidth(label) >= INDENT;
  const pieces = parts.flatMap((part) => piecesOf(part, separator, room));
  const lines: string[] = [];
  let line = "";
  for (const [i, { text, joint }] of pieces.entries()) {
    // What joins the next piece ends the line before it.
    const kept = pieces[i + 1]?.joint.trimEnd().length ?? 0;
    if (i > 0 && textWidth(line + joint + text) + kept > room) {
      lines.push((line + joint).trimEnd());
      line = text;
    } else line += i === 0 ? text : joint + text;
  }
  const indented = [...lines, line].map((text, i) => pad(i === 0 && !own ? label : "", INDENT) + text);
  return [...(own ? broken(label, width) : []), ...indented];
}

function piecesOf(part: string, separator: string, room: number): Piece[] {
  const space = room - separator.trimEnd().length;
  if (textWidth(part) <= space) return [{ text: part, joint: separator }];
  return part.split(" ").flatMap((word, i) =>
    broken(word, space).map((text, j) => ({ text, joint: j > 0 ? "" : i > 0 ? " " : separator }))
  );
}

/** A word in pieces that fit; names are broken after a dot where they have one. */
function broken(word: string, room: number): string[] {
  const pieces: string[] = [];
  let piece = "";
  for (const each of graphemes(word)) {
    if (textWidth(piece + each) > room) {
      const end = piece.lastIndexOf(".") + 1 || piece.length;
      pieces.push(piece.slice(0, end));
      piece = piece.slice(end);
    }
    piece += each;
  }
  return [...pieces, piece];
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - textWidth(text)));
}
