/** The error that counts: tr(E·H·Eᵀ) of a layer on its undamped Hessian. */
import { type Device, type DeviceBuffer, type Matrix, matrix, part } from "../device.ts";
import { addDot, copy, unpack } from "./elementwise_ops.ts";
import { gemm } from "./gemm_ops.ts";

/** Columns of one tile of H; only tiles on and above the diagonal are multiplied. */
const TILE = 256;

/**
 * Adds tr(E·H·Eᵀ) to `out`.
 *
 * @param out 1 × 1
 * @param e rows × size
 * @param packed upper triangle of H; without it H = I
 */
export function addEnergy(
  device: Device,
  out: Matrix,
  e: Matrix,
  packed: DeviceBuffer<"f32"> | undefined,
): void {
  if (packed === undefined) return device.run(addDot, out, e, e, 1);
  const { rows, cols: size } = e, tile = Math.min(TILE, size);
  const left = device.alloc("f32", rows * tile), product = device.alloc("f32", rows * tile);
  const h = device.alloc("f32", tile * tile);
  for (let row = 0; row < size; row += tile) {
    const inner = Math.min(tile, size - row);
    const a = matrix(left, rows, inner);
    device.run(copy, a, part(e, { col: row, cols: inner }));
    for (let col = row; col < size; col += tile) {
      const cols = Math.min(tile, size - col);
      device.run(unpack, matrix(h, inner, cols), packed, { size, row, col });
      const p = matrix(product, rows, cols);
      device.run(gemm, p, a, matrix(h, inner, cols));
      device.run(addDot, out, p, part(e, { col, cols }), row === col ? 1 : 2);
    }
  }
  for (const buffer of [left, product, h]) device.release(buffer);
}
