import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadRecipe } from "../../pipeline/mod.ts";
import { peerRows } from "./peers.ts";
import { rateRows } from "./rate.ts";
import { differencesFrom, modelOf, parseRecord } from "./rows.ts";

const configs = fileURLToPath(new URL("../../configs/reference/", import.meta.url));
const recordPath = fileURLToPath(new URL("../../../shared/reference/prototype.json", import.meta.url));

const ratePath = fileURLToPath(new URL("../../../shared/reference/rate.json", import.meta.url));
const peersPath = fileURLToPath(new URL("../../../shared/reference/peers.json", import.meta.url));

/** One row as the record writes it. */
const settings = {
  search_target: "scores for salient columns, weights for segments",
  ...{ split_points: 2, group_size: 128, solver: "alternate", iterations: 15, compensate: "diagonal" },
  ...{ inputs: "sequential", mask_from: "updated", split_on: "all", metric: "hessian", salient: true, resign: 0 },
  ...{ scales: "float32", keep: 4, of: 8 },
};
const row = {
  ...{ model: "tiny-llama", method: "pbs2p", perplexity: 37.16, layer_error: 0.079, keep: [5, 4, 3, 3, 4, 5] },
  ...{ quantize_seconds: 6.4, must: true, settings },
};

function record(...rows: readonly object[]) {
  const protocol = {
    calibration: 'tensor "calibration", all 128 windows of 256',
    evaluation: 'tensor "heldout", all 200 windows of 256',
    original_perplexity: 24.898,
  };
  return parseRecord({ protocol: { "tiny-llama": protocol, gemm_gflops: 243, note: "x" }, rows });
}

async function differences(name: string, changed: object = {}): Promise<string[]> {
  const { recipe } = await loadRecipe(join(configs, `${name}.yaml`));
  const { rows, protocols } = record({ ...row, settings: { ...settings, ...changed } });
  const protocol = protocols.get("tiny-llama");
  assert.ok(protocol);
  return differencesFrom(recipe, rows[0], protocol).map(({ path }) => path);
}

Deno.test("parseRecord() leaves out rows that need not be met, whatever they say", () => {
  const { rows } = record(row, { model: "tiny-llama", settings: { unheard: "of" } });
  assert.equal(rows.length, 1);
});

Deno.test("parseRecord() refuses a row that must be met and says something unknown", () => {
  assert.throws(() => record({ ...row, settings: { ...settings, scales: "log8" } }));
  assert.throws(() => record({ ...row, settings: { ...settings, unheard: "of" } }));
});

Deno.test("parseRecord() reads how many windows of how many tokens", () => {
  const { protocols } = record();
  assert.deepEqual(protocols.get("tiny-llama"), {
    calibration: { samples: 128, length: 256 },
    evaluation: { samples: 200, length: 256 },
    original: 24.898,
  });
});

const matches: readonly (readonly [string, object])[] = [
  ["tiny-llama-4of8", {}],
  ["tiny-llama-5of8", { keep: 5 }],
  ["tiny-llama-4of8-no-spbo", { solver: "none" }],
  ["tiny-llama-4of8-oneshot", { schedule: "oneshot" }],
  ["tiny-llama-4of8-joint-uniform", { solver: "joint", compensate: "exact", coarse: "none" }],
];

for (const [name, changed] of matches) {
  Deno.test(`differencesFrom() finds none between ${name}.yaml and its row`, async () => {
    assert.deepEqual(await differences(name, changed), []);
  });
}

const mismatches: readonly (readonly [string, object, readonly string[]])[] = [
  ["tiny-llama-4of8", { keep: 5 }, ["stages.coarse-search.keep"]],
  ["tiny-llama-4of8-joint", {}, ["stages.spbo.solver", "stages.compensate.mode"]],
  ["tiny-llama-4of8-oneshot", {}, ["stages.spbo.schedule"]],
  ["tiny-llama-4of8-joint-original", { solver: "joint", compensate: "exact" }, ["stages.calibrate.inputs"]],
];

for (const [name, changed, paths] of mismatches) {
  Deno.test(`differencesFrom() names ${paths.join(" and ")} where ${name}.yaml differs`, async () => {
    assert.deepEqual(await differences(name, changed), paths);
  });
}

Deno.test("differencesFrom() sees other text, another model and more texts", async () => {
  const { recipe } = await loadRecipe(join(configs, "tiny-llama-4of8.yaml"));
  const { rows, protocols } = record(row);
  const protocol = protocols.get("tiny-llama");
  assert.ok(protocol);
  const { calibrate, evaluate } = recipe.stages;
  assert.ok(calibrate && evaluate);
  const changed = {
    ...recipe,
    model: { path: "/models/tiny-opt" },
    stages: {
      ...recipe.stages,
      calibrate: { ...calibrate, dataset: "c4" as const },
      evaluate: { ...evaluate, perplexity: [...evaluate.perplexity, "ptb" as const] },
    },
  };
  const paths = differencesFrom(changed, rows[0], protocol).map(({ path }) => path);
  assert.ok(paths.includes("model"));
  assert.ok(paths.includes("stages.calibrate.dataset"));
  assert.ok(paths.some((path) => path.startsWith("stages.evaluate")));
});

Deno.test("differencesFrom() names a stage that a recipe leaves out, as a whole", async () => {
  const { recipe } = await loadRecipe(join(configs, "tiny-llama-4of8.yaml"));
  const { rows, protocols } = record(row);
  const protocol = protocols.get("tiny-llama");
  assert.ok(protocol);
  for (const name of Object.keys(recipe.stages)) {
    const { [name]: _left, ...stages } = recipe.stages;
    const found = differencesFrom({ ...recipe, stages }, rows[0], protocol);
    assert.deepEqual(found.map(({ path, recipe }) => ({ path, recipe })), [{
      path: `stages.${name}`,
      recipe: undefined,
    }]);
  }
});

Deno.test({
  name: "every row of the records that must be met has one recipe, and every recipe a row",
  ignore: skipped(),
  async fn() {
    const { rows, protocols } = parseRecord(JSON.parse(await readFile(recordPath, "utf8")));
    const peersRecord: unknown = JSON.parse(await readFile(peersPath, "utf8"));
    const peers = [
      ...peerRows(peersRecord),
      ...rateRows(JSON.parse(await readFile(ratePath, "utf8")), peersRecord),
    ];
    const files = (await readdir(configs)).filter((file) => file.endsWith(".yaml"));
    const recipes = await Promise.all(files.map((file) => loadRecipe(join(configs, file))));
    const used: string[] = [];
    for (const row of rows) {
      const protocol = protocols.get(row.model);
      assert.ok(protocol, row.model);
      const found = recipes.filter(({ recipe }) => differencesFrom(recipe, row, protocol).length === 0);
      assert.equal(found.length, 1, `${row.model} ${row.perplexity}`);
      assert.equal(modelOf(found[0].recipe), row.model);
      used.push(basename(found[0].file));
    }
    for (const { file, recipe } of recipes) {
      if (peers.some((peer) => peer.differencesFrom(recipe).length === 0)) used.push(basename(file));
    }
    assert.deepEqual(used.sort(), files.sort());
  },
});

function skipped(): boolean {
  if (existsSync(recordPath)) return false;
  console.log(`The record is not compared with the recipes as ${recordPath} does not exist`);
  return true;
}
