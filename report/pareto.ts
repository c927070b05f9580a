/** What nothing else beats in both of two things of which less is better. */

/**
 * Marks the Pareto front: an item is on it when none is at most as large in both numbers and smaller in one. Items with a number that is
 * not finite are never on it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const points = [[2, 30], [3, 27], [3, 28], [4, 27], [1, Infinity], [5, 25]] as const;
 * assert.deepEqual(paretoFront(points, (point) => point), [true, true, false, false, false, true]);
 * ```
 * @param both the two numbers of an item
 * @returns for each item whether it is on the front; equal items all are
 */
export function paretoFront<T>(items: readonly T[], both: (item: T) => readonly [number, number]): boolean[] {
  const numbers = items.map(both);
  return numbers.map(([x, y]) =>
    Number.isFinite(x) && Number.isFinite(y) &&
    !numbers.some(([a, b]) => a <= x && b <= y && (a < x || b < y))
  );
}
