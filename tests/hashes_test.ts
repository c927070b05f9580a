/** What a run hashes: the packed model once, however many steps and results read it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { hashContent } from "../files/hash_content.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import { openCache } from "../runner/cache/cache.ts";
import { makePlan, type PlanOptions } from "../runner/plan.ts";
import { executeRun } from "../runner/run.ts";
import type { Step } from "../runner/stage.ts";
import { pipeline } from "../pipeline/mod.ts";
import { temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";

Deno.test("a run hashes the packed model at most once, whoever made it", async () => {
  using folder = temporaryFolder();
  const model = join(folder.path, "model");
  cutModel(models.llama, model, 2);
  const stages = { spbo: { iterations: 1 } };
  const { recipe } = await loadRecipe(writeRecipe(folder.path, { model, windows: models.llama, stages }));
  const artifacts = join(folder.path, "cache", "artifacts");
  let hashed = 0;
  const cache = await openCache(join(folder.path, "cache"), {
    hash(path, options) {
      if (path.startsWith(artifacts) && path.endsWith("model.safetensors")) hashed++;
      return hashContent(path, options);
    },
  });
  const run = async (options: Partial<PlanOptions> = {}) => {
    hashed = 0;
    const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", cache: cache.folder });
    const ran: string[] = [];
    // A file is known for good once it is older than a tick of its clock.
    const steps = subject.steps.map((step): Step => ({
      ...step,
      async run(context) {
        ran.push(step.id);
        if (step.id.endsWith(".compressed[0]")) await delay(50);
        await step.run(context);
      },
    }));
    try {
      const plan = await makePlan({ ...subject, steps }, cache, { recipe, ...options });
      const result = await executeRun(plan, subject, { cache, recipe, runsDir: join(folder.path, "runs") });
      assert.equal(result.outcome, "finished", result.error?.message);
    } finally {
      await subject.close();
    }
    return ran.filter((id) => id.includes(".compressed[")).length;
  };
  try {
    assert.equal(await run(), 2);
    assert.ok(hashed <= 1, `${hashed}`);
    assert.equal(await run({ from: "evaluate" }), 2);
    assert.equal(hashed, 1);
    assert.equal(await run(), 0);
    assert.equal(hashed, 1);
  } finally {
    cache.close();
  }
});
