import assert from "node:assert/strict";
import { gpuMemberLists, listElements } from "./member_lists_webgpu.ts";
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "./quantized_layer.ts";
import { gpuMatrix } from "./row_webgpu_test_support.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

/** What is listed of one row, as `alternateRounds` and `solveJoint` take their members. */
function listsOf(codes: Uint8Array, rank: Uint8Array, lists: { groups: number; steps: number; pruned: number }) {
  const { groups, steps, pruned } = lists, found: number[][] = Array.from({ length: groups * steps }, () => []);
  codes.forEach((code, col) => {
    if ((code & KEPT) === 0 || rank[col] < pruned - steps + 1) return;
    const list = (code >> GROUP_SHIFT) * steps + Math.max(pruned - rank[col], 0);
    found[list].push(col << 14 | list << 3 | code & 7);
  });
  return found;
}

gpuTest("gpuMemberLists() lists each row's members by group and step, any number of columns", async (context) => {
  const cases = [
    { rows: 1, cols: 1, groups: 1, steps: 1, pruned: 0 },
    { rows: 67, cols: 40, groups: 4, steps: 4, pruned: 4 },
    { rows: 3, cols: 256, groups: 5, steps: 255, pruned: 255 },
    { rows: 2, cols: 128, groups: 4, steps: 1, pruned: 4 },
    // Beyond what one dispatch may do.
    { rows: 2, cols: 31_000, groups: 3, steps: 1, pruned: 0 },
  ];
  for (const { rows, cols, ...lists } of cases) {
    const codes = Uint8Array.from({ length: rows * cols }, (_, i) => {
      const signs = (i % 3 === 0 ? SIGN : 0) | (i % 5 === 0 ? SECOND_SIGN : 0);
      return i * 7 % lists.groups << GROUP_SHIFT | signs | (i % 4 === 1 ? 0 : KEPT);
    });
    const rank = Uint8Array.from(codes, (_, i) => i * 11 % (lists.pruned + 2));
    const tile = { first: 0, rows }, order = gpuMatrix(context, "u8", rank, rows);
    const out = gpuMemberLists(context, gpuMatrix(context, "u8", codes, rows), tile, { ...lists, rank: order });
    const [found] = await context.download([out]);
    assert.ok(found instanceof Uint32Array);
    const count = lists.groups * lists.steps, stride = listElements(count, cols);
    for (let row = 0; row < rows; row++) {
      const at = row * cols, wanted = listsOf(codes.subarray(at, at + cols), rank.subarray(at, at + cols), lists);
      const members = wanted.flat(), ends = [0];
      for (const list of wanted) ends.push((ends.at(-1) ?? 0) + list.length);
      assert.deepEqual([...found.subarray(row * stride, row * stride + count + 1)], ends);
      const first = row * stride + count + 1;
      assert.deepEqual([...found.subarray(first, first + members.length)], members.map((member) => member >>> 0));
    }
  }
});
