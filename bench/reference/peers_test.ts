import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadRecipe } from "../../pipeline/mod.ts";
import type { Recipe } from "../../stages/schema.ts";
import { peerRows } from "./peers.ts";

const configs = fileURLToPath(new URL("../../configs/", import.meta.url));
const recordPath = fileURLToPath(new URL("../../../shared/reference/peers.json", import.meta.url));

/** One row as the record writes it. */
const row = {
  ...{ model: "tiny-llama", method: "gptq", official: false, perplexity: 27.734, layer_error: 0.0172, keep: null },
  settings: { bits: 3, group: 128 },
};

function record(...rows: readonly object[]) {
  const protocol = {
    calibration: 'tensor "calibration", all 128 windows of 256',
    evaluation: 'tensor "heldout", all 200 windows of 256',
    original_perplexity: 24.898,
  };
  return peerRows({ protocol: { "tiny-llama": protocol, gemm_gflops: 243, note: "x" }, rows });
}

async function differences(name: string, changed: object = {}): Promise<string[]> {
  const { recipe } = await loadRecipe(join(configs, "methods", `${name}.yaml`));
  const [wanted] = record({ ...row, ...changed });
  return wanted.differencesFrom(recipe).map(({ path }) => path);
}

Deno.test("peerRows() leaves out rows without a perplexity, and refuses settings that it does not know", () => {
  const { perplexity: _none, ...some } = row;
  assert.equal(record(row, some).length, 1);
  assert.throws(() => record({ ...row, settings: { ...row.settings, unheard: "of" } }));
});

Deno.test("peerRows() holds no layer error against STBLLM, whose own is against pruned weights", () => {
  const settings = { keep: 4, of: 8, variant: "as-released" };
  const [{ layerError, source, keep }] = record({ ...row, method: "stbllm", official: true, keep: [3, 5], settings });
  assert.deepEqual([layerError, source, keep(2)], [undefined, "official code", [3, 5]]);
});

Deno.test("peerRows() finds the recipe of a row by its settings", async () => {
  assert.deepEqual(await differences("gptq-3"), []);
  assert.deepEqual(await differences("gptq-3", { settings: { bits: 2, group: 128 } }), ["stages.gptq.bits"]);
  assert.deepEqual(
    await differences("gptq-3", { settings: { bits: 3, group: 128, inputs: "original" } }),
    ["stages.calibrate.inputs"],
  );
  assert.ok((await differences("billm")).some((path) => path.startsWith("stages.billm")));
});

Deno.test("peerRows() gives every row of the record exactly one recipe", {
  ignore: skipped(),
}, async () => {
  const recipes: { readonly name: string; readonly recipe: Recipe }[] = [];
  for (const folder of ["methods", "reference"].map((name) => join(configs, name))) {
    for (const file of (await readdir(folder)).filter((file) => file.endsWith(".yaml"))) {
      recipes.push({ name: basename(file, ".yaml"), recipe: (await loadRecipe(join(folder, file))).recipe });
    }
  }
  for (const wanted of peerRows(JSON.parse(await readFile(recordPath, "utf8")))) {
    const found = recipes.filter(({ recipe }) => wanted.differencesFrom(recipe).length === 0);
    assert.equal(found.length, 1, `${wanted.model} ${wanted.perplexity}: ${found.map(({ name }) => name).join()}`);
  }
});

function skipped(): boolean {
  if (existsSync(recordPath)) return false;
  console.log(`The record is not compared with the recipes as ${recordPath} does not exist`);
  return true;
}
