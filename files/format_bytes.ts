/** Bytes as people read them; here, below all else, as the runner's and the hub's messages need it as much as reports do. */

/**
 * Bytes in binary units, as `--cache-size` takes them; always with a dot and without a locale.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([0, 1023, 1536, 2 ** 30].map(formatBytes), ["0 B", "1023 B", "1.5 KiB", "1.0 GiB"]);
 * ```
 */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}
