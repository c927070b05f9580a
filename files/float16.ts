/** Half precision (IEEE 754 binary16) and bfloat16 as bit patterns, to and from float32. */

/**
 * Rounds float32 to half precision, to nearest with ties to even; beyond ±65520 the result is infinite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...toFloat16(new Float32Array([1, -2, 65504]))], [0x3c00, 0xc000, 0x7bff]);
 * ```
 * @param values any length
 * @returns bit patterns, same length
 */
export function toFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return new Uint16Array(new Float16Array(values).buffer);
}

/**
 * Widens half precision to float32, exactly.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...fromFloat16(new Uint16Array([0x3c00, 0xc000, 0x0001]))], [1, -2, 2 ** -24]);
 * ```
 * @param bits bit patterns
 * @returns values, same length
 */
export function fromFloat16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  return new Float32Array(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
}

/**
 * Widens bfloat16 to float32, exactly.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...fromBfloat16(new Uint16Array([0x3f80, 0xc000]))], [1, -2]);
 * ```
 * @param bits bit patterns
 * @returns values, same length
 */
export function fromBfloat16(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) wide[i] = bits[i] << 16;
  return new Float32Array(wide.buffer);
}

/**
 * Rounds float32 to bfloat16, to nearest with ties to even; what is beyond the largest bfloat16 becomes infinite.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.deepEqual([...toBfloat16(new Float32Array([1, -2, 1 + 2 ** -8, 1 + 3 * 2 ** -8]))], [0x3f80, 0xc000, 0x3f80, 0x3f82]);
 * ```
 * @param values any length, no NaN among them
 * @returns bit patterns, same length
 */
export function toBfloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length), halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) halves[i] = (bits[i] + 0x7fff + (bits[i] >>> 16 & 1)) >>> 16;
  return halves;
}
