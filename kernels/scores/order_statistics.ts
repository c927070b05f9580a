/**
 * Exact order statistics of a large array without sorting it: a histogram of the leading bits, then a sort of the few
 * buckets that hold what was asked for.
 */

const BUCKET_BITS = 16;
const SHIFT = 32 - BUCKET_BITS;

/**
 * The values that stand at `positions` when `x` is sorted upwards (−0 counts as 0).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...orderStatistics(Float32Array.of(5, -1, 3), [0, 2])], [-1, 5]);
 * ```
 * @param x finite values
 * @param positions ascending, each in 0..x.length − 1
 * @returns one value for each position
 * @throws {RangeError} when a position lies outside
 */
export function orderStatistics(x: Float32Array, positions: ArrayLike<number>): Float32Array {
  const wanted = positions.length;
  const result = new Float32Array(wanted);
  if (wanted === 0) return result;
  if (positions[0] < 0 || positions[wanted - 1] >= x.length) {
    throw new RangeError(
      `Cannot select positions ${positions[0]}..${positions[wanted - 1]} as the array has ${x.length} values`,
    );
  }
  const bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  const starts = new Uint32Array((1 << BUCKET_BITS) + 1);
  for (let i = 0; i < bits.length; i++) starts[bucketOf(bits[i]) + 1]++;
  // slot: where the values of a wanted bucket are gathered; 0 means that the bucket is not wanted.
  const slot = new Uint32Array(1 << BUCKET_BITS);
  const buckets = new Int32Array(wanted);
  let gathered = 1;
  for (let b = 0, p = 0; b < 1 << BUCKET_BITS; b++) {
    const count = starts[b + 1];
    starts[b + 1] += starts[b];
    if (p === wanted || positions[p] >= starts[b + 1]) continue;
    slot[b] = gathered;
    gathered += count;
    for (; p < wanted && positions[p] < starts[b + 1]; p++) buckets[p] = b;
  }
  const values = new Float32Array(gathered);
  const next = slot.slice();
  for (let i = 0; i < bits.length; i++) {
    const b = bucketOf(bits[i]);
    if (slot[b] !== 0) values[next[b]++] = x[i];
  }
  for (let p = 0, last = -1; p < wanted; p++) {
    const b = buckets[p];
    if (b !== last) values.subarray(slot[b], next[b]).sort();
    last = b;
    result[p] = values[slot[b] + positions[p] - starts[b]] + 0;
  }
  return result;
}

/** Leading bits of a float in an order that agrees with the order of the values. */
function bucketOf(bits: number): number {
  return (bits ^ ((bits >> 31) | -0x80000000)) >>> SHIFT;
}
