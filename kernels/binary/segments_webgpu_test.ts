import assert from "node:assert/strict";
import { segmentGains, type SegmentOptions } from "./segment_gains.ts";
import { segmentSearch } from "./segments.ts";
import { gpuSearchSegments } from "./segments_webgpu.ts";
import { type Kind, KINDS, uniform, weights } from "./row_kernels_test_support.ts";
import { gpuMatrix, withoutOffset } from "./row_webgpu_test_support.ts";
import type { WebGpuContext } from "../gpu/context.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

type Shape = Pick<SegmentOptions, "rows" | "cols" | "splitPoints" | "search" | "candidates" | "pruned" | "coarse">;

const SHAPES: readonly Shape[] = [
  { rows: 1, cols: 1, splitPoints: 2, search: "free", candidates: 3, pruned: 0 },
  { rows: 67, cols: 53, splitPoints: 1, search: "free", candidates: 40, pruned: 4 },
  { rows: 131, cols: 128, splitPoints: 2, search: "free", candidates: 40, pruned: 4 },
  { rows: 7, cols: 129, splitPoints: 3, search: "free", candidates: 81, pruned: 0 },
  { rows: 67, cols: 64, splitPoints: 2, search: "doubled", candidates: 41, pruned: 2 },
  { rows: 5, cols: 24, splitPoints: 0, search: "free", candidates: 12, pruned: 0 },
  { rows: 5, cols: 24, splitPoints: 2, search: "free", candidates: 12, pruned: 8 },
  { rows: 31, cols: 128, splitPoints: 2, search: "free", candidates: 40, pruned: 0, coarse: true },
  { rows: 31, cols: 64, splitPoints: 3, search: "free", candidates: 13, pruned: 3, coarse: true },
  { rows: 31, cols: 64, splitPoints: 1, search: "free", candidates: 13, pruned: 3, coarse: true },
];

function block(kind: Kind, shape: Shape, seed: number): SegmentOptions {
  const { rows, cols } = shape, next = uniform(seed), w = weights(kind, rows, cols, seed);
  const rank = Uint8Array.from(w, () => Math.floor(8 * next()));
  return { ...shape, w, rank, salient: Uint8Array.from({ length: cols }, () => next() < 0.2 ? 1 : 0) };
}

async function onGpu(context: WebGpuContext, options: SegmentOptions): Promise<Uint8Array> {
  const { w, values, columnWeight, salient, rank, rows } = options;
  const out = gpuMatrix(context, "u8", new Uint8Array(w.length).fill(255), rows);
  gpuSearchSegments(context, out, {
    ...options,
    w: gpuMatrix(context, "f32", w, rows),
    values: values && gpuMatrix(context, "f32", values, rows),
    columnWeight: columnWeight && gpuMatrix(context, "f32", columnWeight, 1),
    salient: gpuMatrix(context, "u8", salient, 1),
    rank: gpuMatrix(context, "u8", rank, rows),
  });
  return withoutOffset((await context.download([out.buffer]))[0]);
}

/** What the groups of seen weights take away from the squared error. */
function gainOf(options: SegmentOptions, codes: Uint8Array): number {
  // Groups stand in for |w|, so that bins are groups.
  const { gain, bins } = segmentGains(
    { ...options, values: options.values ?? options.w, w: Float32Array.from(codes) },
    Float32Array.of(12, 20, 28),
  );
  let total = 0;
  for (let b = 0; b < bins; b++) total += gain[b * (bins + 1) + b + 1];
  return total;
}

for (const shape of SHAPES) {
  const { rows, cols, splitPoints, pruned, coarse } = shape, search = coarse ? "coarse" : shape.search;
  gpuTest(
    `gpuSearchSegments() of ${rows}×${cols}, ${splitPoints} cuts, ${search}, ${pruned} pruned, cuts as the CPU`,
    async (context) => {
      for (const kind of KINDS) {
        const base = block(kind, shape, 11), values = base.w.map((v, at) => v * v * (1 + at % cols));
        const columnWeight = Float32Array.from({ length: cols }, (_, c) => c === 7 ? 400 : 1 + c % 3);
        for (const options of [base, { ...base, values }, { ...base, columnWeight }]) {
          const wanted = new Uint8Array(base.w.length), found = await onGpu(context, options);
          segmentSearch(wanted, options);
          if (found.every((code, i) => code === wanted[i])) continue;
          // Only a tie may be decided otherwise.
          const a = gainOf(options, found), b = gainOf(options, wanted);
          assert.ok(Math.abs(a - b) <= 1e-9 * Math.abs(b), `${kind}: a gain of ${a} instead of ${b}`);
          assert.ok(kind !== "normal" && kind !== "heavy", `${kind} has no ties`);
        }
      }
    },
  );
}

gpuTest("gpuSearchSegments() takes the sign of zero for positive", async (context) => {
  const base = block("normal", SHAPES[1], 5), values = base.w.map((v, at) => at % 3 === 0 ? 0 : v < 0 ? v : v / 4);
  const wanted = new Uint8Array(base.w.length);
  segmentSearch(wanted, { ...base, values });
  assert.deepEqual(await onGpu(context, { ...base, values }), wanted);
});
