/** Numbers as people read them, alike in the terminal and in the report; always with a dot and without a locale. */

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
  const digits = Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 2 : Math.abs(value) >= 0.1 ? 3 : 4;
  return value.toFixed(digits);
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
 * Bytes in decimal units.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([999, 3_045_812, 1.5e9].map(formatBytes), ["999 B", "3.05 MB", "1.50 GB"]);
 * ```
 */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) {
    bytes /= 1000;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toPrecision(3)} ${units[unit]}`;
}

/**
 * A duration.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([0.042, 41.23, 600, 7384].map(formatSeconds), ["0.04 s", "41.2 s", "10 min 0 s", "2 h 3 min"]);
 * ```
 * @param seconds not negative
 */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 119.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function groupThousands(value: number): string {
  return `${value}`.replace(/\B(?=(\d{3})+$)/g, ",");
}
