/** The report's tables: every number of metrics.json, and what each step did. */
import type { RunEvent, StepSummary } from "../runner/events.ts";
import { formatPercent, PERCENTILES } from "./divergence.ts";
import { type Expectation, type Expectations, meets } from "./expectation.ts";
import { placeOf } from "./layer_names.ts";
import { type Content, type Html, markup } from "./markup.ts";
import { componentsOf, type Metrics, PARTS } from "./metrics.ts";
import { formatBits, formatNumber, formatSeconds } from "./numbers.ts";
import { describeReason, describeTrouble, STATES } from "./reasons.ts";
import { formatShare, scoresOf, type Shown } from "./task_scores.ts";

/**
 * A number that is also readable by programs.
 *
 * @param value as in metrics.json
 * @param text as people read it
 */
export function datum(value: number, text: string): Html {
  return markup`<data value="${value}">${text}</data>`;
}

/** Perplexity of each evaluation, with the recipe's expectation where it states one. */
export function perplexityTable({ perplexity }: Metrics, expected: Expectations | undefined): Html {
  const rows = Object.entries(perplexity).map(([name, { original, compressed, tokens }]) => [
    name,
    datum(original, formatNumber(original)),
    datum(compressed, formatNumber(compressed)),
    datum(tokens, formatNumber(tokens)),
    ...(expected === undefined ? [] : [expectation(compressed, expected[name])]),
  ]);
  const columns = ["Text", "Original", "Compressed", "Tokens", ...(expected === undefined ? [] : ["Expected"])];
  return table("Perplexity", columns, rows);
}

/** How far next tokens are from the original's; empty where nobody looked. */
export function divergenceTable({ perplexity }: Metrics): Html {
  const rows = Object.entries(perplexity).flatMap(([name, { divergence }]) => {
    if (divergence === undefined) return [];
    const { tokens, kl, same_top, same_top_error, mean_change, mean_change_error, rms_change } = divergence;
    const number = (value: number) => datum(value, formatNumber(value));
    const percent = (value: number) => datum(value, formatPercent(value));
    return [[
      name,
      markup`${number(kl.mean)} ± ${number(kl.error)}`,
      ...PERCENTILES.map(([key]) => number(kl[key])),
      markup`${percent(same_top)} ± ${percent(same_top_error)}`,
      mean_change === undefined || mean_change_error === undefined
        ? "–"
        : markup`${percent(mean_change)} ± ${percent(mean_change_error)}`,
      percent(rms_change),
      number(tokens),
    ]];
  });
  const heads = [
    ...["Text", "KL, nats a token", ...PERCENTILES.map(([, word]) => word.charAt(0).toUpperCase() + word.slice(1))],
    ...["Same top token, %", "Mean Δp, %", "RMS Δp, %", "Tokens"],
  ];
  return rows.length === 0 ? markup`` : table("Divergence from the original", heads, rows);
}

/** Tokens by how far they are from the original's, and how that changes along windows; empty where nobody looked. */
export function divergenceDetails({ perplexity }: Metrics): Html[] {
  const number = (value: number) => datum(value, formatNumber(value));
  return Object.entries(perplexity).flatMap(([name, { divergence }]) => {
    if (divergence?.histogram === undefined || divergence.context === undefined) return [];
    const below = divergence.histogram.map(({ below, tokens }) => [number(below), number(tokens)]);
    const seen = divergence.context.map(({ from, to, kl }) => [
      from === to ? number(from) : markup`${number(from)} to ${number(to)}`,
      number(kl),
    ]);
    return [
      table(`KL divergence of tokens, ${name}`, ["KL below, nats", "Tokens"], below),
      table(`KL divergence by context, ${name}`, ["Tokens seen", "KL, nats a token"], seen),
    ];
  });
}

/** How far hidden states are from the original's after each block; empty where nobody looked. */
export function blockErrorTable({ perplexity }: Metrics): Html {
  const texts = Object.entries(perplexity).filter(([, { block_errors }]) => block_errors !== undefined);
  const blocks = Math.max(0, ...texts.map(([, { block_errors = [] }]) => block_errors.length));
  const rows = Array.from({ length: blocks }, (_, block) => [
    `${block}`,
    ...texts.map(([, { block_errors = [] }]) => datum(block_errors[block], formatNumber(block_errors[block]))),
  ]);
  return rows.length === 0
    ? markup``
    : table("Error after each block", ["Block", ...texts.map(([name]) => name)], rows);
}

/** Zero-shot accuracies, in percent. */
export function taskTable({ tasks }: Metrics): Html {
  const part = (value: number) => datum(value, formatShare({ value }));
  // A mean over tasks is none of a run's numbers, but made of them.
  const share = ({ value, error }: Shown["original"]) =>
    error === undefined ? formatShare({ value }) : markup`${part(value)} ± ${part(error)}`;
  const tally = (value: number | undefined) => value === undefined ? "" : datum(value, formatNumber(value));
  const rows = scoresOf(tasks).map(({ task, metric, original, compressed, items, cut }) => [
    ...[task, metric, share(original), share(compressed), tally(items), tally(cut)],
  ]);
  return table("Tasks", ["Task", "%", "Original", "Compressed", "Questions", "Cut"], rows);
}

/** Stored bits by component, and the nominal number. */
export function bitsTable(metrics: Metrics): Html {
  const { bits: { nominal, storing, stored, model, formulas }, group_size: groupSize } = metrics;
  const bits = (value: number) => datum(value, formatBits(value));
  const formula = (label: string, text: string | undefined) =>
    text === undefined ? label : markup`${label}, ${groupSize === undefined ? text : fillGroup(text, groupSize)}`;
  return table("Bits per weight", ["What is counted", "Bits"], [
    ...componentsOf(metrics).map(({ label, value }) => [label.charAt(0).toUpperCase() + label.slice(1), bits(value)]),
    ["Stored, compressed layers", bits(stored.total)],
    ...PARTS.flatMap((part) => {
      const { bits: { [part]: value } } = metrics;
      return value === undefined ? [] : [[`Stored, ${part}`, bits(value)]];
    }),
    ["Stored, whole model", bits(model)],
    [formula("Nominal", formulas?.nominal), bits(nominal)],
    ...(storing === undefined ? [] : [[formula("Beside it in papers", formulas?.storing), bits(storing)]]),
  ]);
}

/** A formula with the number of columns where it says `group`. */
function fillGroup(text: string, groupSize: number): Content {
  return text.split("group").map((part, i) => i === 0 ? part : [datum(groupSize, `${groupSize}`), part]);
}

/** Error of every layer: a row a block, a column a kind; layers outside blocks are listed by name. */
export function errorTable({ layer_error: { layers }, keep, allocation }: Metrics): Html {
  const means = allocation?.blocks;
  return blocksTable(layers.map(({ name, error }) => ({ name, value: error })), {
    ...{ what: "Error", format: formatNumber },
    ahead: [
      ...(keep === undefined ? [] : [{ head: "Kept", cell: (block: number) => count(keep[block]) }]),
      ...(means === undefined
        ? []
        : [{ head: "Bits", cell: (block: number) => datum(means[block], formatBits(means[block])) }]),
    ],
  });
}

/** Stored bits that every layer was given: a row a block, its mean first, a column a kind. */
export function allocationTable({ layers, blocks }: NonNullable<Metrics["allocation"]>): Html {
  return blocksTable(layers.map(({ name, bits }) => ({ name, value: bits })), {
    ...{ what: "Bits", format: formatBits },
    ahead: [{
      head: "Mean",
      cell: (block) => blocks[block] === undefined ? "" : datum(blocks[block], formatBits(blocks[block])),
    }],
  });
}

/** A number of every layer by block and kind, with columns of blocks ahead; layers outside blocks are listed by name. */
function blocksTable(
  layers: readonly { readonly name: string; readonly value: number }[],
  { what, format, ahead }: {
    readonly what: string;
    readonly format: (value: number) => string;
    readonly ahead: readonly { readonly head: string; readonly cell: (block: number) => Content }[];
  },
): Html {
  const kinds = new Set<string>();
  const blocks = new Map<number, Map<string, number>>();
  const others: Content[][] = [];
  for (const { name, value } of layers) {
    const place = placeOf(name);
    if (place === undefined) others.push([name, datum(value, format(value))]);
    else {
      kinds.add(place.kind);
      blocks.set(place.block, (blocks.get(place.block) ?? new Map()).set(place.kind, value));
    }
  }
  const cell = (value: number | undefined) => value === undefined ? "" : datum(value, format(value));
  const rows = [...blocks].map(([block, values]) => [
    `${block}`,
    ...ahead.map(({ cell }) => cell(block)),
    ...[...kinds].map((kind) => cell(values.get(kind))),
  ]);
  return markup`${table(`${what} by block and kind`, ["Block", ...ahead.map(({ head }) => head), ...kinds], rows)}${
    others.length > 0 && table(`${what} of other layers`, ["Layer", what], others)
  }`;
}

function count(value: number | undefined): Content {
  return value === undefined ? "" : datum(value, formatNumber(value));
}

/** Error of every layer on the samples and on windows held out. */
export function heldOutTable(
  { mean, layers }: Metrics["layer_error"],
  heldOut: NonNullable<Metrics["layer_error"]["held_out"]>,
): Html {
  const apart = new Map(heldOut.layers.map(({ name, error }) => [name, error]));
  const row = (name: string, error: number, other: number) => [
    name,
    datum(error, formatNumber(error)),
    datum(other, formatNumber(other)),
    error > 0 ? datum(other / error, (other / error).toFixed(2)) : "",
  ];
  return table("Error on windows held out", ["Layer", "Samples", "Held out", "Ratio"], [
    row("Mean", mean, heldOut.mean),
    ...layers.flatMap(({ name, error }) => {
      const other = apart.get(name);
      return other === undefined ? [] : [row(name, error, other)];
    }),
  ]);
}

/** How far every layer moved. */
export function propagationTable({ layers }: NonNullable<Metrics["propagation"]>): Html {
  const rows = layers.map(({ name, share, damping }) => [
    name,
    datum(share, formatNumber(share)),
    datum(damping, formatNumber(damping)),
  ]);
  return table("How far every layer moved", ["Layer", "Share", "Damping"], rows);
}

/** What each step did, why it ran and how long it took, from the journal. */
export function stepTable(events: readonly RunEvent[]): Html | undefined {
  let planned: readonly StepSummary[] = [];
  const seconds = new Map<string, number>();
  for (const event of events) {
    if (event.type === "run-started") planned = event.steps;
    else if (event.type === "step-finished") seconds.set(event.step, event.seconds);
  }
  if (planned.length === 0) return undefined;
  const rows = planned.map(({ id, state, why }) => [
    id,
    { words: STATES[seconds.has(id) ? "done" : state] },
    formatOptional(seconds.get(id)),
    { words: why === undefined ? "" : describeReason(why) },
  ]);
  return table("Steps", ["Step", { words: "State" }, "Time", { words: "Why" }], rows);
}

/** What went wrong without ending the run. */
export function warnings(events: readonly RunEvent[]): string[] {
  return events.map(describeTrouble).filter((text) => text !== undefined);
}

function formatOptional(seconds: number | undefined): string {
  return seconds === undefined ? "" : formatSeconds(seconds);
}

function expectation(value: number, expected: Expectation | undefined): Content {
  if (expected === undefined) return "";
  const met = meets(value, expected);
  const text = `${formatNumber(expected.value)} ± ${formatNumber(100 * expected.within)} %`;
  return met ? markup`${text}, met` : markup`${text}, <strong class="bad">not met</strong>`;
}

/** What stands in a cell. */
export type Cell = Content | { readonly words: string };

/**
 * A table that scrolls sideways where the page is narrow.
 *
 * @param caption for those who do not see it
 * @param columns headings; `words` columns are set left and may wrap
 */
export function table(caption: string, columns: readonly Cell[], rows: readonly (readonly Cell[])[]): Html {
  const heading = (cell: Cell) =>
    isWords(cell) ? markup`<th scope="col" class="words">${cell.words}</th>` : markup`<th scope="col">${cell}</th>`;
  const entry = (cell: Cell, i: number) => {
    if (isWords(cell)) return markup`<td class="words">${cell.words}</td>`;
    return i === 0 ? markup`<th scope="row">${cell}</th>` : markup`<td>${cell}</td>`;
  };
  return markup`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table>
<thead><tr>${columns.map(heading)}</tr></thead>
<tbody>${rows.map((row) => markup`<tr>${row.map(entry)}</tr>\n`)}</tbody>
</table></div>`;
}

function isWords(cell: Cell): cell is { readonly words: string } {
  return typeof cell === "object" && "words" in cell;
}
