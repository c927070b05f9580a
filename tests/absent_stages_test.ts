/** A recipe has the stages that it names: what comes of one without search, compensation or evaluation, on real layers. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { openPacked } from "../checkpoints/packed/open.ts";
import { layerOf } from "../checkpoints/packed/planes.ts";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import { type Metrics, renderResultTable } from "../report/mod.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { metricsOf, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models, smallRecipe } from "./small_models_test_support.ts";

const quick = { candidates: 4, iterations: 1, salient: false, split_points: 1 };

/** The stages that every recipe has: nothing is pruned, nothing fed on, nothing measured. */
const fewest = { calibrate: { inputs: "original" }, spbo: quick, pack: {} } as const;

interface Result {
  readonly metrics: Metrics;
  /** The result in words. */
  readonly table: string;
  readonly report: string;
  /** Share of weights that are kept, by layer. */
  readonly kept: readonly number[];
}

/** A model of one block, and one cache. */
async function openWorkshop() {
  const temporary = temporaryFolder(), folder = temporary.path;
  cutModel(models.llama, join(folder, "model"), 1);
  const cache = await openCache(join(folder, "cache"));
  return {
    async run(stages: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Promise<Result> {
      const path = join(folder, "recipe.yaml");
      const { model, stages: all } = smallRecipe({ model: join(folder, "model"), windows: models.llama, stages });
      const settings = Object.entries(all as typeof stages).filter(([name]) => name in stages);
      writeFileSync(path, stringify({ model, stages: Object.fromEntries(settings) }));
      const { recipe, warnings } = await loadRecipe(path);
      assert.deepEqual(warnings, []);
      const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", cache: cache.folder });
      try {
        const plan = await makePlan(subject, cache, { recipe });
        const { error, folder: run } = await executeRun(plan, subject, {
          cache,
          recipe,
          runsDir: join(folder, "runs"),
        });
        if (error !== undefined) throw error;
        const metrics = metricsOf({ path: run });
        return {
          metrics,
          table: renderResultTable(metrics, recipe).join("\n"),
          report: readFileSync(join(run, "report.html"), "utf8"),
          kept: await keptOf(join(run, "model")),
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

async function keptOf(model: string): Promise<number[]> {
  assert.ok(existsSync(join(model, "config.json")));
  const packed = await openPacked(model);
  try {
    const shares: number[] = [];
    for (const name of packed.layers.keys()) {
      const { codes } = layerOf(await packed.layer(name));
      shares.push(codes.reduce((sum, code) => sum + code % 2, 0) / codes.length);
    }
    return shares;
  } finally {
    packed.close();
  }
}

function errorsOf({ metrics }: Result): number[] {
  return metrics.layer_error.layers.map(({ error }) => error);
}

Deno.test("a recipe without a stage runs without it, and its result claims nothing of it", async (test) => {
  using workshop = await openWorkshop();
  const bare = await workshop.run(fewest);

  await test.step("calibrate, spbo and pack alone: all weights are kept, and no perplexity is claimed", () => {
    const { metrics, table, report, kept } = bare;
    assert.deepEqual([...new Set(kept)], [1]);
    assert.deepEqual(metrics.perplexity, {});
    assert.ok(!("keep" in metrics) && !("of" in metrics), JSON.stringify(metrics));
    assert.doesNotMatch(table, /kept|perplexity/);
    assert.doesNotMatch(report, /<h3>Perplexity<|<h3>Weights kept/);
    assert.match(report, /<h3>Bits per weight</);
    // No column is salient: one sign for each weight, and no mask.
    assert.deepEqual([metrics.bits.nominal, metrics.bits.stored.mask], [1, 0]);
    assert.deepEqual(Object.keys(metrics.seconds.stages).sort(), ["calibrate", "pack", "spbo"]);
  });

  await test.step("with both searches half of the weights are kept, in fewer bits", async () => {
    const { metrics, table, kept } = await workshop.run({ ...fewest, "coarse-search": {}, "fine-search": {} });
    assert.deepEqual(metrics.keep, [4]);
    assert.equal(metrics.of, 8);
    assert.deepEqual([...new Set(kept)], [0.5]);
    assert.match(table, /^kept of 8 {5}4$/m);
    assert.equal(metrics.bits.nominal, 0.5);
    assert.ok(metrics.bits.stored.mask > 0);
  });

  await test.step("without compensate is as with its mode none", async () => {
    const none = await workshop.run({ ...fewest, compensate: { mode: "none" } });
    assert.deepEqual(errorsOf(none), errorsOf(bare));
    const exact = await workshop.run({ ...fewest, compensate: { mode: "exact" } });
    assert.notDeepEqual(errorsOf(exact), errorsOf(bare));
  });

  await test.step("with evaluate the same model is measured", async () => {
    const { metrics, table, report } = await workshop.run({ ...fewest, evaluate: {} });
    assert.deepEqual(Object.keys(metrics.perplexity), ["heldout"]);
    assert.deepEqual(metrics.bits, bare.metrics.bits);
    assert.match(table, /^perplexity/);
    assert.match(report, /<h3>Perplexity</);
  });
});
