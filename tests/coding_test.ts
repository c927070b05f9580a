/** Entropy-coded planes through the whole pipeline: a smaller file of the same weights, of which nothing but the file is made anew. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openPacked } from "../checkpoints/packed/open.ts";
import {
  lastRun,
  metricsOf,
  modelBytes,
  project,
  runTask,
  succeed,
  temporaryFolder,
} from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";

Deno.test("pack.coding: entropy makes the file smaller and nothing else, layers and an embedding in 8 bits alike", async (test) => {
  using temporary = temporaryFolder();
  const folder = temporary.path, model = join(folder, "model"), runs = join(folder, "runs");
  cutModel(models.llama, model, 2);
  const path = writeRecipe(folder, { model, windows: models.llama, stages: { pack: { embedding: "q8" } } });
  const settings = ["--cache", join(folder, "cache"), "--runs", runs];
  const run = async (coding: string) => {
    const out = await succeed("run", [path, ...settings, "--set", `stages.pack.coding=${coding}`]);
    const last = lastRun(runs);
    return { ...last, out, metrics: metricsOf(last), model: join(last.path, "model") };
  };
  const planes = await run("planes"), entropy = await run("entropy");

  await test.step("it is made from the same packed blocks", () => {
    assert.deepEqual(entropy.finished.filter((id) => !/^evaluate\.heldout\.compressed\[\d\]$/.test(id)), ["pack"]);
  });

  await test.step("its weights are the same, and so is what is measured on them", async () => {
    const { bits: { stored, model, embedding, ...bits }, bytes, formats, ...measured } = entropy.metrics;
    const { bits: { stored: before, ...whole }, ...same } = planes.metrics;
    assert.deepEqual([measured.perplexity, measured.layer_error, bits.nominal, bits.labels], [
      ...[same.perplexity, same.layer_error, whole.nominal, whole.labels],
    ]);
    assert.deepEqual([formats, same.formats], [["planes-entropy"], ["planes"]]);
    assert.ok(stored.segments < 0.97 * before.segments && stored.scales < 0.85 * before.scales);
    assert.ok(stored.total < before.total - 0.2 && model < whole.model, `${stored.total} of ${before.total}`);
    assert.ok(embedding !== undefined && embedding < 7.9, `${embedding}`);
    assert.equal(bytes.packed, modelBytes(entropy).length);
    const [a, b] = [await openPacked(planes.model), await openPacked(entropy.model)];
    try {
      for (const name of a.tensors.keys()) assert.deepEqual(await b.read(name), await a.read(name), name);
      assert.equal(b.layers.get("model.embed_tokens")?.format.name, "grid-stack-entropy");
      await b.verify();
    } finally {
      a.close();
      b.close();
    }
  });

  await test.step("inspect shows what planes take beside it, and generate reads it", async () => {
    const out = await succeed("inspect", [entropy.model]), plain = await succeed("inspect", [planes.model]);
    const { stored } = entropy.metrics.bits, { stored: before } = planes.metrics.bits;
    assert.match(out, new RegExp(`scales +${stored.scales.toFixed(3)} +${before.scales.toFixed(3)}`));
    assert.match(out, /stored +as planes/);
    assert.doesNotMatch(plain, /as planes/);
    const text = await succeed("generate", [entropy.model, "--prompt", "The people", "--max-tokens", "3"]);
    assert.match(text, /^The people/);
  });

  await test.step("with codes that are entropy-coded as they are it says that it changes nothing", async () => {
    const trellis = writeRecipe(folder, {
      ...{
        model,
        windows: models.llama,
        extends: join(project, "configs", "methods", "trellis.yaml"),
      },
      stages: { pack: { coding: "entropy" } },
    }, "trellis.yaml");
    const { out, err } = await runTask("plan", [trellis, "--cache", join(folder, "cache")]);
    assert.match(
      `${out}${err}`.replaceAll(/\s+/g, " "),
      /coding: entropy changes no layer of a block.*entropy-coded as they are/,
    );
  });
});
