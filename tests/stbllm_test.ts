/** BiLLM and STBLLM through the whole pipeline on real layers: what is pruned, what is said of it, and what is made again. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { openPacked } from "../checkpoints/packed/open.ts";
import { layerOf } from "../checkpoints/packed/planes.ts";
import { KEPT } from "../kernels/binary/ops.ts";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { STBLLM } from "../stages/stbllm_test_support.ts";
import { metricsOf, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models, smallRecipe } from "./small_models_test_support.ts";

type StageSettings = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const EVALUATED: StageSettings = { ...STBLLM, evaluate: {} };

async function openWorkshop() {
  const temporary = temporaryFolder(), folder = temporary.path;
  cutModel(models.llama, join(folder, "model"), 2);
  const cache = await openCache(join(folder, "cache"));
  return {
    async run(settings: StageSettings) {
      const path = join(folder, "recipe.yaml");
      const all = smallRecipe({ model: join(folder, "model"), windows: models.llama, stages: settings });
      writeFileSync(path, stringify({ ...all, extends: undefined }));
      const { recipe } = await loadRecipe(path);
      const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", cache: cache.folder });
      try {
        const plan = await makePlan(subject, cache, { recipe });
        const cached = plan.steps.filter(({ state }) => state === "cached").map(({ id }) => id);
        const { error, folder: run } = await executeRun(plan, subject, {
          cache,
          recipe,
          runsDir: join(folder, "runs"),
        });
        if (error !== undefined) throw error;
        return {
          metrics: metricsOf({ path: run }),
          report: readFileSync(join(run, "report.html"), "utf8"),
          run,
          cached,
        };
      } finally {
        await subject.close();
      }
    },
    [Symbol.dispose]() {
      cache.close();
      temporary[Symbol.dispose]();
    },
  };
}

/** How many of every 8 weights of each layer are kept, where that is the same all over, and the share of zeros. */
async function keptOf(run: string) {
  const packed = await openPacked(join(run, "model"));
  try {
    const found: { readonly kept: readonly number[]; readonly zeros: number }[] = [];
    for (const name of packed.layers.keys()) {
      const { codes } = layerOf(await packed.layer(name)), weights = await packed.read(`${name}.weight`);
      const runs = Array.from(
        { length: codes.length / 8 },
        (_, i) => codes.subarray(8 * i, 8 * i + 8).reduce((sum, code) => sum + (code & KEPT), 0),
      );
      found.push({ kept: [...new Set(runs)], zeros: weights.filter((w) => w === 0).length / weights.length });
    }
    return found;
  } finally {
    packed.close();
  }
}

Deno.test("stbllm: N:M holds as published, not as released, and the result says so", async (test) => {
  using workshop = await openWorkshop();
  const published = await workshop.run(EVALUATED);

  await test.step("as published exactly N of every 8 are kept in each block", async () => {
    const { metrics, report, run } = published, keep = metrics.keep ?? [];
    // Two blocks: the shares of outliers are stretched to −1 and 1, and 1 is made 2.
    assert.deepEqual([...keep].sort(), [3, 6]);
    const layers = await keptOf(run);
    assert.deepEqual(layers.map(({ kept }) => kept), layers.map((_, i) => [keep[Math.floor(2 * i / layers.length)]]));
    assert.equal(metrics.method, "stbllm");
    assert.doesNotMatch(report, /N:M does not hold/);
    assert.ok(metrics.bits.stored.mask > 0.5);
  });

  await test.step("as released nothing is zero; nominal bits are the paper's, and the result says so", async () => {
    const { metrics, report, run, cached } = await workshop.run({ ...EVALUATED, stbllm: { variant: "as-released" } });
    for (const { kept, zeros } of await keptOf(run)) {
      assert.deepEqual(kept, [8]);
      assert.ok(zeros < 0.05, `${zeros} are zero`);
    }
    assert.equal(metrics.method, "stbllm (as released)");
    assert.match(report, /N:M does not hold/);
    assert.ok(metrics.bits.nominal < 1 && metrics.bits.stored.mask === 0, JSON.stringify(metrics.bits));
    // Masks do not depend on what is made of them; hidden states are not kept, so calibrate runs again whatever its keys.
    for (const step of ["coarse-search", "fine-search[0]", "fine-search[1]"]) assert.ok(cached.includes(step), step);
  });

  await test.step("billm prunes nothing, and its first block's statistics are of weights that nothing pruned", async () => {
    const { "coarse-search": _coarse, "fine-search": _fine, stbllm: _stbllm, ...rest } = EVALUATED;
    const { metrics, run, cached } = await workshop.run({ ...rest, billm: {} });
    assert.ok(!("keep" in metrics) && metrics.bits.nominal > 1 && metrics.bits.nominal < 1.5);
    assert.deepEqual([...new Set((await keptOf(run)).flatMap(({ kept }) => kept))], [8]);
    assert.ok(!cached.includes("calibrate[0]"));
    const { original, compressed } = metrics.perplexity.heldout;
    assert.ok(compressed > original && compressed < 5 * original, `${compressed}`);
    assert.ok(metrics.layer_error.mean < published.metrics.layer_error.mean);
  });
});
