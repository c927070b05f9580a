/**
 * The factor of a damped Hessian, block by block on any device: H + damping·mean(diag H)·I = R·Rᵀ with R upper, U =
 * R⁻¹.
 *
 * R is kept as column panels of one group each, only as tall as the triangle, so it takes little more than half a
 * matrix; U only as its diagonal blocks. Groups are made from the last to the first in wide strips: what the strips right
 * of it contribute is taken off a strip in a few deep products, then it is factored by halves. Products of single groups
 * would be shallow and many, and halves of the whole would need a whole matrix.
 */
import { type Device, type DeviceBuffer, type Matrix, matrix, part } from "../device.ts";
import { cholesky } from "./cholesky_op.ts";
import { columnSquares, copy, damp, diagonal, unpack } from "./elementwise_ops.ts";
import { gemm, syrk } from "./gemm_ops.ts";

/** A factored Hessian. Vectors are 1 × size. */
export interface Factor {
  readonly size: number;
  /** Of block b, columns s…e: rows 0…e of R, so the last rows are R_bb. */
  readonly panels: readonly Matrix[];
  /** U_bb = R_bb⁻¹. */
  readonly inverses: readonly Matrix[];
  /** H_jj, undamped. */
  readonly diagonal: Matrix;
  /** U_jj = 1/R_jj. */
  readonly diagonalU: Matrix;
  /** 1 × 1: 0, or 1 + the index of the first pivot that is not positive. */
  readonly status: Matrix<"u32">;
  /** Whether the status is another factor's, too, which releases it. */
  readonly sharesStatus: boolean;
}

/** Largest block that is factored by one operation. */
const SMALL = 128;

/** Columns that a strip of groups has at most, unless one group is wider. */
const STRIP = 1024;

/**
 * Factors a Hessian.
 *
 * @param packed upper triangle of the undamped H; kept
 * @param options.group columns of a panel
 * @param options.damping times the mean of diag(H), where H_jj = 0 counts as 1 and becomes 1
 * @param options.status that of another factor, which then tells of both and is not this one's to release; default: its own
 */
export function factorHessian(
  device: Device,
  packed: DeviceBuffer<"f32">,
  { size, group, damping, status: shared }: {
    readonly size: number;
    readonly group: number;
    readonly damping: number;
    readonly status?: Matrix<"u32">;
  },
): Factor {
  const vector = () => matrix(device.alloc("f32", size), 1, size);
  const undamped = vector(), added = vector(), diagonalU = vector();
  const status = shared ?? matrix(device.alloc("u32", 1), 1, 1);
  device.run(damp, undamped, added, packed, { size, damping });
  const strips: Matrix[] = [], panels: Matrix[] = [], inverses: Matrix[] = [];
  // Groups of a strip have gaps between their rows, which the CPU's products would copy; they lose little by being many.
  const width = device.kind === "cpu" ? group : Math.max(1, Math.floor(STRIP / group)) * group;
  const scratch = device.alloc("f32", size * Math.min(width, size));
  for (let start = Math.floor((size - 1) / width) * width; start >= 0; start -= width) {
    const cols = Math.min(width, size - start), rows = start + cols;
    const strip = matrix(device.alloc("f32", rows * cols), rows, cols);
    const h = matrix(scratch, rows, cols);
    device.run(unpack, h, packed, { size, row: 0, col: start, added });
    for (const other of strips) takeOff(device, h, part(other, { rows }), start);
    const factorColumns = (col: number, end: number): void => {
      const first = start + col;
      if (end - col > group) {
        const half = col + Math.ceil((end - col) / group / 2) * group;
        factorColumns(half, end);
        const left = part(h, { rows: start + half, col, cols: half - col });
        takeOff(device, left, part(strip, { rows: start + half, col: half, cols: end - half }), first);
        factorColumns(col, half);
        return;
      }
      const panel = part(strip, { rows: start + end, col, cols: end - col });
      const inverse = matrix(device.alloc("f32", panel.cols ** 2), panel.cols, panel.cols);
      const source = part(h, { rows: start + end, col, cols: end - col }), corner = part(panel, { row: first });
      device.run(copy, corner, part(source, { row: first }));
      factorBlock(device, corner, inverse, status, first);
      device.run(diagonal, part(diagonalU, { col: first, cols: panel.cols }), inverse);
      if (first > 0) {
        device.run(gemm, part(panel, { rows: first }), part(source, { rows: first }), inverse, { transposeB: true });
      }
      panels[first / group] = panel;
      inverses[first / group] = inverse;
    };
    factorColumns(0, cols);
    strips.push(strip);
  }
  device.release(scratch);
  device.release(added.buffer);
  return {
    ...{ size, panels, inverses, diagonal: undamped, diagonalU, status },
    sharesStatus: shared !== undefined,
  };
}

/**
 * h −= r·(its rows from `start` on)ᵀ.
 *
 * @param h rows × cols, of columns start… of H; its last `cols` rows are a square, of which the upper triangle counts
 * @param r rows × inner
 */
function takeOff(device: Device, h: Matrix, r: Matrix, start: number): void {
  const corner = part(r, { row: start });
  if (start > 0) {
    device.run(gemm, part(h, { rows: start }), part(r, { rows: start }), corner, {
      transposeB: true,
      alpha: -1,
      beta: 1,
    });
  }
  device.run(syrk, part(h, { row: start }), corner, { alpha: -1, beta: 1 });
}

/** h := R with h = R·Rᵀ, u := R⁻¹, both zero below the diagonal; large blocks by halves. */
function factorBlock(device: Device, h: Matrix, u: Matrix, status: Matrix<"u32">, first: number): void {
  const size = h.rows;
  if (size <= SMALL) {
    device.run(cholesky, h, status, { first, inverse: u });
    return;
  }
  const half = Math.ceil(size / 2 / SMALL) * SMALL, rest = size - half;
  const corner = (m: Matrix, row: number, col: number) =>
    part(m, { row, col, rows: row === 0 ? half : rest, cols: col === 0 ? half : rest });
  const h00 = corner(h, 0, 0), h01 = corner(h, 0, half), h11 = corner(h, half, half);
  const u00 = corner(u, 0, 0), u01 = corner(u, 0, half), u11 = corner(u, half, half);
  const scratch = device.alloc("f32", half * rest);
  const product = matrix(scratch, half, rest);
  factorBlock(device, h11, u11, status, first + half);
  device.run(gemm, product, h01, u11, { transposeB: true });
  device.run(copy, h01, product);
  device.run(syrk, h00, product, { alpha: -1, beta: 1 });
  factorBlock(device, h00, u00, status, first);
  device.run(gemm, product, h01, u11);
  device.run(gemm, u01, u00, product, { alpha: -1 });
  const zero = device.alloc("f32", half * rest);
  device.run(copy, corner(h, half, 0), matrix(zero, rest, half));
  device.release(zero);
  device.release(scratch);
}

/**
 * [H⁻¹]_jj = Σ_{i≤j} U_ij² of the damped H, for every column (metric hessian-squared).
 *
 * @returns 1 × size
 */
export function inverseDiagonal(device: Device, factor: Factor): Matrix {
  const { size, panels, inverses } = factor;
  const out = matrix(device.alloc("f32", size), 1, size);
  for (let b = 0, col = 0; b < panels.length; b++) {
    const cols = panels[b].cols;
    // Columns of U, from R·U = I, bottom block first.
    const u = device.alloc("f32", (col + cols) * cols), scratch = device.alloc("f32", panels[0].cols * cols);
    const x = matrix(u, col + cols, cols);
    device.run(copy, part(x, { row: col }), inverses[b]);
    for (let k = b, end = col; k > 0; k--) {
      const rows = panels[k].cols;
      device.run(gemm, part(x, { rows: end }), part(panels[k], { rows: end }), part(x, { row: end, rows }), {
        alpha: -1,
        beta: 1,
      });
      end -= panels[k - 1].cols;
      const above = part(x, { row: end, rows: panels[k - 1].cols });
      const solved = matrix(scratch, above.rows, cols);
      device.run(gemm, solved, inverses[k - 1], above);
      device.run(copy, above, solved);
    }
    device.run(columnSquares, part(out, { col, cols }), x);
    device.release(u);
    device.release(scratch);
    col += cols;
  }
  return out;
}

/** Frees what `factorHessian` made. */
export function releaseFactor(device: Device, factor: Factor): void {
  const { panels, inverses, diagonal, diagonalU, status, sharesStatus } = factor;
  for (const m of [...panels, ...inverses, diagonal, diagonalU]) device.release(m.buffer);
  if (!sharesStatus) device.release(status.buffer);
}
