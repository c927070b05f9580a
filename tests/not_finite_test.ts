/** Perplexities that are not finite: the packed model is handed over all the same, and the number is told as it is. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openPacked } from "../checkpoints/packed/open.ts";
import type { StepContext } from "../runner/stage.ts";
import { stages } from "../stages/mod.ts";
import type { Stage } from "../stages/planning.ts";
import { lastRun, runTask, succeed, temporaryFolder } from "./command_line_test_support.ts";
import { runTiny, tinyMetrics, tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

Deno.test("run tells a perplexity that is too large as Infinity, and misses what was expected", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, runs = join(folder, "runs"), at = ["--runs", runs];
  await writeTinyModel(folder, { head: 10_000 });
  const expect = { heldout: { value: 60, within: 0.5 } };
  const path = writeTinyRecipe(folder, { ...tinyRecipe(folder), expect });
  const { code, out, err } = await runTask("run", [path, "--cache", join(folder, "cache"), ...at]);
  assert.equal(code, 7, err);
  assert.match(out, /heldout +Infinity +Infinity +124 +Infinity for 60: NOT met/);
  const run = lastRun(runs);
  const { perplexity: { heldout } } = JSON.parse(readFileSync(join(run.path, "metrics.json"), "utf8"));
  const { original, compressed, tokens, divergence } = heldout;
  assert.deepEqual([original, compressed, tokens], ["Infinity", "Infinity", 124]);
  assert.ok(Number.isFinite(divergence.kl.mean));
  const page = readFileSync(join(run.path, "report.html"), "utf8");
  assert.match(page, /<data value="Infinity">Infinity<\/data>.*not met/s);
  assert.ok(!page.includes("NaN"), "the chart has numbers");
  (await openPacked(join(run.path, "model"))).close();
  assert.match(await succeed("runs", ["show", "last", ...at]), /perplexity\.heldout\.compressed +Infinity/);
  const both = JSON.parse(await succeed("runs", ["compare", "last", "last", "--json", ...at]));
  const found = both.metrics.find(({ path }: { path: string }) => path === "perplexity.heldout.compressed");
  assert.deepEqual(found, { path: "perplexity.heldout.compressed", values: ["Infinity", "Infinity"] });
});

Deno.test("run hands over the packed model, metrics and report where a perplexity cannot be measured, and says why", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await writeTinyModel(folder);
  const path = writeTinyRecipe(folder, tinyRecipe(folder));
  // A model whose outputs overflow after packing only is hard to come by: the last step is told that this one's did.
  const lose = (context: StepContext) =>
    context.output("loss").value({ perplexity: "NaN", tokens: 124, lost: "block 0" });
  const broken = stages.map((stage): Stage => ({
    ...stage,
    plan: (planning, settings) =>
      stage.plan(planning, settings).map((step) =>
        step.id !== "evaluate.heldout.compressed[0]" ? step : {
          ...step,
          async run(context) {
            await step.run(context);
            lose(context);
          },
        }
      ),
  }));
  for (const steps of [12, 0]) {
    const result = await runTiny(folder, path, broken);
    assert.deepEqual([result.outcome, result.exit, result.steps.run > 0], ["failed", 5, steps > 0]);
    assert.match(
      result.error?.message ?? "",
      /^Cannot measure heldout on the compressed model: outputs of block 0 are not finite; .*folder; raise stages\.compensate\.damping, .*$/,
    );
    const { original, compressed } = tinyMetrics(result).perplexity.heldout;
    assert.ok(original > 1 && Number.isNaN(compressed));
    assert.ok(existsSync(join(result.folder, "report.html")));
    (await openPacked(join(result.folder, "model"))).close();
  }
});
