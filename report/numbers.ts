/** Numbers as people read them, alike in the terminal and in the report; always with a dot and without a locale. */
export { formatBytes } from "../files/format_bytes.ts";

/**
 * Three to four significant digits, thousands grouped.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([24.898, 0.0789, 150843, 7].map(formatNumber), ["24.90", "0.0789", "150,843", "7"]);
 * ```
 */
export function formatNumber(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return groupThousands(Math.round(value));
  return value.toFixed(decimalsOf(value));
}

/**
 * A mean and how far its values lie from it, with the mean's decimals.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(formatSpread(34.381, 0.0312), "34.38 ± 0.03");
 * assert.equal(formatSpread(34.381, undefined), "34.38");
 * ```
 * @param spread undefined where there is none, as of a single value
 */
export function formatSpread(mean: number, spread: number | undefined): string {
  if (spread === undefined || !Number.isFinite(spread)) return formatNumber(mean);
  const decimals = decimalsOf(mean);
  return `${decimals === 0 ? formatNumber(mean) : mean.toFixed(decimals)} ± ${spread.toFixed(decimals)}`;
}

/**
 * Bits per weight, two decimals.
 *
 * @param value bits
 */
export function formatBits(value: number): string {
  return value.toFixed(2);
}

/**
 * Five significant digits, for numbers that are compared.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([24.898123, 0.5, 150843].map(formatExactly), ["24.898", "0.5", "150843"]);
 * ```
 */
export function formatExactly(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toPrecision(5).replace(/\.?0+$/, "");
}

/**
 * A duration, in its two greatest units.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([0.42, 41.23, 600, 7384].map(formatSeconds), ["0.4 s", "41 s", "10 min", "2 h 3 min"]);
 * ```
 * @param seconds not negative
 */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [big, small, names] = whole < 3600
    ? [Math.floor(whole / 60), whole % 60, ["min", "s"]]
    : whole < 86_400
    ? [Math.floor(whole / 3600), Math.floor(whole % 3600 / 60), ["h", "min"]]
    : [Math.floor(whole / 86_400), Math.floor(whole % 86_400 / 3600), ["d", "h"]];
  return small === 0 ? `${big} ${names[0]}` : `${big} ${names[0]} ${small} ${names[1]}`;
}

/**
 * Bytes from text such as `20GiB`, `500 MB` or `1e9`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual(["20GiB", "500 MB", "7"].map(parseBytes), [20 * 2 ** 30, 5e8, 7]);
 * ```
 * @throws {RangeError} when the text is no size
 */
export function parseBytes(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*(?:([kmgt])?(i)?b?)?\s*$/i.exec(text);
  if (!match) throw new RangeError(`Cannot read "${text}" as a size: write it as 20GiB, 500MB or a number of bytes`);
  const [, number, letter = "", binary] = match;
  const power = "kmgt".indexOf(letter.toLowerCase()) + 1;
  return Math.round(Number(number) * (binary ? 1024 : 1000) ** (letter === "" ? 0 : power));
}

/**
 * Whole numbers in ranges.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(formatRanges([0, 1, 2, 5]), "0–2, 5");
 * ```
 * @param numbers rising
 */
export function formatRanges(numbers: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const number of numbers) {
    const last = parts[parts.length - 1];
    if (last && last[1] + 1 === number) last[1] = number;
    else parts.push([number, number]);
  }
  return parts.map(([from, to]) => from === to ? `${from}` : `${from}–${to}`).join(", ");
}

function decimalsOf(value: number): number {
  const size = Math.abs(value);
  return size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4;
}

function groupThousands(value: number): string {
  return `${value}`.replace(/\B(?=(\d{3})+$)/g, ",");
}
