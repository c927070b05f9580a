import assert from "node:assert/strict";
import { addSimilarity, NO_SIMILARITY, redundancy } from "./similarity.ts";

Deno.test("redundancy() is the mean of the tokens' cosines, or the cosine of all values", () => {
  // Tokens (1,0)→(1,0) and (0,2)→(2,0): cosines 1 and 0; all values: dot 1, norms 5 and 5.
  const a = { tokenSum: 1, tokens: 1, dot: 1, inNorm: 1, outNorm: 1 };
  const b = { tokenSum: 0, tokens: 1, dot: 0, inNorm: 4, outNorm: 4 };
  const both = addSimilarity(addSimilarity(NO_SIMILARITY, a), b);
  assert.equal(redundancy(both, "token"), 0.5);
  assert.equal(redundancy(both, "flattened"), 0.2);
});
