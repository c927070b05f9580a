/** How far packed models are from the original, from recipe to result: what is measured, and that the original is run once for all. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import type { Metrics } from "../report/mod.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { metricsOf, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models } from "./small_models_test_support.ts";

interface Measured {
  readonly metrics: Metrics;
  /** Steps that were run. */
  readonly ran: readonly string[];
}

async function measure(
  folder: string,
  bits: number,
  evaluate: Readonly<Record<string, unknown>> = {},
): Promise<Measured> {
  const windows = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  const path = join(folder, "recipe.yaml");
  writeFileSync(
    path,
    stringify({
      model: { path: join(folder, "model") },
      stages: {
        calibrate: { dataset: windows("calibration"), samples: 4, length: 64 },
        ...{ rtn: { bits }, pack: {} },
        evaluate: {
          perplexity: [{ name: "heldout", dataset: windows("heldout"), samples: 12, length: 64 }],
          ...evaluate,
        },
      },
    }),
  );
  const cache = await openCache(join(folder, "cache"));
  try {
    const { recipe } = await loadRecipe(path);
    const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", forward: "cpu", cache: cache.folder });
    try {
      const plan = await makePlan(subject, cache, { recipe });
      const { error, folder: run } = await executeRun(plan, subject, { cache, recipe, runsDir: join(folder, "runs") });
      if (error !== undefined) throw error;
      return {
        metrics: metricsOf({ path: run }),
        ran: plan.steps.flatMap(({ id, state }) => state === "run" ? [id] : []),
      };
    } finally {
      await subject.close();
    }
  } finally {
    cache.close();
  }
}

Deno.test("a packed model's next tokens and hidden states are compared with the original's", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  cutModel(models.llama, join(folder, "model"), 2);
  const coarse = await measure(folder, 2), fine = await measure(folder, 4);
  for (const { metrics: { perplexity: { heldout } } } of [coarse, fine]) {
    const { divergence, block_errors: errors = [] } = heldout;
    assert.ok(divergence);
    const { kl, same_top } = divergence;
    assert.equal(divergence.tokens, heldout.tokens);
    assert.equal(errors.length, 2);
    const rising = [kl.median, kl.p90, kl.p99, kl.p999, kl.max];
    assert.deepEqual(rising, rising.toSorted((a, b) => a - b));
    assert.ok(kl.mean > 0 && kl.mean < kl.max && kl.error < kl.mean && same_top > 0 && same_top < 1);
    const { histogram = [], context = [] } = divergence;
    assert.equal(histogram.reduce((sum, { tokens }) => sum + tokens, 0), heldout.tokens);
    const last = histogram.at(-1)?.below ?? NaN;
    assert.ok(kl.max < last && kl.max >= last / 10 ** 0.25);
    assert.deepEqual(context.map(({ from, to }) => [from, to]).slice(-2), [[16, 31], [32, 63]]);
    const mean = context.reduce((sum, { from, to, kl }) => sum + (to - from + 1) * kl, 0) / 63;
    assert.ok(Math.abs(mean / kl.mean - 1) < 1e-9, `${mean}, not ${kl.mean}`);
  }
  const [far, near] = [coarse, fine].map(({ metrics }) => metrics.perplexity.heldout);
  assert.ok((near.divergence?.kl.mean ?? NaN) < 0.5 * (far.divergence?.kl.mean ?? NaN));
  assert.ok((near.divergence?.same_top ?? NaN) > (far.divergence?.same_top ?? NaN));
  near.block_errors?.forEach((error, block) => assert.ok(error < (far.block_errors?.[block] ?? NaN)));
  // The second model found all that it needs of the original.
  assert.deepEqual(fine.ran.filter((id) => id.includes("original")), []);

  const without = await measure(folder, 2, { divergence: false });
  assert.equal(without.metrics.perplexity.heldout.divergence, undefined);
  assert.equal(without.metrics.perplexity.heldout.block_errors, undefined);
  // The head's product is another graph: the last digits may differ.
  assert.ok(Math.abs(without.metrics.perplexity.heldout.compressed / far.compressed - 1) < 1e-6);
});

Deno.test("where a cache has only the original's loss, comparing runs the original again, to the same result", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  cutModel(models.llama, join(folder, "model"), 2);
  const without = await measure(folder, 3, { divergence: false });
  assert.equal(without.metrics.perplexity.heldout.divergence, undefined);
  const { metrics: { perplexity: { heldout } }, ran } = await measure(folder, 3);
  assert.deepEqual(
    ran.filter((id) => id.includes("original")),
    [0, 1].map((block) => `evaluate.heldout.original[${block}]`),
  );
  assert.equal(heldout.original, without.metrics.perplexity.heldout.original);
  assert.equal(heldout.divergence?.tokens, heldout.tokens);
});

Deno.test("a model in eight bits is hardly away from the original", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  cutModel(models.llama, join(folder, "model"), 1);
  const { metrics: { perplexity: { heldout } } } = await measure(folder, 8);
  assert.ok((heldout.divergence?.kl.mean ?? NaN) < 1e-3 && (heldout.divergence?.same_top ?? NaN) > 0.95);
});
