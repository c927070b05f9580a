/** Searches of every device against the row kernels: given equal weights, marks and cuts are equal away from ties. */
import assert from "node:assert/strict";
import { RUN_SIZES, type RunSize } from "../conformance_test_support.ts";
import { type Device, type Matrix, matrix } from "../device.ts";
import { deviceCases } from "../device_test_support.ts";
import { uniform, weights } from "./row_kernels_test_support.ts";
import { orderColumns, salientErrors, salientSearch } from "./salient.ts";
import { searchSalient } from "./salient_op.ts";
import { segmentGains, type SegmentOptions } from "./segment_gains.ts";
import { segmentSearch } from "./segments.ts";
import { searchSegments } from "./segments_op.ts";

/** Weights that a search sees, in both kinds of memory. */
function seenBlock(device: Device, { rows, cols, of }: RunSize) {
  const next = uniform(6), w = weights("heavy", rows, cols, 5);
  const rank = Uint8Array.from(w, () => Math.floor(of * next())), pruned = Math.floor(of / 2);
  const columnWeight = Float32Array.from({ length: cols }, () => 0.2 + 5 * next());
  const marks = Uint8Array.from({ length: cols }, () => next() < 0.1 ? 1 : 0);
  return {
    host: { w, rank, pruned, columnWeight, marks },
    there: {
      w: upload(device, w, rows),
      rank: matrix(device.upload("u8", rank.slice()), rows, cols),
      columnWeight: upload(device, columnWeight, 1),
      marks: matrix(device.upload("u8", marks.slice()), 1, cols),
    },
  };
}

deviceCases("searchSalient() marks the same columns away from ties", RUN_SIZES, async (device, size) => {
  const { rows, cols } = size, { host, there } = seenBlock(device, size), { pruned, rank, columnWeight } = host;
  const score = weights("heavy", rows, cols, 8), most = 49, seen = { values: host.w, columnWeight, rank, pruned };
  const wanted = new Uint8Array(cols), out = matrix(device.alloc("u8", cols), 1, cols);
  salientSearch(wanted, { ...seen, score, rows, cols, most });
  device.run(searchSalient, out, { ...there, values: there.w, score: upload(device, score, rows), pruned, most });
  const [found] = await device.download([out.buffer]);
  if (found.every((mark, c) => mark === wanted[c])) return;
  // A tie: as many leading columns with the same error but for float64's rounding.
  const order = orderColumns({ score, rows, cols }), count = found.reduce((a, b) => a + b, 0);
  for (const c of order.subarray(0, count)) assert.equal(found[c], 1);
  const errors = salientErrors({ ...seen, rows, cols }, order.subarray(0, Math.min(most, cols - 1)));
  const energy = host.w.reduce((sum, x, at) => sum + columnWeight[at % cols] * x * x, 0);
  assert.ok(errors[count - 1] - Math.min(...errors) <= 1e-9 * energy, `${count} columns`);
});

deviceCases("searchSegments() cuts at the same places away from ties", RUN_SIZES, async (device, size) => {
  const { rows, cols } = size, { host, there } = seenBlock(device, size);
  for (const search of ["free", "doubled"] as const) {
    const cuts = { splitPoints: 2, search, candidates: 40 } as const;
    const options = { ...host, ...cuts, salient: host.marks, rows, cols };
    const wanted = new Uint8Array(rows * cols), out = matrix(device.alloc("u8", rows * cols), rows, cols);
    segmentSearch(wanted, options);
    device.run(searchSegments, out, { ...there, ...cuts, salient: there.marks, pruned: host.pruned });
    const [found] = await device.download([out.buffer]);
    if (found.every((code, at) => code === wanted[at])) continue;
    const [a, b] = [gainOf(options, found), gainOf(options, wanted)];
    assert.ok(Math.abs(a - b) <= 1e-9 * Math.abs(b), `${search}: a gain of ${a} instead of ${b}`);
  }
});

/** What the groups of seen weights take away from the squared error. */
function gainOf(options: SegmentOptions, codes: Uint8Array): number {
  // Groups stand in for |w|, so that bins are groups.
  const { gain, bins } = segmentGains(
    { ...options, values: options.w, w: Float32Array.from(codes) },
    Float32Array.of(12, 20, 28),
  );
  let total = 0;
  for (let b = 0; b < bins; b++) total += gain[b * (bins + 1) + b + 1];
  return total;
}

function upload(device: Device, data: Float32Array, rows: number): Matrix {
  return matrix(device.upload("f32", data.slice()), rows, data.length / rows);
}
