/**
 * What every device makes of the rows of a column block, against the row kernels, each operation from equal operands.
 * Signs are equal away from ties: where two levels are equally good but for the rounding of float32.
 */
import assert from "node:assert/strict";
import { alternateRounds } from "./alternate.ts";
import { binarizeRows, pruneCodes } from "./binarize.ts";
import { columnwiseSweep } from "./columnwise.ts";
import { allClose, allEqual, correlated, FLOAT } from "../conformance_test_support.ts";
import { decodeBlock, fillLevels } from "./decode.ts";
import { type Device, type ElementArrays, type ElementType, type Matrix, matrix } from "../device.ts";
import { deviceCases, type TestedDevice } from "../device_test_support.ts";
import { jointSolution } from "./joint.ts";
import { GROUP_SHIFT, KEPT, scalesPerBlock, SECOND_SIGN, SIGN } from "./quantized_layer.ts";
import { resignSweep } from "./resign.ts";
import { groupCodes, multiply, uniform, weights } from "./row_kernels_test_support.ts";
import { alternate } from "./alternate_op.ts";
import { columnwise } from "./columnwise_op.ts";
import { decode } from "./decode_op.ts";
import { prune, startScales } from "./binarize_ops.ts";
import { resign } from "./resign_op.ts";
import { solveJoint } from "./joint_op.ts";

interface Shape {
  readonly rows: number;
  readonly cols: number;
  readonly segments: number;
  readonly salient: boolean;
}

/** Blocks of a layer, and whole layers of few rows as one block. */
const BLOCKS = {
  "1×1": { rows: 1, cols: 1, segments: 1, salient: false },
  "primes, 13×53": { rows: 13, cols: 53, segments: 3, salient: true },
  "workgroup + 1, 65×129": { rows: 65, cols: 129, segments: 2, salient: true },
  "short last block, 29×44": { rows: 29, cols: 44, segments: 4, salient: false },
  "576 wide": { rows: 3, cols: 576, segments: 3, salient: true },
  "1536 wide": { rows: 2, cols: 1536, segments: 3, salient: true, slow: true },
} satisfies Record<string, Shape & { readonly slow?: boolean }>;

/** Where no S is needed. */
const LAYERS = {
  ...BLOCKS,
  "4096 wide": { rows: 2, cols: 4096, segments: 3, salient: true },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, segments: 3, salient: true, slow: true },
};

const PRUNED = 4;

/** A block as it is after `binarizeRows`. */
function blockOf(shape: Shape) {
  const { rows, cols, salient, segments } = shape, w = weights("heavy", rows, cols, rows + cols), next = uniform(cols);
  const rank = Uint8Array.from(w, () => Math.floor(8 * next()));
  const codes = groupCodes(w, cols, salient ? Math.min(5, cols) : 0, segments);
  const scales = new Float32Array(rows * scalesPerBlock(shape)), groups = codes.slice();
  binarizeRows(codes, scales, { ...shape, w, rank, pruned: 0 });
  return { w, rank, groups, codes, scales };
}

/** A matrix on the device that starts three elements into its buffer. */
function upload<T extends ElementType>(device: Device, type: T, data: ElementArrays[T], rows: number): Matrix<T> {
  const arrays: { readonly [K in ElementType]: () => ElementArrays[K] } = {
    f32: () => Float32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? NaN : data[i - 3]),
    u8: () => Uint8Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
    u32: () => Uint32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
  };
  return { ...matrix(device.upload(type, arrays[type]()), rows, data.length / rows), offset: 3 };
}

/** The matrices that `upload` made, as they are now. */
async function back<const M extends readonly Matrix<ElementType>[]>(device: Device, ...matrices: M) {
  const arrays = await device.download(matrices.map(({ buffer }) => buffer));
  return arrays.map((array) => array.subarray(3));
}

/** Scores two levels of a weight as a kernel does when it chooses: the difference, and the size of what is summed. */
type Contest = (row: number, col: number, found: number, wanted: number) => readonly [difference: number, size: number];

/**
 * Codes are equal up to the first tie of each row.
 *
 * @param contest undefined where a tie does not touch later columns, which are then compared too
 * @returns rows that met a tie
 */
function assertCodes(
  found: ArrayLike<number>,
  wanted: Uint8Array,
  { cols, contest, sweeps }: { readonly cols: number; readonly contest: Contest; readonly sweeps: boolean },
): ReadonlySet<number> {
  const tied = new Set<number>();
  let ties = 0;
  assert.equal(found.length, wanted.length);
  for (let at = 0; at < wanted.length; at++) {
    const row = Math.floor(at / cols);
    if (found[at] === wanted[at] || sweeps && tied.has(row)) continue;
    const [difference, size] = contest(row, at % cols, found[at], wanted[at]);
    if (!(Math.abs(difference) <= 64 * FLOAT * size)) {
      assert.fail(
        `At ${row},${at % cols}: ${found[at]}, not ${wanted[at]}, which is better by ${difference} of ${size}`,
      );
    }
    tied.add(row);
    ties++;
  }
  assert.ok(ties <= 2 + 1e-3 * wanted.length, `${ties} ties`);
  return tied;
}

/** All values but those of some rows. */
function without<A extends ArrayLike<number>>(values: A, rows: ReadonlySet<number>, cols: number): number[] {
  return Array.from(values).filter((_, at) => !rows.has(Math.floor(at / cols)));
}

deviceCases(
  "startScales() gives the row kernel's signs away from ties, and its scales",
  LAYERS,
  async (device, shape) => {
    const { rows, cols } = shape, { w, rank, groups } = blockOf(shape), stride = scalesPerBlock(shape);
    for (const [pruned, salientPruned] of [[0, 0], [PRUNED, 0], [PRUNED, PRUNED]]) {
      const codes = groups.slice(), scales = new Float32Array(rows * stride);
      binarizeRows(codes, scales, { ...shape, w, rank, pruned, salientPruned });
      const dCodes = upload(device, "u8", groups, rows), dScales = upload(device, "f32", scales.map(() => NaN), rows);
      const there = { w: upload(device, "f32", w, rows), rank: upload(device, "u8", rank, rows) };
      device.run(startScales, dCodes, dScales, { ...shape, ...there, pruned, salientPruned });
      const [bits, values] = await back(device, dCodes, dScales), levels = new Float64Array(8 * (shape.segments + 1));
      const contest: Contest = (row, col, found, wanted) => {
        fillLevels(levels, scales, row * stride, shape);
        const x = w[row * cols + col],
          size = levels.reduce((sum, level) => Math.max(sum, Math.abs(level)), Math.abs(x));
        return [Math.abs(x - levels[found]) - Math.abs(x - levels[wanted]), size];
      };
      const tied = assertCodes(bits, codes, { cols, contest, sweeps: false });
      allClose(without(values, tied, stride), without(scales, tied, stride), 2 * FLOAT, "scales");
    }
  },
);

deviceCases("prune() and decode() are the row kernels'", LAYERS, async (device, shape) => {
  const { rows, cols } = shape, { rank, codes, scales } = blockOf(shape), decoded = new Float32Array(codes.length);
  const dCodes = upload(device, "u8", codes, rows), out = upload(device, "f32", decoded, rows);
  device.run(prune, dCodes, { rank: upload(device, "u8", rank, rows), pruned: PRUNED });
  device.run(decode, out, { ...shape, codes: dCodes, scales: upload(device, "f32", scales, rows) });
  pruneCodes(codes, rank, PRUNED);
  decodeBlock(decoded, { ...shape, codes, scales });
  const [bits, values] = await back(device, dCodes, out);
  allEqual(bits, codes, "codes");
  allClose(values, decoded, 4 * FLOAT, "values");
  for (let at = 0; at < codes.length; at++) if ((codes[at] & KEPT) === 0) assert.equal(Math.abs(values[at]), 0);
  assert.equal(values.length, rows * cols);
});

/** S as the row kernels read it whole: what is larger than a binding is refused by name, which is all to be said of it. */
function testWithGram(
  title: string,
  body: (device: Device, shape: Shape, gram: Float32Array) => Promise<void>,
): void {
  deviceCases(title, BLOCKS, async (device, shape, { window }: TestedDevice) => {
    const run = () => body(device, shape, correlated(shape.cols));
    if (shape.cols ** 2 <= window) return await run();
    await assert.rejects(run(), /Device operation "\w+" failed: Cannot run .*: a binding takes at most/);
  });
}

testWithGram("alternate() gives the row kernel's scales", async (device, shape, gram) => {
  const { rows, cols } = shape, { w, rank, codes, scales } = blockOf(shape);
  for (const schedule of ["stepwise", "oneshot"] as const) {
    const rounds = { schedule, iterations: 15, pruned: PRUNED }, wanted = scales.slice();
    const out = upload(device, "f32", scales, rows);
    device.run(alternate, out, {
      ...shape,
      ...rounds,
      w: upload(device, "f32", w, rows),
      rank: upload(device, "u8", rank, rows),
      gram: upload(device, "f32", gram, cols),
      codes: upload(device, "u8", codes, rows),
    });
    const [found] = await back(device, out);
    alternateRounds(wanted, { ...shape, ...rounds, w, rank, gram, codes });
    allClose(found, wanted, 4 * FLOAT, schedule);
  }
});

testWithGram("solveJoint() gives the row kernel's scales", async (device, shape, gram) => {
  const { rows, cols } = shape, { w, rank, codes, scales } = blockOf(shape), target = multiply(w, gram, cols);
  pruneCodes(codes, rank, PRUNED);
  const out = upload(device, "f32", scales, rows);
  device.run(solveJoint, out, {
    ...shape,
    target: upload(device, "f32", target, rows),
    gram: upload(device, "f32", gram, cols),
    codes: upload(device, "u8", codes, rows),
  });
  const [found] = await back(device, out);
  jointSolution(scales, { ...shape, target, gram, codes });
  allClose(found, scales, 4 * FLOAT, "scales");
});

testWithGram("resign() chooses the row kernel's signs away from ties", async (device, shape, gram) => {
  const { rows, cols } = shape, { rank, codes, scales } = blockOf(shape), stride = scalesPerBlock(shape);
  pruneCodes(codes, rank, PRUNED);
  const residual = multiply(weights("normal", rows, cols, 5), gram, cols), wanted = codes.slice();
  const out = upload(device, "u8", codes, rows);
  device.run(resign, out, {
    ...shape,
    residual: upload(device, "f32", residual, rows),
    gram: upload(device, "f32", gram, cols),
    scales: upload(device, "f32", scales, rows),
  });
  const [found] = await back(device, out);
  resignSweep(wanted, { ...shape, residual, gram, scales });
  const levels = new Float64Array(8 * (shape.segments + 1));
  const contest: Contest = (row, col, a, b) => {
    fillLevels(levels, scales, row * stride, shape);
    let rest = residual[row * cols + col], sum = Math.abs(rest);
    for (let k = 0; k < col; k++) {
      const moved = (levels[wanted[row * cols + k]] - levels[codes[row * cols + k]]) * gram[k * cols + col];
      rest -= moved;
      sum += Math.abs(moved);
    }
    const old = levels[codes[row * cols + col]], curve = gram[col * cols + col];
    const change = (code: number) => (levels[code] - old) * ((levels[code] - old) * curve - 2 * rest);
    const delta = Math.max(Math.abs(levels[a] - old), Math.abs(levels[b] - old));
    return [change(a) - change(b), delta * (delta * curve + 2 * sum)];
  };
  assertCodes(found, wanted, { cols, contest, sweeps: true });
  if (cols > 1) assert.notDeepEqual(wanted, codes, "signs change");
});

testWithGram("columnwise() chooses the row kernel's signs away from ties, and leaves its errors", async (
  device,
  shape,
  gram,
) => {
  const { rows, cols } = shape, { w, rank, codes, scales } = blockOf(shape), stride = scalesPerBlock(shape);
  pruneCodes(codes, rank, PRUNED);
  // An upper factor; NaN where it is not to be read.
  const factor = gram.map((x, at) => {
    const i = Math.floor(at / cols), j = at % cols;
    return i === j ? 1 + x : i < j ? x / 10 : NaN;
  });
  const wanted = codes.slice(), errors = new Float32Array(w.length);
  const out = upload(device, "u8", codes, rows), dErrors = upload(device, "f32", errors, rows);
  device.run(columnwise, out, dErrors, {
    ...shape,
    w: upload(device, "f32", w, rows),
    factor: upload(device, "f32", factor, cols),
    scales: upload(device, "f32", scales, rows),
  });
  const [found, foundErrors] = await back(device, out, dErrors);
  columnwiseSweep(wanted, errors, { ...shape, w, factor, scales });
  const levels = new Float64Array(8 * (shape.segments + 1));
  const contest: Contest = (row, col, a, b) => {
    fillLevels(levels, scales, row * stride, shape);
    let v = w[row * cols + col], sum = Math.abs(v);
    for (let k = 0; k < col; k++) {
      const fed = errors[row * cols + k] * factor[k * cols + col];
      v -= fed;
      sum += Math.abs(fed);
    }
    return [Math.abs(v - levels[a]) - Math.abs(v - levels[b]), sum + Math.abs(levels[a]) + Math.abs(levels[b])];
  };
  const tied = assertCodes(found, wanted, { cols, contest, sweeps: true });
  allClose(without(foundErrors, tied, cols), without(errors, tied, cols), 4 * FLOAT, "errors");
  for (let at = 0; at < wanted.length; at++) {
    assert.equal(wanted[at] & ~(SIGN | SECOND_SIGN), codes[at] & ~(SIGN | SECOND_SIGN));
    assert.equal(found[at] >> GROUP_SHIFT, codes[at] >> GROUP_SHIFT);
  }
});
