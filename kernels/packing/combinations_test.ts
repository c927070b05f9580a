import assert from "node:assert/strict";
import * as fc from "fast-check";
import { patternOrder } from "./combinations.ts";

Deno.test("patternOrder() numbers every pattern of every N:M up to 12 once", () => {
  for (let of = 1; of <= 12; of++) {
    for (let keep = 0; keep <= of; keep++) {
      const order = patternOrder(of, keep);
      const seen = new Set<number>();
      for (let pattern = 0; pattern < 1 << of; pattern++) {
        if (pattern.toString(2).replaceAll("0", "").length !== keep) continue;
        const rank = order.rank(pattern);
        assert.equal(order.pattern(rank), pattern);
        seen.add(rank);
      }
      assert.equal(seen.size, order.count, `${keep}:${of}`);
      assert.equal(Math.max(...seen), order.count - 1);
    }
  }
});

Deno.test("patternOrder() ranks and unranks large patterns", () => {
  fc.assert(fc.property(fc.integer({ min: 17, max: 32 }), fc.nat(), fc.nat(), (of, a, b) => {
    const keep = a % (of + 1);
    const order = patternOrder(of, keep);
    const rank = b % order.count;
    const pattern = order.pattern(rank);
    assert.equal(order.rank(pattern), rank);
    assert.equal(pattern.toString(2).replaceAll("0", "").length, keep);
  }));
});

Deno.test("patternOrder() refuses N:M it cannot number", () => {
  for (const [of, keep] of [[33, 4], [8, 9], [0, 0], [8, 1.5]]) assert.throws(() => patternOrder(of, keep), RangeError);
});
