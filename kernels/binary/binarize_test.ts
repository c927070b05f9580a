import assert from "node:assert/strict";
import { binarizeRows } from "./binarize.ts";
import { decodeBlock, decodeLayer } from "./decode.ts";
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "./quantized_layer.ts";
import { difference, groupCodes, KINDS, residual, uniform, weights } from "./row_kernels_test_support.ts";

for (const kind of KINDS) {
  for (const [pruned, salientPruned] of [[0, 0], [4, 0], [4, 4], [8, 8]]) {
    Deno.test(`binarizeRows() on ${kind} weights, ${pruned} and ${salientPruned} pruned, is the residual of each group`, () => {
      const rows = 10, cols = 40, segments = 3, w = weights(kind, rows, cols, 21), next = uniform(22);
      const rank = Uint8Array.from(w, () => Math.floor(8 * next()));
      const codes = groupCodes(w, cols, 7, segments), groups = codes.map((c) => c >> GROUP_SHIFT);
      const scales = new Float32Array(rows * 9).fill(NaN);
      binarizeRows(codes, scales, { w, rank, rows, cols, segments, salient: true, pruned, salientPruned });
      const decoded = new Float32Array(w.length), wanted = new Float64Array(w.length);
      decodeBlock(decoded, { codes, scales, rows, cols, segments, salient: true });
      for (let r = 0; r < rows; r++) {
        for (let g = 0; g <= segments; g++) {
          const members = Array.from({ length: cols }, (_, c) => r * cols + c)
            .filter((at) => groups[at] === g && rank[at] >= (g === 0 ? salientPruned : pruned));
          residual(members.map((at) => w[at]), g === 0 ? 2 : 1).forEach((q, i) => wanted[members[i]] = q);
          for (const at of members) assert.equal(codes[at] & KEPT, KEPT);
        }
      }
      assert.ok(scales.every(Number.isFinite));
      assert.deepEqual(codes.map((c) => c >> GROUP_SHIFT), groups);
      assert.ok(codes.every((c) => (c & KEPT) !== 0 || (c & (SIGN | SECOND_SIGN)) === 0));
      assert.ok(codes.every((c) => c >> GROUP_SHIFT === 0 || (c & SECOND_SIGN) === 0));
      assert.ok(difference(decoded, wanted) < 1e-6);
    });
  }
}

Deno.test("binarizeRows() takes sign(0) as +1", () => {
  const codes = new Uint8Array(4).fill(1 << GROUP_SHIFT), scales = new Float32Array(2);
  const w = new Float32Array(4).fill(0.1), rank = new Uint8Array(4);
  binarizeRows(codes, scales, { w, rank, rows: 1, cols: 4, segments: 1, salient: false, pruned: 0 });
  assert.ok(codes.every((c) => c === (1 << GROUP_SHIFT | KEPT | SIGN)));
  assert.deepEqual(scales, Float32Array.of(0.1, 0));
});

Deno.test("decodeLayer() is decodeBlock() of every column block, the short last one too", () => {
  const rows = 3, cols = 20, groupSize = 8, segments = 2, blocks = 3, stride = 7, next = uniform(30);
  const codes = Uint8Array.from({ length: rows * cols }, () => {
    const group = Math.floor(3 * next()), kept = next() < 0.5 ? 0 : KEPT;
    return group << GROUP_SHIFT | (kept === 0 ? 0 : kept | (next() < 0.5 ? SIGN : 0) | (group === 0 ? SECOND_SIGN : 0));
  });
  const scales = Float32Array.from({ length: rows * blocks * stride }, () => next() - 0.5);
  const layer = {
    rows,
    cols,
    groupSize,
    keep: 4,
    of: 8,
    type: "none",
    segments,
    salient: true,
    codes,
    scales,
  } as const;
  const whole = decodeLayer(layer);
  for (let b = 0; b < blocks; b++) {
    const width = Math.min(groupSize, cols - b * groupSize);
    for (let r = 0; r < rows; r++) {
      const out = new Float32Array(width), at = r * cols + b * groupSize;
      decodeBlock(out, {
        codes: codes.subarray(at, at + width),
        scales: scales.subarray((r * blocks + b) * stride, (r * blocks + b + 1) * stride),
        rows: 1,
        cols: width,
        segments,
        salient: true,
      });
      assert.deepEqual(whole.subarray(at, at + width), out);
      for (let c = 0; c < width; c++) if ((codes[at + c] & KEPT) === 0) assert.equal(out[c], 0);
    }
  }
});
