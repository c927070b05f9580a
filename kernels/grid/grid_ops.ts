/** Grids of rows, as operations. */
import { dense } from "../cpu_buffer.ts";
import { expectShape, type Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { type ColumnwiseGridOperands, columnwiseGridSweep } from "./columnwise.ts";
import { gpuColumnwiseGrid } from "./columnwise_webgpu.ts";
import { type FitOperands, fitRows, type ZeroOperands, zerosOf } from "./fit.ts";
import { gpuFitGrid, gpuGridZeros } from "./fit_webgpu.ts";
import { checkBits } from "./grid_row.ts";
import { type DecodeGridOperands, decodeRows, type RoundGridOperands, roundRows } from "./round.ts";
import { gpuDecodeGrid, gpuRoundGrid } from "./round_webgpu.ts";

/** scales and lows (rows × 1) := those of a grid fitted to each row of w; see `fitRows`. */
export const fitGrid: Op<[scales: Matrix, lows: Matrix, options: FitOperands]> = {
  name: "fitGrid",
  check(scales, lows, { w, bits, grid }) {
    checkBits(bits, grid);
    for (const each of [scales, lows]) expectShape("fitGrid", each, w.rows, 1);
  },
  cpu: (_, scales, lows, { w, bits, grid }) =>
    fitRows(dense(scales), dense(lows), { w: dense(w), rows: w.rows, cols: w.cols, bits, grid }),
  gpu: gpuFitGrid,
};

/** zeros (rows × 1) := the code of each row that stands for 0; see `zerosOf`. */
export const gridZeros: Op<[zeros: Matrix<"u8">, options: ZeroOperands]> = {
  name: "gridZeros",
  check(zeros, { scales, lows, bits }) {
    checkBits(bits, "minmax");
    for (const each of [scales, lows]) expectShape("gridZeros", each, zeros.rows, 1);
  },
  cpu: (_, zeros, { scales, lows, bits }) => zerosOf(dense(zeros), { scales: dense(scales), lows: dense(lows), bits }),
  gpu: gpuGridZeros,
};

/** codes (rows × cols) := the nearest levels; see `roundRows`. */
export const roundGrid: Op<[codes: Matrix<"u8">, options: RoundGridOperands]> = {
  name: "roundGrid",
  check(codes, { w, scales, zeros, bits, grid }) {
    checkBits(bits, grid);
    expectShape("roundGrid", codes, w.rows, w.cols);
    for (const each of [scales, zeros]) expectShape("roundGrid", each, w.rows, 1);
  },
  cpu(_, codes, { w, scales, zeros, bits, grid }) {
    const { rows, cols } = w;
    roundRows(dense(codes), { w: dense(w), rows, cols, scales: dense(scales), zeros: dense(zeros), bits, grid });
  },
  gpu: gpuRoundGrid,
};

/** Rounds column by column and feeds errors forward; errors (rows × cols) := GPTQ's; see `columnwiseGridSweep`. */
export const columnwiseGrid: Op<[codes: Matrix<"u8">, errors: Matrix, options: ColumnwiseGridOperands]> = {
  name: "columnwiseGrid",
  check(codes, errors, { w, factor, scales, zeros, bits }) {
    checkBits(bits, "minmax");
    for (const each of [codes, errors]) expectShape("columnwiseGrid", each, w.rows, w.cols);
    for (const each of [scales, zeros]) expectShape("columnwiseGrid", each, w.rows, 1);
    expectShape("columnwiseGrid", factor, w.cols, w.cols);
  },
  cpu(_, codes, errors, { w, factor, scales, zeros, bits }) {
    columnwiseGridSweep(dense(codes), dense(errors), {
      ...{ rows: w.rows, cols: w.cols, bits },
      ...{ w: dense(w), factor: dense(factor), scales: dense(scales), zeros: dense(zeros) },
    });
  },
  gpu: gpuColumnwiseGrid,
};

/** out := what codes stand for; see `decodeRows`. */
export const decodeGrid: Op<[out: Matrix, options: DecodeGridOperands]> = {
  name: "decodeGrid",
  check(out, { codes, scales, zeros, groupSize = out.cols }) {
    expectShape("decodeGrid", codes, out.rows, out.cols);
    for (const each of [scales, zeros]) expectShape("decodeGrid", each, out.rows, Math.ceil(out.cols / groupSize));
  },
  cpu(_, out, { codes, scales, zeros, grid, groupSize = out.cols }) {
    const { rows, cols } = out, layer = { rows, cols, groupSize, grid };
    decodeRows(dense(out), { ...layer, codes: dense(codes), scales: dense(scales), zeros: dense(zeros) });
  },
  gpu: gpuDecodeGrid,
};
