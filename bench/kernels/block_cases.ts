/** The operations on one column block, each on what the ones before it leave. */
import { type Device, matrix } from "../../kernels/device.ts";
import {
  alternate,
  columnwise,
  decode,
  prune,
  rescale,
  resign,
  scalesPerBlock,
  searchSalient,
  searchSegments,
  searchThresholds,
  solveJoint,
  startPlain,
  startScales,
} from "../../kernels/binary/ops.ts";
import { alternateFlops, columnwiseFlops, elementBytes, type Elements, jointFlops, resignFlops } from "./counts.ts";
import { BLOCK, type BlockData, blockData } from "./data.ts";
import type { KernelCase, Work } from "./kernel_case.ts";
import { refinementCases } from "./refinement_cases.ts";
import { copy } from "../../kernels/matrix/ops.ts";
import { importance, rank } from "../../kernels/scores/ops.ts";
import { pruneColumns, pruneWeights } from "../../kernels/sparse/ops.ts";

/** Columns of a block. */
const COLS = 128;

/** The search of the official BiLLM. */
const BILLM = { within: "rest", order: 1, doubled: false, candidates: 81, percentiles: "block", first: 1 } as const;

/** Every operation on column blocks of SmolLM2's attention and feed-forward layers. */
export function blockCases(): KernelCase[] {
  return [...casesOf(576, true), ...casesOf(1536, false), ...refinementCases()];
}

function casesOf(rows: number, quick: boolean): KernelCase[] {
  const cols = COLS, all = rows * cols, scales = rows * scalesPerBlock(BLOCK);
  let made: BlockData | undefined;
  const data = () => made ??= blockData(rows, cols);
  const make = (op: string, work: () => Work, open: (block: Block, device: Device) => () => void): KernelCase => ({
    op,
    size: `${rows} × ${cols}`,
    quick,
    work,
    open: (device) => open(upload(device, data()), device),
  });
  const moves = (elements: Elements) => (): Work => ({
    bound: "memory",
    bytes: (kind) => elementBytes(elements, kind),
  });
  const computes = (flops: (data: BlockData) => number) => (): Work => ({ bound: "compute", flops: flops(data()) });
  return [
    make(
      "importance",
      moves({ f32: 2 * all }),
      ({ w, diagonalU, score }, device) => () => device.run(importance, score, w, { metric: "hessian", diagonalU }),
    ),
    make(
      "rank",
      moves({ f32: all, u8: all }),
      ({ score, rank: out }, device) => () => device.run(rank, out, score, { of: BLOCK.of, type: "semi-structured" }),
    ),
    make(
      "searchSalient",
      moves({ f32: 2 * all, u8: all + cols }),
      ({ w, score, rank, salient }, device) => () =>
        device.run(searchSalient, salient, { score, values: w, rank, pruned: 0, most: BLOCK.most }),
    ),
    make(
      "searchSegments",
      moves({ f32: all, u8: 2 * all + cols }),
      ({ w, rank, salient, grouped }, device) => () =>
        device.run(searchSegments, grouped, { ...BLOCK, w, salient, rank, pruned: 0 }),
    ),
    make(
      "searchThresholds",
      moves({ f32: all, u8: 2 * all + cols }),
      ({ score, rank, salient, grouped }, device) => () =>
        device.run(searchThresholds, grouped, { ...BILLM, values: score, salient, rank, pruned: 0 }),
    ),
    make(
      "startScales",
      moves({ f32: all + scales, u8: 3 * all }),
      ({ w, rank, grouped, scales }, device) => () =>
        device.run(startScales, grouped, scales, { ...BLOCK, w, rank, pruned: 0, salientPruned: 0 }),
    ),
    make(
      "alternate",
      // Weights of the lowest rank leave before the first round.
      computes(({ grouped, rank }) => alternateFlops({ codes: grouped, rank, rows, cols, first: 1 })),
      ({ w, gram, rank, grouped, scales }, device) => () =>
        device.run(alternate, scales, { ...BLOCK, schedule: "stepwise", w, gram, codes: grouped, rank }),
    ),
    make(
      "prune",
      moves({ u8: 3 * all }),
      ({ codes, rank }, device) => () => device.run(prune, codes, { rank, pruned: BLOCK.pruned }),
    ),
    make("solveJoint", computes(({ codes }) => jointFlops({ codes, rows, cols })), (
      { target, gram, codes, scales },
      device,
    ) =>
    () => device.run(solveJoint, scales, { ...BLOCK, target, gram, codes })),
    make(
      "resign",
      computes(({ codes, signed }) => resignFlops({ codes, signed, rows, cols })),
      ({ residual, gram, scales, codes }, device) => {
        // The first sweep is what is measured: a second one would find little to change.
        const start = matrix(device.alloc("u8", all), rows, cols);
        device.run(copy, start, codes);
        return () => {
          device.run(copy, codes, start);
          device.run(resign, codes, { ...BLOCK, residual, gram, scales });
        };
      },
    ),
    make("columnwise", computes(() => columnwiseFlops(rows, cols)), (
      { w, factor, scales, codes, residual },
      device,
    ) =>
    () => device.run(columnwise, codes, residual, { ...BLOCK, w, factor, scales })),
    make(
      "pruneWeights",
      moves({ f32: 2 * all, u8: 2 * all }),
      ({ w, rank, score, codes }, device) => () =>
        device.run(pruneWeights, score, codes, w, { rank, pruned: BLOCK.pruned, half: true }),
    ),
    make("pruneColumns", computes(() => columnwiseFlops(rows, cols)), (
      { w, factor, diagonalU, score, codes, residual },
      device,
    ) =>
    () =>
      device.run(pruneColumns, score, codes, residual, {
        ...{ w, factor, pruned: BLOCK.pruned, half: true },
        masks: { of: BLOCK.of, columnWeight: diagonalU },
      })),
    make(
      "startPlain",
      moves({ f32: all + scales, u8: 2 * all }),
      ({ w, rank, codes, scales }, device) => () =>
        device.run(startPlain, codes, scales, { w, rank, pruned: BLOCK.pruned }),
    ),
    make(
      "rescale",
      moves({ f32: 3 * all + scales }),
      ({ w, target, residual, scales }, device) => () =>
        device.run(rescale, scales, { decoded: w, target, product: residual }),
    ),
    make(
      "decode",
      moves({ f32: all + scales, u8: all }),
      ({ codes, scales, score }, device) => () => device.run(decode, score, { ...BLOCK, codes, scales }),
    ),
  ];
}

type Block = ReturnType<typeof upload>;

/** A block on a device, its arrays copied. */
function upload(device: Device, data: BlockData) {
  const { rows, cols } = data, scales = scalesPerBlock(BLOCK);
  const f32 = (array: Float32Array, rows: number, cols: number) =>
    matrix(device.upload("f32", array.slice()), rows, cols);
  const u8 = (array: Uint8Array, rows: number, cols: number) => matrix(device.upload("u8", array.slice()), rows, cols);
  return {
    w: f32(data.w, rows, cols),
    gram: f32(data.gram, cols, cols),
    factor: f32(data.factor, cols, cols),
    diagonalU: f32(data.diagonalU, 1, cols),
    score: f32(data.score, rows, cols),
    rank: u8(data.rank, rows, cols),
    salient: u8(data.salient, 1, cols),
    grouped: u8(data.grouped, rows, cols),
    codes: u8(data.codes, rows, cols),
    scales: f32(data.scales, rows, scales),
    target: f32(data.target, rows, cols),
    residual: f32(data.residual, rows, cols),
  };
}
