import assert from "node:assert/strict";
import { exp2, log2 } from "./elementary.ts";

Deno.test("exp2() and log2() meet Math's to 12 digits, and are exact at whole powers", () => {
  for (let i = -4000; i <= 4000; i++) {
    const x = i / 37.3, power = exp2(x);
    assert.ok(Math.abs(power / 2 ** x - 1) < 2e-12, `2^${x}`);
    assert.ok(Math.abs(log2(power) - Math.log2(power)) < 1e-12 * Math.max(1, Math.abs(x)), `log2 of 2^${x}`);
  }
  for (let n = -1000; n <= 1000; n++) assert.deepEqual([exp2(n), log2(2 ** n)], [2 ** n, n]);
  assert.deepEqual([exp2(-1e9), exp2(1e9)], [2 ** -1000, 2 ** 1000]);
});
