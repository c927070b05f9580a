/**
 * A column block whose groups are refined: which group a weight is in and how many scales that takes. Groups of two signs come first
 * (salient columns, in one group or two), then those of one sign. Codes are those of `kernels/binary`: sign, second sign, group.
 */

/** Groups of a column block. */
export interface RefinedShape {
  /** Groups whose weights have two signs: 0, 1 or 2. */
  readonly doubled: number;
  /** Groups whose weights have one sign. */
  readonly single: number;
}

/** Most groups of a block: shaders have places for so many. */
export const MOST_GROUPS = 8;

/**
 * Scales of a row with means: mean and two scales of each doubled group, then mean and scale of each single one.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(meansPerRow({ doubled: 2, single: 2 }), 10);
 * ```
 */
export function meansPerRow({ doubled, single }: RefinedShape): number {
  return 3 * doubled + 2 * single;
}

/**
 * Scales of a row, and of a column, where levels are products of the two: two of each doubled group, then one of each single one.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(productsPerRow({ doubled: 2, single: 2 }), 6);
 * ```
 */
export function productsPerRow({ doubled, single }: RefinedShape): number {
  return 2 * doubled + single;
}

/**
 * Where the scales of a group begin among those of a row.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const places = [0, 1, 2, 3].map((group) => firstScale(group, { doubled: 2, single: 2 }, "means"));
 * assert.deepEqual(places, [0, 3, 6, 8]);
 * ```
 */
export function firstScale(group: number, { doubled }: RefinedShape, kind: "means" | "products"): number {
  const [two, one] = kind === "means" ? [3, 2] : [2, 1];
  return two * Math.min(group, doubled) + one * Math.max(group - doubled, 0);
}

/** @throws {RangeError} for a shape that no block has */
export function checkShape(op: string, { doubled, single }: RefinedShape): void {
  if (doubled >= 0 && single >= 0 && doubled + single >= 1 && doubled + single <= MOST_GROUPS) return;
  throw new RangeError(
    `Cannot enqueue "${op}" as groups must be 1 to ${MOST_GROUPS}: current value is ${doubled} + ${single}`,
  );
}
