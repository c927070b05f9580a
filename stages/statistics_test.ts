import assert from "node:assert/strict";
import type { Tensor } from "../files/safetensors.ts";
import type { InputSums } from "../models/forward.ts";
import type { ArtifactWriter } from "../runner/stage.ts";
import { gatheredStatistics, storedStatistics, storeStatistics } from "./statistics.ts";

const ones = (length: number, value: number) => new Float32Array(length).fill(value);

/** Sums of an input of two columns over 5 windows and 3 that are held out, with marks after 2 and 5. */
const SUMS: InputSums = {
  ...{ size: 2, tokens: 80, windows: 8, upper: ones(3, 8), cross: ones(4, 80), residual: ones(6, 800) },
  marks: [
    { windows: 2, upper: ones(3, 2), cross: ones(4, 20), residual: ones(6, 200) },
    { windows: 5, upper: ones(3, 5), cross: ones(4, 50), residual: ones(6, 500) },
  ],
};
const NO_MARKS: InputSums = { size: 2, tokens: 50, windows: 5, upper: ones(3, 5) };

Deno.test("statistics keep the half before a mark, and apart from all others the windows held out, stored and as gathered", async () => {
  const files = new Map<string, Readonly<Record<string, Tensor>>>();
  let value: unknown;
  const writer = {
    write: (name: string, tensors: Readonly<Record<string, Tensor>>) => Promise.resolve(void files.set(name, tensors)),
    value: (given: unknown) => value = given,
  };
  const gathered = { attention: SUMS, output: NO_MARKS };
  await storeStatistics(writer as unknown as ArtifactWriter, { gathered, sequences: 5, block: 0 });
  const read = (name: string) => Promise.resolve(files.get(name) ?? assert.fail(name));
  for (
    const statistics of [
      storedStatistics({ read, value } as unknown as Parameters<typeof storedStatistics>[0]),
      gatheredStatistics(gathered, { sequences: 5, block: 0 }),
    ]
  ) {
    assert.equal(statistics.sequences, 5);
    assert.deepEqual(await statistics.moments("attention"), {
      ...{ upper: ones(3, 5), cross: ones(4, 50), residual: ones(6, 500) },
      half: { upper: ones(3, 2), cross: ones(4, 20), residual: ones(6, 200) },
      heldOut: ones(3, 3),
    });
    assert.deepEqual(await statistics.moments("output"), { upper: ones(3, 5) });
  }
});
