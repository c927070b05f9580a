import assert from "node:assert/strict";
import type { ArtifactWriter } from "../runner/stage.ts";
import { finiteSimilarity } from "./block_pass.ts";
import { warnOfEqualWindows } from "./calibrate_windows.ts";
import { finiteHidden } from "./hidden_states.ts";
import { storeStatistics } from "./statistics.ts";

const nowhere: ArtifactWriter = {
  value: () => {},
  path: (file) => file,
  write: () => Promise.resolve(),
};

Deno.test("a value that is not finite is refused where it appears, by block, input, window and token", async () => {
  const of = (...upper: readonly number[]) => ({ size: 2, tokens: 4, windows: 1, upper: Float32Array.from(upper) });
  const gathered = { qkv: of(1, 0, 2), o: of(1, NaN, 2) };
  await assert.rejects(
    storeStatistics(nowhere, { gathered, sequences: 1, block: 3 }),
    /^Error: Cannot calibrate block 3 as the second moments of input "o" must be finite: one is NaN; activations overflow/,
  );
  const hidden = new Float32Array(24);
  hidden[17] = -Infinity;
  assert.throws(
    () => finiteHidden({ index: 1, first: 6, windows: 3 }, hidden, { length: 4 }),
    /hidden states must be finite: token 0 of window 8 has -Infinity; activations overflow float32/,
  );
  const similarity = { tokenSum: 1, tokens: 1, dot: Infinity, inNorm: 1, outNorm: 1 };
  assert.throws(
    () => finiteSimilarity(similarity, { stage: "coarse-search", block: 2 }),
    /Cannot measure block 2 in stages.coarse-search as its outputs must be finite/,
  );
});

Deno.test("calibrate says how many windows only repeat others, and nothing where none does", () => {
  const said: string[] = [], path = (key: string) => `stages.calibrate.${key}`;
  const warn = (message: string) => void said.push(message);
  warnOfEqualWindows({ ids: Int32Array.of(1, 2, 1, 2, 3, 4, 1, 2), windows: 4, length: 2 }, warn, path);
  warnOfEqualWindows({ ids: Int32Array.of(1, 2, 12, 2, 1, 22), windows: 3, length: 2 }, warn, path);
  assert.deepEqual(said, [
    "2 of 4 calibration windows only repeat others: the text is short for stages.calibrate.samples 4 of " +
    "stages.calibrate.length 2",
  ]);
});
