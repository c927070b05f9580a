/**
 * What every device makes of grids, against the row kernels, each operation from equal operands; and those against the formulas. Codes are
 * equal away from ties: where two levels are equally near but for the rounding of float32.
 */
import assert from "node:assert/strict";
import { allClose, allEqual, correlated, FLOAT } from "../conformance_test_support.ts";
import { type Device, type ElementArrays, type ElementType, type Matrix, matrix } from "../device.ts";
import { deviceCases, deviceTest, type TestedDevice } from "../device_test_support.ts";
import { KINDS, weights } from "../binary/row_kernels_test_support.ts";
import { columnwiseGridSweep } from "./columnwise.ts";
import { fitRows, zerosOf } from "./fit.ts";
import { columnwiseGrid, decodeGrid, fitGrid, gridZeros, roundGrid } from "./grid_ops.ts";
import type { GridKind } from "./grid_row.ts";
import { decodeRows, roundRows } from "./round.ts";

interface Shape {
  readonly rows: number;
  readonly cols: number;
  readonly bits: number;
}

/** Blocks of a layer. */
const BLOCKS = {
  "1×1": { rows: 1, cols: 1, bits: 3 },
  "primes, 13×53": { rows: 13, cols: 53, bits: 1 },
  "workgroup + 1, 65×129": { rows: 65, cols: 129, bits: 2 },
  "short last block, 29×44": { rows: 29, cols: 44, bits: 3 },
  "two tiles, 130×9": { rows: 130, cols: 9, bits: 8 },
  "576 wide": { rows: 3, cols: 576, bits: 4 },
} satisfies Record<string, Shape & { readonly slow?: boolean }>;

/** Where columns do not wait for each other. */
const LAYERS = {
  ...BLOCKS,
  "4096 wide": { rows: 2, cols: 4096, bits: 4 },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, bits: 2, slow: true },
};

/** A block and its grids, by the row kernels. */
function blockOf({ rows, cols, bits }: Shape, grid: GridKind = "minmax") {
  const w = weights("heavy", rows, cols, rows + cols);
  // A row that is all zero, and one on one side of it.
  if (rows > 2) {
    w.fill(0, cols, 2 * cols);
    for (let at = 2 * cols; at < 3 * cols; at++) w[at] = Math.abs(w[at]);
  }
  const scales = new Float32Array(rows), lows = new Float32Array(rows), zeros = new Uint8Array(rows);
  fitRows(scales, lows, { w, rows, cols, bits, grid });
  if (grid === "minmax") zerosOf(zeros, { scales, lows, bits });
  return { w, scales, lows, zeros };
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

/** How far below half a step each value is from the nearest tie, over what rounding may have moved it by: a tie is below 1. */
type Margin = (at: number) => number;

/** Codes are equal up to the first tie of each row; the rows that met one. */
function assertCodes(
  found: ArrayLike<number>,
  wanted: Uint8Array,
  { cols, margin }: { readonly cols: number; readonly margin: Margin },
): ReadonlySet<number> {
  const tied = new Set<number>();
  assert.equal(found.length, wanted.length);
  for (let at = 0; at < wanted.length; at++) {
    const row = Math.floor(at / cols);
    if (found[at] === wanted[at] || tied.has(row)) continue;
    if (margin(at) > 1) assert.fail(`At ${row},${at % cols}: ${found[at]}, not ${wanted[at]}, which is no tie`);
    tied.add(row);
  }
  assert.ok(tied.size <= 1 + 1e-3 * wanted.length, `${tied.size} ties`);
  return tied;
}

/** All values but those of some rows. */
function without(values: ArrayLike<number>, rows: ReadonlySet<number>, cols: number): number[] {
  return Array.from(values).filter((_, at) => !rows.has(Math.floor(at / cols)));
}

/** How far x/scale is from where two levels are equally near. */
function fromTie(x: number, scale: number): number {
  const place = Math.abs(x / scale) % 1;
  return Math.abs(place - 0.5);
}

deviceCases("fitGrid() and gridZeros() give the row kernels' grids", LAYERS, async (device, shape) => {
  const { rows, bits } = shape;
  for (const grid of bits === 1 ? ["minmax", "sign"] as const : ["minmax"] as const) {
    const { w, scales, lows, zeros } = blockOf(shape, grid), none = new Float32Array(rows).fill(NaN);
    const [dScales, dLows] = [upload(device, "f32", none, rows), upload(device, "f32", none, rows)];
    device.run(fitGrid, dScales, dLows, { w: upload(device, "f32", w, rows), bits, grid });
    const [foundScales, foundLows] = await back(device, dScales, dLows);
    // Each by itself: rows differ in size.
    scales.forEach((scale, row) => allClose([foundScales[row]], [scale], 2 * FLOAT, `scale ${row}`));
    allEqual(foundLows, lows, "lows");
    if (grid === "sign") continue;
    const dZeros = upload(device, "u8", zeros.slice().fill(255), rows);
    const operands = { scales: upload(device, "f32", scales, rows), lows: upload(device, "f32", lows, rows), bits };
    device.run(gridZeros, dZeros, operands);
    const [foundZeros] = await back(device, dZeros);
    assertCodes(foundZeros, zeros, {
      cols: 1,
      margin: (row) => fromTie(lows[row], scales[row]) / (8 * FLOAT * 2 ** bits),
    });
  }
});

deviceCases("roundGrid() gives the row kernel's codes away from ties, decodeGrid() its values", LAYERS, async (
  device,
  shape,
) => {
  const { rows, cols, bits } = shape;
  for (const grid of bits === 1 ? ["minmax", "sign"] as const : ["minmax"] as const) {
    const { w, scales, zeros } = blockOf(shape, grid), codes = new Uint8Array(w.length);
    roundRows(codes, { w, rows, cols, scales, zeros, bits, grid });
    const grids = { scales: upload(device, "f32", scales, rows), zeros: upload(device, "u8", zeros, rows), bits, grid };
    const dCodes = upload(device, "u8", codes.slice().fill(255), rows);
    device.run(roundGrid, dCodes, { ...grids, w: upload(device, "f32", w, rows) });
    const out = upload(device, "f32", w.slice().fill(NaN), rows), decoded = new Float32Array(w.length);
    device.run(decodeGrid, out, { ...grids, codes: upload(device, "u8", codes, rows) });
    const [found, values] = await back(device, dCodes, out);
    assertCodes(found, codes, {
      cols,
      margin: (at) => fromTie(w[at], scales[Math.floor(at / cols)]) / (8 * FLOAT * 2 ** bits),
    });
    allEqual(values, decodeRows(decoded, { codes, scales, zeros, rows, cols, groupSize: cols, grid }), "values");
  }
});

deviceTest("decodeGrid() takes groups of columns, the last of them short", async (device) => {
  const rows = 5, cols = 23, groupSize = 8, groups = 3, shape = { rows, cols, groupSize };
  const { codes, scales, zeros } = groupedCodes(rows, cols, groups), decoded = new Float32Array(rows * cols);
  decodeRows(decoded, { ...shape, codes, scales, zeros, grid: "minmax" });
  const out = upload(device, "f32", decoded.slice().fill(NaN), rows);
  device.run(decodeGrid, out, {
    codes: upload(device, "u8", codes, rows),
    scales: upload(device, "f32", scales, rows),
    zeros: upload(device, "u8", zeros, rows),
    grid: "minmax",
    groupSize,
  });
  const [found] = await back(device, out);
  allEqual(found, decoded, "values");
  allEqual(
    decoded,
    Float32Array.from(codes, (code, at) => {
      const group = groups * Math.floor(at / cols) + Math.floor(at % cols / groupSize);
      return (code - zeros[group]) * scales[group];
    }),
    "values by the formula",
  );
});

function groupedCodes(rows: number, cols: number, groups: number) {
  const values = weights("normal", rows, cols, 3);
  return {
    codes: Uint8Array.from(values, (x) => Math.floor(Math.abs(5 * x)) % 8),
    scales: Float32Array.from({ length: rows * groups }, (_, i) => 0.1 + i % 7),
    zeros: Uint8Array.from({ length: rows * groups }, (_, i) => i % 8),
  };
}

deviceCases("columnwiseGrid() gives the row kernel's codes away from ties, and leaves its errors", BLOCKS, async (
  device,
  shape,
  { window }: TestedDevice,
) => {
  // A factor is read whole: what is larger than a binding is refused by name, which is all to be said of it.
  if (shape.cols ** 2 <= window) return await assertColumnwise(device, shape);
  await assert.rejects(
    assertColumnwise(device, shape),
    /"columnwiseGrid" failed: Cannot run .*: a binding takes at most/,
  );
});

async function assertColumnwise(device: Device, shape: Shape): Promise<void> {
  const { rows, cols, bits } = shape, { w, scales, zeros } = blockOf(shape);
  // An upper factor; NaN where it is not to be read.
  const factor = correlated(cols).map((x, at) => {
    const i = Math.floor(at / cols), j = at % cols;
    return i === j ? 1 + x : i < j ? x / 10 : NaN;
  });
  const codes = new Uint8Array(w.length), errors = new Float32Array(w.length);
  const dCodes = upload(device, "u8", codes.slice().fill(255), rows), dErrors = upload(device, "f32", errors, rows);
  device.run(columnwiseGrid, dCodes, dErrors, {
    w: upload(device, "f32", w, rows),
    factor: upload(device, "f32", factor, cols),
    scales: upload(device, "f32", scales, rows),
    zeros: upload(device, "u8", zeros, rows),
    bits,
  });
  const [found, foundErrors] = await back(device, dCodes, dErrors);
  columnwiseGridSweep(codes, errors, { w, factor, scales, zeros, rows, cols, bits });
  const margin: Margin = (at) => {
    const row = Math.floor(at / cols), col = at % cols;
    let x = w[at], size = Math.abs(x);
    for (let k = 0; k < col; k++) {
      const fed = errors[row * cols + k] * factor[k * cols + col];
      x -= fed;
      size += Math.abs(fed);
    }
    return fromTie(x, scales[row]) / (64 * FLOAT * (1 + size / scales[row]));
  };
  const tied = assertCodes(found, codes, { cols, margin });
  allClose(without(foundErrors, tied, cols), without(errors, tied, cols), 4 * FLOAT, "errors");
}

Deno.test("columnwiseGridSweep() is GPTQ's loop as it is written", () => {
  for (const kind of KINDS) {
    for (const { rows, cols, bits } of [{ rows: 7, cols: 21, bits: 2 }, { rows: 70, cols: 16, bits: 3 }]) {
      const w = weights(kind, rows, cols, 11), scales = new Float32Array(rows), lows = new Float32Array(rows);
      const zeros = new Uint8Array(rows), codes = new Uint8Array(w.length), errors = new Float32Array(w.length);
      fitRows(scales, lows, { w, rows, cols, bits, grid: "minmax" });
      zerosOf(zeros, { scales, lows, bits });
      const factor = correlated(cols).map((x, at) => Math.floor(at / cols) === at % cols ? 1 + x : x / 20);
      columnwiseGridSweep(codes, errors, { w, factor, scales, zeros, rows, cols, bits });
      for (let row = 0; row < rows; row++) {
        const x = Float64Array.from(w.subarray(row * cols, (row + 1) * cols)), scale = scales[row];
        for (let j = 0; j < cols; j++) {
          const place = scale > 0 ? Math.floor(x[j] / scale + 0.5) + zeros[row] : zeros[row];
          const code = Math.min(2 ** bits - 1, Math.max(0, place)), at = row * cols + j;
          const error = (x[j] - Math.fround((code - zeros[row]) * scale)) / factor[j * (cols + 1)];
          assert.equal(codes[at], code, `${kind}: ${row},${j}`);
          assert.ok(Math.abs(errors[at] - error) <= 2 * FLOAT * Math.max(1, Math.abs(error)));
          for (let k = j + 1; k < cols; k++) x[k] -= error * factor[j * cols + k];
        }
      }
    }
  }
});

Deno.test("a fitted grid holds 0, the smallest and the largest weight of its row to half a step", () => {
  for (const kind of KINDS) {
    for (let bits = 1; bits <= 8; bits++) {
      const rows = 9, cols = 33, w = weights(kind, rows, cols, bits);
      const scales = new Float32Array(rows), lows = new Float32Array(rows), zeros = new Uint8Array(rows);
      const codes = new Uint8Array(w.length), decoded = new Float32Array(w.length);
      fitRows(scales, lows, { w, rows, cols, bits, grid: "minmax" });
      zerosOf(zeros, { scales, lows, bits });
      roundRows(codes, { w, rows, cols, scales, zeros, bits, grid: "minmax" });
      decodeRows(decoded, { codes, scales, zeros, rows, cols, groupSize: cols, grid: "minmax" });
      decoded.forEach((value, at) => {
        const step = scales[Math.floor(at / cols)];
        // The grid is moved by half a step at most, so that it holds 0.
        assert.ok(Math.abs(value - w[at]) <= step * (1 + 1e-6), `${kind}, ${bits} bits: ${value}, not ${w[at]}`);
        if (w[at] === 0) assert.equal(Math.abs(value), 0);
      });
    }
  }
});

deviceTest("fitGrid() and the others refuse bits that are none", (device) => {
  const one = () => matrix(device.alloc("f32", 1), 1, 1), w = one();
  for (const [bits, grid] of [[0, "minmax"], [9, "minmax"], [2.5, "minmax"], [2, "sign"]] as const) {
    assert.throws(() => device.run(fitGrid, one(), one(), { w, bits, grid }), {
      name: "RangeError",
      message: /Cannot use a (minmax|sign) grid as bits must be 1\.\.[18]: current value is/,
    });
  }
});
