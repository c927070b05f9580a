/**
 * Pruning of column blocks on every device against plain float64. Masks are equal away from ties: where two scores are equal but for the
 * rounding of float32.
 */
import assert from "node:assert/strict";
import { correlated, FLOAT, RUN_SIZES, type RunSize } from "../conformance_test_support.ts";
import { uniform, weights } from "../binary/row_kernels_test_support.ts";
import { type Device, type ElementArrays, type ElementType, type Matrix, matrix } from "../device.ts";
import { deviceCases, deviceTest, type TestedDevice } from "../device_test_support.ts";
import { pruneColumns, pruneWeights } from "./prune_ops.ts";

/** A matrix on the device that starts three elements into its buffer. */
function upload<T extends ElementType>(device: Device, type: T, data: ElementArrays[T], rows: number): Matrix<T> {
  const arrays: { readonly [K in ElementType]: () => ElementArrays[K] } = {
    f32: () => Float32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? NaN : data[i - 3]),
    u8: () => Uint8Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
    u32: () => Uint32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
  };
  return { ...matrix(device.upload(type, arrays[type]()), rows, data.length / rows), offset: 3 };
}

/** float16 of a magnitude in units of 2^e, as the formulas have it: 11 significant bits, none below 2⁻²⁴, ties to even. */
function toHalf(value: number, e: number): number {
  const size = Math.abs(value) * 2 ** -e;
  if (size === 0) return 0;
  const step = 2 ** Math.max(-24, Math.floor(Math.log2(size)) - 10), low = Math.floor(size / step);
  const rest = size / step - low, up = rest > 0.5 || rest === 0.5 && low % 2 === 1 ? 1 : 0;
  return Math.sign(value) * Math.min(65504, (low + up) * step) * 2 ** e;
}

/** The unit of a row: 0 where its largest magnitude is from 2⁻¹⁴ to 2¹⁵, else that which brings it to 2¹⁴. */
function unitOf(row: Float32Array): number {
  const largest = row.reduce((most, x) => Math.max(most, Math.abs(x)), 0), exponent = Math.floor(Math.log2(largest));
  return largest === 0 || exponent >= -14 && exponent < 15 ? 0 : exponent - 14;
}

/** Weights whose second row is far below, and whose fourth far above, what float16 holds. */
function rowsApart({ rows, cols }: RunSize): Float32Array {
  const w = weights("heavy", rows, cols, rows + cols);
  for (let at = 0; at < w.length; at++) w[at] *= [1, 2 ** -60, 1, 2 ** 60][Math.floor(at / cols) % 4];
  return w;
}

async function back(device: Device, values: Matrix, kept: Matrix<"u8">, errors: Matrix) {
  const [a, b, c] = await device.download([values.buffer, kept.buffer, errors.buffer]);
  return { values: a.subarray(3), kept: b.subarray(3), errors: c.subarray(3) };
}

deviceCases("pruneWeights() keeps what its ranks say, as it is stored, and nothing else", RUN_SIZES, async (
  device,
  { rows, cols, of },
) => {
  const w = rowsApart({ rows, cols, of }), next = uniform(cols), pruned = Math.floor(of / 2);
  const rank = Uint8Array.from(w, () => Math.floor(of * next()));
  for (const half of [true, false]) {
    const values = upload(device, "f32", w.map(() => NaN), rows), kept = upload(device, "u8", rank.map(() => 7), rows);
    const on = upload(device, "f32", w, rows), ranks = upload(device, "u8", rank, rows);
    device.run(pruneWeights, values, kept, on, { rank: ranks, pruned, half });
    const [bits, marks] = await device.download([values.buffer, kept.buffer]);
    const found = { values: bits.subarray(3), kept: marks.subarray(3) };
    for (let row = 0, at = 0; row < rows; row++) {
      const unit = unitOf(w.subarray(row * cols, (row + 1) * cols));
      for (; at < (row + 1) * cols; at++) {
        const stays = rank[at] >= pruned, wanted = !stays ? 0 : half ? toHalf(w[at], unit) : w[at];
        if (found.kept[at] === Number(stays) && Math.abs(found.values[at] - wanted) === 0) continue;
        assert.fail(`${at}: ${found.values[at]}, kept ${found.kept[at]}, not ${wanted} of ${w[at]}`);
      }
    }
  }
});

/** An upper factor; NaN where it is not to be read. */
function upper(cols: number): Float32Array {
  return correlated(cols).map((x, at) => {
    const i = Math.floor(at / cols), j = at % cols;
    return i === j ? 1 + x : i < j ? x / 10 : NaN;
  });
}

/**
 * Checks a sweep row by row up to its first tie: each mask against the scores, each value and error against float64.
 *
 * @returns rows that met a tie
 */
function checkSweep(
  found: { readonly values: Float32Array; readonly kept: Uint8Array; readonly errors: Float32Array },
  { w, factor, weight, rank, rows, cols, of, pruned, half }: RunSize & {
    readonly w: Float32Array;
    readonly factor: Float32Array;
    readonly weight: Float32Array;
    readonly rank: Uint8Array | undefined;
    readonly pruned: number;
    readonly half: boolean;
  },
): number {
  let tied = 0;
  for (let row = 0; row < rows; row++) {
    const line = w.subarray(row * cols, (row + 1) * cols), unit = unitOf(line);
    const x = Float64Array.from(line), sums = x.map(Math.abs);
    sweep: for (let j = 0; j < cols; j++) {
      if (rank === undefined && j % of === 0) {
        const order = Array.from({ length: of }, (_, k) => j + k)
          .sort((a, b) => Math.abs(x[b]) * weight[b] - Math.abs(x[a]) * weight[a] || a - b);
        const wanted = new Set(order.slice(0, of - pruned));
        const wrong = order.filter((k) => found.kept[row * cols + k] !== Number(wanted.has(k)));
        if (wrong.length > 0) {
          const scores = wrong.map((k) => Math.abs(x[k]) * weight[k]);
          const room = wrong.map((k) => 16 * FLOAT * sums[k] * weight[k]);
          assert.ok(Math.max(...scores) - Math.min(...scores) <= Math.max(...room), `row ${row}, columns ${wrong}`);
          tied++;
          break sweep;
        }
      }
      const at = row * cols + j, stays = rank === undefined ? found.kept[at] === 1 : rank[at] >= pruned;
      assert.equal(found.kept[at], Number(stays));
      const value = !stays ? 0 : half ? toHalf(x[j], unit) : x[j], size = sums[j];
      // A sum that is rounded to float32 may fall on the other side of the middle between two numbers of float16.
      const step = half && stays
        ? 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x[j]) * 2 ** -unit))) - 10 + unit)
        : 0;
      const crossed = half && stays && Math.abs(found.values[at] - value) > 0;
      if (crossed) {
        const middle = Math.abs(Math.abs(x[j] - value) - step / 2);
        assert.ok(middle <= 8 * FLOAT * size, `${row},${j}: ${found.values[at]}, not ${value}`);
        tied++;
        break sweep;
      }
      assert.ok(
        Math.abs(found.values[at] - value) <= 4 * FLOAT * size,
        `${row},${j}: ${found.values[at]}, not ${value}`,
      );
      const error = stays && !half ? 0 : (x[j] - value) / factor[j * cols + j];
      assert.ok(
        Math.abs(found.errors[at] - error) <= 8 * FLOAT * size,
        `${row},${j}: ${found.errors[at]}, not ${error}`,
      );
      for (let k = j + 1; k < cols; k++) {
        const fed = error * factor[j * cols + k];
        x[k] -= fed;
        sums[k] += Math.abs(fed);
      }
    }
  }
  return tied;
}

/** Each row costs the square of its columns, so what is larger than a window is tall here. */
const { "4096 wide": _, "larger than a window, 70×4096": __, ...NARROW } = RUN_SIZES;
const SWEPT = { ...NARROW, "larger than a window, 2100×128": { rows: 2100, cols: 128, of: 8 } };

deviceCases(
  "pruneColumns() chooses every M columns' mask from what earlier errors have made of them",
  SWEPT,
  async (
    device,
    size,
    { window }: TestedDevice,
  ) => {
    const { rows, cols, of } = size, next = uniform(cols);
    const run = async () => {
      const w = rowsApart(size), factor = upper(cols), pruned = Math.floor(of / 2);
      const weight = Float32Array.from({ length: cols }, () => 0.5 + next());
      const ranks = Uint8Array.from(w, () => Math.floor(of * next()));
      for (const [half, rank] of [[true, undefined], [false, undefined], [true, ranks]] as const) {
        const nothing = () => upload(device, "f32", w.map(() => NaN), rows);
        const values = nothing(), errors = nothing(), kept = upload(device, "u8", ranks.map(() => 7), rows);
        device.run(pruneColumns, values, kept, errors, {
          w: upload(device, "f32", w, rows),
          factor: upload(device, "f32", factor, cols),
          masks: rank
            ? { rank: upload(device, "u8", rank, rows) }
            : { of, columnWeight: upload(device, "f32", weight, 1) },
          pruned,
          half,
        });
        const found = await back(device, values, kept, errors);
        const tied = checkSweep(found, { ...size, w, factor, weight, rank, pruned, half });
        assert.ok(tied <= 2 + 1e-4 * w.length, `${tied} of ${rows} rows met a tie`);
      }
    };
    if (cols ** 2 <= window) return await run();
    // The factor is read whole: what is larger than a binding is refused by name, which is all to be said of it.
    await assert.rejects(run(), /Device operation "\w+" failed: Cannot run .*: a binding takes at most/);
  },
);

deviceTest(
  "pruneColumns() holds what has grown beyond float16 at its largest number, and feeds the rest on",
  async (device) => {
    const w = Float32Array.of(2 ** 14, 2 ** 14, 0, 0),
      factor = Float32Array.of(1, -8, -1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1);
    const rank = Uint8Array.of(0, 1, 1, 1);
    const values = upload(device, "f32", new Float32Array(4), 1),
      errors = upload(device, "f32", new Float32Array(4), 1);
    const kept = upload(device, "u8", new Uint8Array(4), 1);
    device.run(pruneColumns, values, kept, errors, {
      w: upload(device, "f32", w, 1),
      factor: upload(device, "f32", factor, 4),
      masks: { rank: upload(device, "u8", rank, 1) },
      pruned: 1,
      half: true,
    });
    const found = await back(device, values, kept, errors), rest = 9 * 2 ** 14 - 65504;
    assert.deepEqual(
      [...found.values],
      [0, 65504, Math.min(65504, 2 ** 14 - rest), 0].map((v, i) => i === 2 ? toHalf(2 ** 14 - rest, 0) : v),
    );
    assert.deepEqual([...found.errors.subarray(0, 2)], [2 ** 14, rest]);
  },
);

Deno.test("pruneColumns() refuses runs that do not fit the columns", () => {
  const m = (rows: number, cols: number) => matrix({ type: "f32", length: rows * cols }, rows, cols);
  const kept = matrix({ type: "u8", length: 12 }, 1, 12);
  assert.throws(
    () =>
      pruneColumns.check?.(m(1, 12), kept, m(1, 12), {
        w: m(1, 12),
        factor: m(12, 12),
        masks: { of: 8, columnWeight: m(1, 12) },
        pruned: 4,
        half: true,
      }),
    { name: "RangeError", message: "Cannot prune columns as there must be a multiple of 8: current value is 12" },
  );
});
