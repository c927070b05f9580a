import assert from "node:assert/strict";
import { spansOf } from "./chart_grid.ts";

Deno.test("spansOf() fills every row with any charts in any number of columns, and widens no chart without need", () => {
  for (let count = 1; count <= 7; count++) {
    for (let kinds = 0; kinds < 3 ** count; kinds++) {
      const charts = Array.from(
        { length: count },
        (_, i) => [{}, { gains: true }, { wide: true }][Math.floor(kinds / 3 ** i) % 3],
      );
      for (let columns = 2; columns <= 6; columns++) {
        const spans = spansOf(charts, columns);
        assert.equal(spans.length, count);
        let left = columns;
        for (const [i, span] of spans.entries()) {
          assert.ok(
            span >= ("wide" in charts[i] ? 2 : 1) && span <= left,
            `${JSON.stringify(charts)} in ${columns}: ${spans}`,
          );
          left = left === span ? columns : left - span;
        }
        assert.equal(left, columns, `${JSON.stringify(charts)} in ${columns}: ${spans}`);
      }
    }
  }
  assert.deepEqual(spansOf([], 3), []);
  assert.deepEqual(spansOf([{}, { gains: true }, {}, {}], 2), [1, 1, 1, 1]);
});
