/** Pruning alone, end to end: each recipe of it on two blocks of the tiny LLaMA, down to the bytes of the packed file. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { openPacked } from "../checkpoints/packed/open.ts";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import { RecipeError } from "../recipes/diagnostics.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { lastRun, metricsOf, project, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models } from "./small_models_test_support.ts";

/** Recipes of configs/methods, and what they are changed to. */
const RECIPES: readonly (readonly [string, readonly string[], { readonly keep: number; readonly of: number }])[] = [
  ["magnitude-4of8", [], { keep: 4, of: 8 }],
  ["wanda-4of8", ["stages.prune.values=f32", "stages.pack.mask=bitmask"], { keep: 4, of: 8 }],
  ["sparsegpt-4of8", [], { keep: 4, of: 8 }],
  ["sparsegpt-4of8", ["stages.coarse-search.keep=2", "stages.coarse-search.of=4"], { keep: 2, of: 4 }],
  ["sparsegpt-4of8", ["stages.coarse-search.metric=lr", "stages.compensate.mode=exact"], { keep: 4, of: 8 }],
];

Deno.test("pruning alone: N of every M of the packed weights are not zero, and the bits are those of mask and values", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, model = join(folder, "model"), runs = join(folder, "runs");
  cutModel(models.llama, model, 2);
  const cache = await openCache(join(folder, "cache"));
  const from = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  const errors: number[] = [];
  try {
    for (const [name, changes, { keep, of }] of RECIPES) {
      const path = join(folder, "small.yaml");
      const evaluate = { perplexity: [{ name: "heldout", dataset: from("heldout"), samples: 4, length: 64 }] };
      // Shared by all.
      const calibrate = { dataset: from("calibration"), samples: 8, length: 64, inputs: "original" };
      const base = join(project, "configs", "methods", `${name}.yaml`);
      writeFileSync(
        path,
        stringify({ extends: base, model: { path: model }, expect: {}, stages: { calibrate, evaluate } }),
      );
      const { recipe } = await loadRecipe(path, { set: changes });
      const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", cache: cache.folder });
      try {
        const plan = await makePlan(subject, cache, { recipe });
        const { error, outcome } = await executeRun(plan, subject, { cache, recipe, runsDir: runs });
        assert.equal(outcome, "finished", `${name} ${changes}: ${error?.message}`);
      } finally {
        await subject.close();
      }
      const run = lastRun(runs), { bits, layer_error, perplexity, keep: kept } = metricsOf(run);
      const wide = changes.includes("stages.prune.values=f32") ? 32 : 16;
      assert.equal(bits.nominal, wide * keep / of);
      assert.equal(bits.stored.values, wide * keep / of);
      assert.ok(bits.stored.mask < (wide === 32 ? 1.01 : of === 4 ? 0.67 : 0.79), `${bits.stored.mask}`);
      const { original, compressed } = perplexity.heldout;
      assert.ok(compressed > original && compressed < 20 * original, `${compressed}`);
      errors.push(layer_error.mean);
      const packed = await openPacked(join(run.path, "model"));
      try {
        for (const layer of packed.layers.keys()) {
          const weights = await packed.read(`${layer}.weight`),
            wanted = kept?.[Number(/layers\.(\d)/.exec(layer)?.[1])];
          for (let at = 0; at < weights.length; at += of) {
            const some = weights.subarray(at, at + of).reduce((count, w) => count + Number(w !== 0), 0);
            assert.equal(some, wanted, `${layer} at ${at}`);
          }
        }
        await packed.verify();
      } finally {
        packed.close();
      }
    }
  } finally {
    cache.close();
  }
  assert.ok(errors[2] < errors[1] && errors[1] < errors[0], `SparseGPT, Wanda, magnitude: ${errors}`);
});

Deno.test("pruning alone needs fine-search, which says what to prune", async () => {
  const recipe = join(project, "configs", "methods", "magnitude-4of8.yaml");
  using temporary = temporaryFolder();
  const path = join(temporary.path, "small.yaml");
  const stages = { calibrate: {}, "coarse-search": {}, prune: {}, pack: {} };
  writeFileSync(path, stringify({ model: { path: models.llama }, stages }));
  await assert.rejects(loadRecipe(path), (error) => {
    assert.ok(error instanceof RecipeError);
    assert.match(error.message, /no stage makes `ranks`: add fine-search/);
    return true;
  });
  const { recipe: { stages: named } } = await loadRecipe(recipe);
  assert.ok(!Object.keys(named).includes("compensate"), "magnitude changes no weight");
});

Deno.test("a conditional metric without feedback is refused", async () => {
  const recipe = join(project, "configs", "methods", "pbs2p-4of8.yaml");
  for (const mode of ["none", "exact"]) {
    const loaded = loadRecipe(recipe, {
      set: ["stages.spbo.block_metric=conditional", `stages.compensate.mode=${mode}`],
    });
    if (mode === "exact") await loaded;
    else await assert.rejects(loaded, /block_metric conditional needs errors to be fed on/);
  }
});
