/**
 * What operations must compute and move: the least work that their results need, by which rates are counted.
 *
 * Of the sweeps and solves on column blocks only what grows with pairs of weights is counted, not what each weight or row
 * takes once.
 */
import { GROUP_SHIFT, KEPT } from "../../kernels/binary/ops.ts";

/** Floating-point operations of a matrix product: a multiplication and an addition for each of m·n·k. */
export function gemmFlops(m: number, n: number, k: number): number {
  return 2 * m * n * k;
}

/** Of the upper triangle of a·aᵀ, its diagonal included; a is n × k. */
export function syrkFlops(n: number, k: number): number {
  return n * (n + 1) * k;
}

/** Of a Cholesky factor of n × n, n³/3. */
export function choleskyFlops(n: number): number {
  return n ** 3 / 3;
}

/** Of GPTQ's way to its factor, 4n³/3: Cholesky (n³/3), the inverse from it (2n³/3), and Cholesky of that (n³/3). */
export function inverseFactorFlops(n: number): number {
  return 4 * n ** 3 / 3;
}

/** Of the inverse of a triangle of n × n, n³/3. */
export function triangleInverseFlops(n: number): number {
  return n ** 3 / 3;
}

/** A column block's codes, rows × cols. */
export interface BlockCodes {
  readonly codes: Uint8Array;
  readonly rows: number;
  readonly cols: number;
}

/**
 * Of `alternate`: for each pair of weights of one row and group S_ij is added to three sums, two of which take a
 * product first (5 operations), and in the salient group to a fourth (7).
 *
 * @param block.codes groups, and KEPT where a weight takes part
 * @param block.rank rows × cols; weights of a rank below `first` take no part
 */
export function alternateFlops(
  block: BlockCodes & { readonly rank: Uint8Array; readonly first: number },
): number {
  let flops = 0;
  eachRow(block, (at) => (block.codes[at] & KEPT) !== 0 && block.rank[at] >= block.first, (groups) => {
    groups.forEach((count, group) => flops += pairs(count) * (group === 0 ? 7 : 5));
  });
  return flops;
}

/**
 * Of `solveJoint`: for each pair of kept weights of one row S_ij is added to a sum, and to another after a product (3
 * operations); where the pair has a salient weight, to a third one too (5).
 */
export function jointFlops(block: BlockCodes): number {
  let flops = 0;
  eachRow(block, (at) => (block.codes[at] & KEPT) !== 0, (groups) => {
    const kept = groups.reduce((sum, count) => sum + count), rest = kept - groups[0];
    flops += 3 * pairs(kept) + 2 * (pairs(kept) - pairs(rest));
  });
  return flops;
}

/** Of `resign`: each sign that changes updates the residuals of the columns behind it, 2 operations each. */
export function resignFlops({ codes, cols, signed }: BlockCodes & { readonly signed: Uint8Array }): number {
  let flops = 0;
  codes.forEach((code, at) => flops += code === signed[at] ? 0 : 2 * (cols - 1 - at % cols));
  return flops;
}

/** Of `columnwise`: each weight's error is fed to the columns behind it, 2 operations each. */
export function columnwiseFlops(rows: number, cols: number): number {
  return rows * cols * (cols - 1);
}

/** Elements of arrays that are read or written once. */
export interface Elements {
  readonly f32?: number;
  readonly u8?: number;
}

/** Bytes of such elements on a device: WebGPU's buffers hold a u8 in 4 bytes. */
export function elementBytes({ f32 = 0, u8 = 0 }: Elements, kind: "cpu" | "webgpu"): number {
  return 4 * f32 + (kind === "cpu" ? 1 : 4) * u8;
}

function pairs(count: number): number {
  return count * (count - 1) / 2;
}

/** Counts a row's members by group. */
function eachRow(
  { codes, rows, cols }: BlockCodes,
  isMember: (at: number) => boolean,
  add: (groups: readonly number[]) => void,
): void {
  const groups = new Array<number>(5);
  for (let row = 0; row < rows; row++) {
    groups.fill(0);
    for (let at = row * cols; at < (row + 1) * cols; at++) if (isMember(at)) groups[codes[at] >> GROUP_SHIFT]++;
    add(groups);
  }
}
