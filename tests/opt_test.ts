/** An OPT model through the real command line: compressed, inspected, and writing. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { lastRun, metricsOf, succeed, temporaryFolder } from "./command_line_test_support.ts";
import { models, writeRecipe } from "./small_models_test_support.ts";

Deno.test("run compresses an OPT model, and generate writes with it", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const stages = { calibrate: { samples: 16, length: 128 } };
  const recipe = writeRecipe(folder, { model: models.opt, name: "opt", stages });
  const runs = join(folder, "runs");
  await succeed("run", [recipe, "--cache", join(folder, "cache"), "--runs", runs]);
  const metrics = metricsOf(lastRun(runs));
  assert.deepEqual([...metrics.keep ?? []].sort(), [3, 4, 4, 5]);
  const { original, compressed } = metrics.perplexity.heldout;
  assert.ok(compressed > original && compressed < 2 * original, `${compressed} of ${original}`);
  assert.equal(metrics.layer_error.layers.length, 4 * 6);
  assert.ok(metrics.layer_error.layers.some(({ name }) => name.endsWith("fc2")));
  const write = (...more: string[]) =>
    succeed("generate", ["last", "--runs", runs, "--prompt", "The ship", "--max-tokens", "24", ...more]);
  const greedy = await write();
  assert.ok(greedy.startsWith("The ship") && greedy.length > 40, greedy);
  assert.equal(await write(), greedy);
  const drawn = await write("--top-k", "20", "--seed", "1");
  assert.notEqual(drawn, greedy);
  assert.equal(await write("--top-k", "20", "--seed", "1"), drawn);
});
