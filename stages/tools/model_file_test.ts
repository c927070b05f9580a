import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { writePackedModel } from "../../checkpoints/packed/write.ts";
import { openModelFileTool } from "./model_file.ts";

const SHAPES = new Map([["norm.weight", [2]]]), HEAD = new Map([["head.weight", [2]]]);

/** A model of two tensors and no packed layers. */
async function writeModel(folder: string, ...[norm, head]: readonly (readonly number[])[]): Promise<string> {
  const tensor = (values: readonly number[]) =>
    ({ dtype: "F32", shape: [values.length], data: Float32Array.from(values) }) as const;
  const others = [["norm.weight", tensor(norm)] as const, ["head.weight", tensor(head)] as const];
  await writePackedModel(folder, { layers: [], others, config: {}, tokenizer: undefined, source: {} });
  return folder;
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("read() gives what was read ahead to one caller, and reads the rest when it is asked for", () =>
  withFolder(async (folder) => {
    const tool = openModelFileTool(), file = await tool.open(await writeModel(folder, [1, 2], [3, 4]));
    try {
      file.ahead(SHAPES);
      assert.deepEqual(await file.read(HEAD), { "head.weight": Float32Array.of(3, 4) });
      const first = await file.read(SHAPES), second = await file.read(SHAPES);
      assert.deepEqual([first, second], Array(2).fill({ "norm.weight": Float32Array.of(1, 2) }));
      assert.notEqual(first["norm.weight"].buffer, second["norm.weight"].buffer, "arrays are given away");
      file.ahead(new Map([["norm.weight", [3]]]));
      await assert.rejects(file.read(new Map([["norm.weight", [3]]])), /shape must be \[3\]/);
      assert.deepEqual(await file.read(SHAPES), { "norm.weight": Float32Array.of(1, 2) });
    } finally {
      await tool.close();
    }
  }));

Deno.test("open() opens a file once, and again where another one has taken its place", () =>
  withFolder(async (folder) => {
    const tool = openModelFileTool(), place = join(folder, "model");
    try {
      await Deno.mkdir(place);
      const file = await tool.open(await writeModel(place, [1, 2], [3, 4]));
      assert.equal(await tool.open(place), file);
      await rename(place, join(folder, "before"));
      await Deno.mkdir(place);
      const again = await tool.open(await writeModel(place, [5, 6], [7, 8]));
      assert.deepEqual(await again.read(SHAPES), { "norm.weight": Float32Array.of(5, 6) });
    } finally {
      await tool.close();
    }
  }));
