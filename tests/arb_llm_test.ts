/** ARB-LLM from recipe to result: each variant quantizes, packs, counts and evaluates, and what is stored has its levels. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openPacked } from "../checkpoints/packed/open.ts";
import { lastRun, metricsOf, project, succeed, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";

/** Scales of a column block in each row. */
const VARIANTS = [
  { variant: "arb", column_groups: false, scales: 7 },
  { variant: "arb-x", column_groups: true, scales: 10 },
  { variant: "arb-rc", column_groups: true, scales: 6 },
] as const;

Deno.test("arb-llm: each variant of the method runs from a recipe, and its bits are those of its planes", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, model = join(folder, "model"), runs = join(folder, "runs");
  cutModel(models.llama, model, 1);
  for (const { variant, column_groups, scales } of VARIANTS) {
    const stages = { "arb-llm": { variant, column_groups }, compensate: { mode: "diagonal" }, pack: { scales: "f16" } };
    const base = join(project, "configs", "bases", "tiny-llama.yaml");
    const settings = { model, windows: models.llama, name: variant, stages, extends: base };
    const recipe = writeRecipe(folder, settings, `${variant}.yaml`);
    const args = [recipe, "--device", "cpu", "--cache", join(folder, "cache"), "--runs", runs];
    const out = await succeed("run", args);
    const run = lastRun(runs), { bits, layer_error, perplexity, method, formats } = metricsOf(run);
    assert.ok(run.finished.includes("arb-llm[0]"), out);
    assert.deepEqual([method, formats], ["arb-llm", ["refined"]]);
    const salient = bits.nominal - 1;
    assert.ok(salient > 0 && salient < 0.4, `${salient}`);
    const close = (found: number, wanted: number) =>
      assert.ok(Math.abs(found - wanted) < 0.01, `${found}, not ${wanted}`);
    close(bits.stored.signs, 1 + salient);
    close(bits.stored.segments, column_groups ? 1 : 1 - salient);
    close(bits.stored.scales, 16 * scales / 128);
    assert.equal(bits.stored.column_scales > 0, variant === "arb-rc");
    assert.ok(layer_error.mean > 0.01 && layer_error.mean < 0.2, `${layer_error.mean}`);
    assert.ok(perplexity.heldout.compressed > perplexity.heldout.original);

    // A row of a column block has at most two levels of each of two groups, and four of each salient one.
    if (variant === "arb-rc") continue;
    const packed = await openPacked(join(run.path, "model"));
    const values = await packed.read("model.layers.0.mlp.down_proj.weight");
    for (let row = 0; row < 256; row++) {
      for (let col = 0; col < 768; col += 128) {
        const levels = new Set(values.subarray(row * 768 + col, row * 768 + col + 128));
        assert.ok(levels.size <= (column_groups ? 12 : 8), `${levels.size} levels`);
      }
    }
    packed.close();
  }
});
