/** A run's result as lines for a terminal of 80 columns. */
import type { Expectation, Expectations } from "./expectation.ts";
import { componentsOf, type Metrics } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";

const WIDTH = 80;
const INDENT = 14;

/**
 * Renders the result: perplexity before and after, bits, error, time, memory, steps.
 *
 * @param metrics of the run
 * @param recipe what it expects of the result
 * @returns lines of at most 80 columns, without colour
 */
export function renderResultTable(metrics: Metrics, recipe: { readonly expect?: Expectations }): string[] {
  const { bits, bytes, seconds, layer_error: error, keep, of } = metrics;
  const storing = bits.storing === undefined ? "" : `+ ${formatBits(bits.storing)} for storing, `;
  const [component, ...others] = componentsOf(metrics).map(({ name, value }) => `${name} ${formatBits(value)}`);
  const worst = error.layers.toSorted((a, b) => b.error - a.error)[0];
  const stages = Object.entries(seconds.stages).filter(([, spent]) => spent >= 0.05);
  return [
    ...perplexityLines(metrics, recipe.expect),
    ...taskLines(metrics),
    ...entry("bits", [`nominal ${formatBits(bits.nominal)} (${storing}as papers count)`]),
    ...entry("", [`stored ${formatBits(bits.stored.total)}${component ? ` = ${component}` : ""}`, ...others], " + "),
    ...entry("", [`whole model ${formatBits(bits.model)}`]),
    ...entry("size", [
      `${formatBytes(bytes.packed)}, was ${formatBytes(bytes.original)} ` +
      `(${formatNumber(bytes.original / Math.max(bytes.packed, 1))} times as much)`,
    ]),
    ...(keep === undefined ? [] : entry(of === undefined ? "kept" : `kept of ${of}`, keep.map(String), " ")),
    ...entry("layer error", [
      `mean ${formatNumber(error.mean)}`,
      ...(worst === undefined ? [] : [`worst ${formatNumber(worst.error)} at ${worst.name}`]),
    ]),
    ...entry(
      "time",
      [formatSeconds(seconds.total), ...stages.map(([stage, spent]) => `${stage} ${formatSeconds(spent)}`)],
    ),
    ...entry("memory", [`${formatBytes(metrics.peak_memory_bytes)} at its peak`]),
    ...entry("steps", [`${metrics.steps.run} run`, `${metrics.steps.cached} from the cache`]),
  ];
}

function perplexityLines({ perplexity }: Metrics, expect: Expectations | undefined): string[] {
  const names = Object.keys(perplexity);
  if (names.length === 0) return [];
  const column = (text: string) => text.padStart(11);
  const lines = ["perplexity".padEnd(INDENT) + column("before") + column("after") + column("tokens")];
  for (const name of names) {
    const { original, compressed, tokens } = perplexity[name];
    const label = `  ${name}`;
    const numbers = column(formatNumber(original)) + column(formatNumber(compressed)) + column(formatNumber(tokens));
    const verdict = expectation(compressed, expect?.[name]);
    if (label.length < INDENT) lines.push((label.padEnd(INDENT) + numbers + verdict).trimEnd());
    else lines.push(label.slice(0, WIDTH), (" ".repeat(INDENT) + numbers + verdict).trimEnd());
  }
  return lines;
}

function expectation(value: number, expected: Expectation | undefined): string {
  if (expected === undefined) return "";
  const off = value / expected.value - 1;
  const sign = off < 0 ? "−" : "+";
  return `   ${sign}${(100 * Math.abs(off)).toFixed(1)} % of ${formatNumber(expected.value)}${
    Math.abs(off) <= expected.within ? ": met" : ": NOT met"
  }`;
}

function taskLines({ tasks }: Metrics): string[] {
  return Object.entries(tasks).flatMap(([name, { acc, acc_norm, original }]) =>
    entry(name, [`acc ${acc.toFixed(3)}, was ${original.acc.toFixed(3)}`, `norm ${acc_norm.toFixed(3)}`])
  );
}

/** A label and its parts, wrapped between parts. */
function entry(label: string, parts: readonly string[], separator = ", "): string[] {
  const lines: string[] = [];
  let line = label.padEnd(INDENT);
  for (const [i, part] of parts.entries()) {
    const addition = i === 0 ? part : separator + part;
    const room = WIDTH - (i === parts.length - 1 ? 0 : separator.trimEnd().length);
    if (i > 0 && line.length + addition.length > room) {
      lines.push((line + separator).trimEnd());
      line = " ".repeat(INDENT) + part;
    } else line += addition;
  }
  return [...lines, line].map((text) => text.slice(0, WIDTH));
}
