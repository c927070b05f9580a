/** verify holds all that a run measured against its lock, accuracies and divergences too, and metrics.json may say nothing beside that. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { lastRun, project, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models } from "./small_models_test_support.ts";
import { at, command } from "./verify_test_support.ts";

Deno.test("verify holds accuracies and divergences against the lock, made again or measured alone", async (test) => {
  using temporary = temporaryFolder();
  const { path: folder } = temporary, model = join(folder, "model"), cache = ["--cache", join(folder, "other")];
  cutModel(models.llama, model, 1);
  const windows = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  const asked = (name: string) => ({ name, data: join(project, "tasks", "testdata", `${name}.jsonl`), limit: 8 });
  const recipe = {
    model: { path: model },
    stages: {
      calibrate: { dataset: windows("calibration"), samples: 2, length: 32 },
      ...{ rtn: { bits: 3 }, pack: {} },
      evaluate: {
        perplexity: [{ name: "heldout", dataset: windows("heldout"), samples: 4, length: 64 }],
        tasks: [asked("rte"), asked("hellaswag")],
      },
    },
  };
  const path = join(folder, "recipe.yaml");
  writeFileSync(path, stringify(recipe));
  const made = await command("run", path, ...at(folder));
  assert.equal(made.code, 0, made.err);
  assert.match(made.out, /^ +32 answers in [\d.]+ s, [\d.,]+ a second$/m);
  const { path: run } = lastRun(join(folder, "runs"));
  const metricsFile = join(run, "metrics.json"), lockFile = join(run, "recipe.lock.yaml");
  const [metrics, lock] = [metricsFile, lockFile].map((file) => readFileSync(file, "utf8"));
  const hellaswag = [
    "hellaswag acc before",
    "hellaswag acc after",
    "hellaswag acc_norm before",
    "hellaswag acc_norm after",
  ];

  await test.step("made again", async () => {
    const { code, out } = await command("verify", run, ...cache);
    assert.equal(code, 0, out);
    for (const name of ["heldout KL", "heldout same top", "rte acc before", "rte acc after", ...hellaswag]) {
      assert.match(out, new RegExp(`^${name} +[\\d.]+ +[\\d.]+ +same$`, "m"));
    }
  });
  await test.step("measured alone: the same to the last bit as beside the original", async () => {
    rmSync(join(model, "model.safetensors"));
    const { code, out } = await command("verify", run, "--evaluate-only", ...cache);
    assert.equal(code, 0, out);
    for (const name of ["heldout after", "rte acc after", hellaswag[1], hellaswag[3]]) {
      assert.match(out, new RegExp(`^${name} .* same$`, "m"));
    }
    assert.doesNotMatch(out, /before|KL/);
  });
  await test.step("of an accuracy, as near as its standard error is near enough, and no more", async () => {
    rmSync(metricsFile);
    for (const [off, code] of [[0.1, 11], [0.5, 12]] as const) {
      const changed = parse(lock), { compressed } = changed.outcome.metrics.tasks.rte;
      compressed.acc += compressed.acc < 0.5 ? off : -off;
      writeFileSync(lockFile, stringify(changed));
      assert.equal((await command("verify", run, "--evaluate-only", ...cache)).code, code);
    }
    writeFileSync(lockFile, lock);
  });
  await test.step("metrics.json may say nothing else, and nothing more", async () => {
    const parsed = JSON.parse(metrics), { rte } = parsed.tasks, { heldout } = parsed.perplexity;
    const { divergence } = heldout, texts = parsed.perplexity;
    const claims: readonly (readonly [unknown, RegExp])[] = [
      [{ ...parsed, tasks: { ...parsed.tasks, rte: { ...rte, acc: 1 } } }, /^rte acc after .*another$/m],
      [{ ...parsed, tasks: { ...parsed.tasks, boolq: rte } }, /^boolq acc after .*another$/m],
      [{ ...parsed, perplexity: { ...texts, wikitext: heldout } }, /^wikitext after .*another$/m],
      [
        { ...parsed, perplexity: { heldout: { ...heldout, divergence: { ...divergence, same_top: 1 } } } },
        /^heldout same top .*another$/m,
      ],
    ];
    for (const [claim, words] of claims) {
      writeFileSync(metricsFile, JSON.stringify(claim));
      const { code, out } = await command("verify", run, ...cache);
      assert.deepEqual([code, words.test(out)], [12, true], out);
    }
  });
});
