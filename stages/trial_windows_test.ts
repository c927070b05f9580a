import assert from "node:assert/strict";
import { someTokens, trialWindows } from "./trial_windows.ts";

Deno.test("trialWindows() takes different windows for both kinds, evenly, and whole", () => {
  for (const [windows, length] of [[128, 256], [2, 512], [3, 512], [32, 512], [9, 300], [5, 4096]]) {
    const ids = Int32Array.from({ length: windows * length }, (_, i) => i);
    const { measured, heldOut } = trialWindows({ ids, windows, length });
    const firsts = [measured, heldOut].map(({ ids, windows }) =>
      Array.from({ length: windows }, (_, i) => {
        const window = ids.subarray(i * length, (i + 1) * length);
        window.forEach((id, at) => assert.equal(id, window[0] + at));
        return window[0] / length;
      })
    );
    const all = firsts.flat();
    assert.ok(all.every((first) => Number.isInteger(first) && first >= 0 && first < windows));
    assert.equal(new Set(all).size, all.length);
    assert.equal(measured.windows, heldOut.windows);
    assert.ok(measured.windows === 1 || measured.windows * length <= 2048);
  }
  assert.throws(() => trialWindows({ ids: new Int32Array(4), windows: 1, length: 4 }), /must be 2 calibration windows/);
});

Deno.test("someTokens() takes all of few tokens, and 256 of many", () => {
  const few = Float32Array.from({ length: 20 }, (_, i) => i);
  assert.deepEqual(someTokens(few, 2), few);
  const some = someTokens(Float32Array.from({ length: 1024 }, (_, i) => i), 1);
  assert.deepEqual([some.length, some[0], some[255]], [256, 2, 1022]);
});
