/** Uniform grids: what the codes of a row stand for. */
import type { Matrix } from "../device.ts";

/**
 * How a code c of `bits` bits becomes a weight:
 *
 * - `minmax`: (c − zero)·scale, levels of equal distance of which one is 0;
 * - `sign`: scale where c is 1, −scale where it is 0.
 */
export type GridKind = "minmax" | "sign";

/** Most bits of a code. */
export const MAX_BITS = 8;

/** Grids of rows on a device. */
export interface GridOperands {
  /** rows × 1 */
  readonly scales: Matrix;
  /** rows × 1: the code that stands for 0; not read for `sign`. */
  readonly zeros: Matrix<"u8">;
  readonly bits: number;
  readonly grid: GridKind;
}

/** Grids of rows: `scales` and `zeros` as in `GridOperands`. */
export interface RowGrids {
  readonly scales: Float32Array;
  readonly zeros: Uint8Array;
  readonly bits: number;
  readonly grid: GridKind;
}

/** @throws {RangeError} when codes of so many bits are none of the grid's */
export function checkBits(bits: number, grid: GridKind): void {
  const most = grid === "sign" ? 1 : MAX_BITS;
  if (Number.isInteger(bits) && bits >= 1 && bits <= most) return;
  throw new RangeError(`Cannot use a ${grid} grid as bits must be 1..${most}: current value is ${bits}`);
}
