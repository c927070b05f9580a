import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadRecipe } from "../../pipeline/mod.ts";
import type { Recipe } from "../../stages/schema.ts";
import { rateRows } from "./rate.ts";

const configs = fileURLToPath(new URL("../../configs/", import.meta.url));
const records = fileURLToPath(new URL("../../../shared/reference/", import.meta.url));

const peers = {
  protocol: {
    "tiny-llama": {
      calibration: 'tensor "calibration", all 128 windows of 256',
      evaluation: 'tensor "heldout", all 200 windows of 256',
      original_perplexity: 24.898,
    },
  },
};

/** One row as the record writes it. */
const row = { model: "tiny-llama", bits: 2.11, perplexity: 29.27, layer_error: 0.0288, states: 1 };

Deno.test("rateRows() leaves out what is no setting of the method, and refuses what it does not know", () => {
  const others = [{ gamma: false }, { lam: 0.1 }, { states: 8, lam: 0.3 }, { states: 8 }, { inputs: "renewed" }];
  const rows = [row, ...others.map((other) => ({ ...row, ...other }))];
  assert.deepEqual(rateRows({ rows }, peers).map(({ perplexity, layerError }) => [perplexity, layerError]), [[
    29.27,
    undefined,
  ]]);
  assert.throws(() => rateRows({ rows: [{ ...row, unheard: "of" }] }, peers));
});

Deno.test("rateRows() finds the recipe of a row by its settings", async () => {
  const { recipe } = await loadRecipe(join(configs, "methods", "watersic.yaml"));
  const differences = (changed: object) =>
    rateRows({ rows: [{ ...row, ...changed }] }, peers)[0].differencesFrom(recipe).map(({ path }) => path).sort();
  assert.deepEqual(differences({}), []);
  assert.deepEqual(differences({ bits: 3.157 }), ["stages.trellis.bits"]);
  assert.deepEqual(differences({ states: 8, lam: 0.45 }), ["stages.trellis.lambda", "stages.trellis.states"]);
});

Deno.test("rateRows() gives every row of the record exactly one recipe", {
  ignore: !existsSync(records) && !Deno.env.get("CI"),
}, async () => {
  const read = async (name: string): Promise<unknown> => JSON.parse(await readFile(join(records, name), "utf8"));
  const rows = rateRows(await read("rate.json"), await read("peers.json"));
  assert.equal(rows.length, 16);
  const recipes: Recipe[] = [];
  for (const folder of ["methods", "reference"].map((name) => join(configs, name))) {
    for (const file of (await readdir(folder)).filter((name) => name.endsWith(".yaml"))) {
      recipes.push((await loadRecipe(join(folder, file))).recipe);
    }
  }
  for (const each of rows) {
    const fitting = recipes.filter((recipe) => each.differencesFrom(recipe).length === 0);
    assert.equal(fitting.length, 1, `${each.model}, ${each.perplexity}`);
  }
});
