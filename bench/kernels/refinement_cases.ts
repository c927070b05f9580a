/** The operations of ARB-LLM on one column block: groups of refined signs and scales, and ARB-X's search for a cut. */
import { chooseSplit, GROUP_SHIFT, KEPT, splitCandidates, splitResiduals } from "../../kernels/binary/ops.ts";
import { type Device, matrix } from "../../kernels/device.ts";
import {
  decodeRefined,
  meansPerRow,
  productsPerRow,
  refineMeans,
  refineProducts,
  takeGroups,
} from "../../kernels/refinement/ops.ts";
import { elementBytes, type Elements } from "./counts.ts";
import { randomWeights } from "./data.ts";
import type { KernelCase, Work } from "./kernel_case.ts";

/** Columns of a block, of which every tenth is salient. */
const COLS = 128, SALIENT = 10;

/** As with column groups. */
const SHAPE = { doubled: 2, single: 2 } as const;

const ITERATIONS = 15, CANDIDATES = 81;

/**
 * Operations of a round for each weight: with means the sums of values and of signs, and a comparison; with products two for each scale's
 * numerator and denominator, of rows and of columns.
 */
const MEANS_FLOPS = 4, PRODUCTS_FLOPS = 8;

/** Rows of both sizes of SmolLM2's layers. */
export function refinementCases(): KernelCase[] {
  return [...casesOf(576, true), ...casesOf(1536, false)];
}

function casesOf(rows: number, quick: boolean): KernelCase[] {
  const all = rows * COLS, w = () => randomWeights(all, rows);
  const make = (op: string, work: () => Work, open: (block: Block, device: Device) => () => void): KernelCase => ({
    op,
    size: `${rows} × ${COLS}`,
    quick,
    work,
    open: (device) => open(upload(device, w(), rows), device),
  });
  const moves = (elements: Elements) => (): Work => ({
    bound: "memory",
    bytes: (kind) => elementBytes(elements, kind),
  });
  const computes = (each: number) => (): Work => ({ bound: "compute", flops: each * all * ITERATIONS });
  const options = { ...SHAPE, iterations: ITERATIONS };
  return [
    make(
      "refineMeans",
      computes(MEANS_FLOPS),
      ({ w, codes, means }, device) => () => device.run(refineMeans, codes, means, { ...options, w }),
    ),
    make(
      "refineProducts",
      computes(PRODUCTS_FLOPS),
      ({ w, codes, products, columns }, device) => () =>
        device.run(refineProducts, codes, products, columns, { ...options, w }),
    ),
    make(
      "decodeRefined",
      moves({ f32: all + rows * meansPerRow(SHAPE), u8: all }),
      ({ out, codes, means }, device) => () => device.run(decodeRefined, out, { ...SHAPE, codes, scales: means }),
    ),
    make(
      "takeGroups",
      moves({ u8: 2 * all }),
      ({ codes, taken }, device) => () => device.run(takeGroups, taken, { codes, first: 1, count: 3 }),
    ),
    make(
      "splitCandidates",
      moves({ f32: all, u8: COLS }),
      ({ w, salient, candidates }, device) => () => device.run(splitCandidates, candidates, { values: w, salient }),
    ),
    make(
      "splitResiduals",
      moves({ f32: 2 * all, u8: COLS }),
      ({ w, salient, candidates, out }, device) => () =>
        device.run(splitResiduals, out, { values: w, salient, rest: w, candidates, first: 0 }),
    ),
    make(
      "chooseSplit",
      moves({ f32: all, u8: all + COLS }),
      ({ w, salient, candidates, errors, taken }, device) => () =>
        device.run(chooseSplit, taken, { values: w, salient, candidates, errors, firstGroup: 1 }),
    ),
  ];
}

type Block = ReturnType<typeof upload>;

/** A block on a device, cut in the middle within its salient columns and without. */
function upload(device: Device, w: Float32Array, rows: number) {
  const f32 = (rows: number, cols: number) => matrix(device.alloc("f32", rows * cols), rows, cols);
  const salient = Uint8Array.from({ length: COLS }, (_, c) => Number(c % SALIENT === 0));
  const codes = Uint8Array.from(w, (x, at) => {
    const group = (salient[at % COLS] ? 0 : SHAPE.doubled) + Number(Math.abs(x) > 0.015);
    return group << GROUP_SHIFT | KEPT;
  });
  const candidates = Float32Array.from({ length: CANDIDATES }, (_, k) => 0.001 * k);
  return {
    w: matrix(device.upload("f32", w), rows, COLS),
    out: f32(rows, COLS),
    codes: matrix(device.upload("u8", codes), rows, COLS),
    taken: matrix(device.alloc("u8", w.length), rows, COLS),
    means: f32(rows, meansPerRow(SHAPE)),
    products: f32(rows, productsPerRow(SHAPE)),
    columns: f32(COLS, productsPerRow(SHAPE)),
    salient: matrix(device.upload("u8", salient), 1, COLS),
    candidates: matrix(device.upload("f32", candidates), 1, CANDIDATES),
    errors: f32(1, CANDIDATES),
  };
}
