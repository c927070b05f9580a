/** Refined binarization of a column block, and its way back to weights. */
import { dense } from "../cpu_buffer.ts";
import { expectShape, type Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import { checkShape, meansPerRow, productsPerRow } from "./layout.ts";
import { decodeRefinedBlock, groupsOf, type RefinedOperands, type TakenGroups } from "./levels.ts";
import { gpuDecodeRefined, gpuTakeGroups } from "./levels_webgpu.ts";
import { type MeansOperands, refineMeanRows } from "./means.ts";
import { gpuRefineMeans } from "./means_webgpu.ts";
import { type ProductsOperands, refineProductBlock } from "./products.ts";
import { gpuRefineProducts } from "./products_webgpu.ts";

/** Signs into codes, and scales (rows × `meansPerRow`) := means and scales, refined in rounds; see `refineMeanRows`. */
export const refineMeans: Op<[codes: Matrix<"u8">, scales: Matrix, options: MeansOperands]> = {
  name: "refineMeans",
  check(codes, scales, { w, ...shape }) {
    checkShape("refineMeans", shape);
    expectShape("refineMeans", codes, w.rows, w.cols);
    expectShape("refineMeans", scales, w.rows, meansPerRow(shape));
  },
  cpu(_, codes, scales, { w, ...shape }) {
    refineMeanRows(dense(codes), dense(scales), { ...shape, w: dense(w), rows: w.rows, cols: w.cols });
  },
  gpu: gpuRefineMeans,
};

/** Signs into codes, and row and column scales, refined in rounds; see `refineProductBlock`. */
export const refineProducts: Op<
  [codes: Matrix<"u8">, scales: Matrix, columnScales: Matrix, options: ProductsOperands]
> = {
  name: "refineProducts",
  check(codes, scales, columnScales, { w, ...shape }) {
    checkShape("refineProducts", shape);
    expectShape("refineProducts", codes, w.rows, w.cols);
    expectShape("refineProducts", scales, w.rows, productsPerRow(shape));
    expectShape("refineProducts", columnScales, w.cols, productsPerRow(shape));
  },
  cpu(_, codes, scales, columnScales, { w, ...shape }) {
    const { rows, cols } = w, found = { rows: dense(scales), columns: dense(columnScales) };
    refineProductBlock(dense(codes), found, { ...shape, w: dense(w), rows, cols });
  },
  gpu: gpuRefineProducts,
};

/** out := the weights that codes and scales stand for; see `decodeRefinedBlock`. */
export const decodeRefined: Op<[out: Matrix, options: RefinedOperands]> = {
  name: "decodeRefined",
  check(out, { codes, scales, columnScales, ...shape }) {
    checkShape("decodeRefined", shape);
    const each = columnScales === undefined ? meansPerRow(shape) : productsPerRow(shape);
    expectShape("decodeRefined", codes, out.rows, out.cols);
    expectShape("decodeRefined", scales, out.rows, each);
    if (columnScales !== undefined) expectShape("decodeRefined", columnScales, out.cols, each);
  },
  cpu(_, out, { codes, scales, columnScales, ...shape }) {
    const arrays = { codes: dense(codes), scales: dense(scales), columnScales: columnScales && dense(columnScales) };
    decodeRefinedBlock(dense(out), { ...shape, ...arrays, rows: out.rows, cols: out.cols });
  },
  gpu: gpuDecodeRefined,
};

/** out := some groups as codes of their own; see `groupsOf`. */
export const takeGroups: Op<[out: Matrix<"u8">, options: TakenGroups]> = {
  name: "takeGroups",
  check: (out, { codes }) => expectShape("takeGroups", out, codes.rows, codes.cols),
  cpu: (_, out, { codes, ...groups }) => groupsOf(dense(out), dense(codes), groups),
  gpu: gpuTakeGroups,
};
