/** What is shared, what is made again and why, and what happens to damaged artifacts: through the real command line. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { seededRandom } from "../datasets/random.ts";
import {
  assertSameBytes,
  lastRun,
  metricsOf,
  modelBytes,
  runTask,
  succeed,
  temporaryFolder,
} from "./command_line_test_support.ts";
import { cutModel, models, type SmallRecipe, smallRecipe, writeRecipe } from "./small_models_test_support.ts";

/** What `plan --json` prints, as far as tests look at it. */
interface Planned {
  readonly totals: { readonly run: number; readonly cached: number };
  readonly steps: readonly {
    readonly id: string;
    readonly stage: string;
    readonly state: "run" | "cached" | "skip";
    readonly why?: { readonly field: string; readonly before?: unknown; readonly now?: unknown };
  }[];
}

/** Stages with steps that will run. */
function stagesToRun({ steps }: Planned): string[] {
  return [...new Set(steps.flatMap(({ stage, state }) => state === "run" ? [stage] : []))];
}

Deno.test("recipes share what does not depend on their differences, and plan says why the rest runs", async (test) => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const model = join(folder, "model");
  cutModel(models.llama, model, 2);
  const [cache, runs] = [join(folder, "cache"), join(folder, "runs")];
  const places = ["--cache", cache];
  const base: SmallRecipe = {
    model,
    windows: models.llama,
    stages: { calibrate: { inputs: "original" }, spbo: { solver: "alternate", iterations: 5, candidates: 10 } },
  };
  const recipe = writeRecipe(folder, base, "4of8.yaml");
  const plan = async (...args: string[]): Promise<Planned> =>
    JSON.parse(await succeed("plan", [...args, "--json", ...places]));

  await test.step("plan of a first run lists every step as to be run, and makes none", async () => {
    const { steps, totals } = await plan(recipe);
    assert.equal(totals.run, steps.length);
    assert.ok(steps.every(({ state, why }) => state === "run" && why?.field === "first run"));
    assert.deepEqual([...new Set(steps.map(({ stage }) => stage))].sort(), [
      "calibrate",
      "coarse-search",
      "evaluate",
      "pack",
      "spbo",
    ]);
    assert.deepEqual(readdirSync(join(cache, "artifacts")), []);
    assert.equal((await runTask("plan", [recipe, "--exit-code", ...places])).code, 10);
  });

  await succeed("run", [recipe, ...places, "--runs", runs]);
  const first = lastRun(runs);

  await test.step("plan of what was run is all cached, at once", async () => {
    assert.equal((await plan(recipe)).totals.run, 0);
    const { code, out } = await runTask("plan", [recipe, "--exit-code", ...places]);
    assert.equal(code, 0);
    assert.match(out, /All is cached/);
  });

  await test.step("another name, order, comment, place of the model and of the runs change nothing", async () => {
    const moved = join(folder, "moved");
    cutModel(models.llama, moved, 2);
    const { stages, ...rest } = smallRecipe({ ...base, model: moved });
    const text = stringify({
      stages: Object.fromEntries(Object.entries(stages as Record<string, unknown>).reverse()),
      description: "the same in other words",
      name: "another",
      ...rest,
    });
    const other = join(folder, "another.yaml");
    writeFileSync(other, `# A remark.\n${text}`);
    assert.equal((await plan(other)).totals.run, 0);
    const elsewhere = join(folder, "elsewhere");
    await succeed("run", [other, ...places, "--runs", elsewhere]);
    assert.deepEqual(lastRun(elsewhere).finished, []);
    assertSameBytes(modelBytes(lastRun(elsewhere)), modelBytes(first), "the packed model");
  });

  await test.step("spbo.iterations alone re-runs no calibration, and plan names it", async () => {
    const set = ["--set", "stages.spbo.iterations=6"];
    const planned = await plan(recipe, ...set);
    assert.deepEqual(stagesToRun(planned).sort(), ["evaluate", "pack", "spbo"]);
    for (const { id, state, why } of planned.steps) {
      if (state !== "run" || why?.field === "transient") continue;
      assert.deepEqual([why?.field, why?.before, why?.now], ["stages.spbo.iterations", 5, 6], id);
    }
    assert.ok(planned.steps.every(({ id, state }) => state !== "run" || !id.includes("original")));
    assert.match(await succeed("plan", [recipe, ...set, ...places]), /stages\.spbo\.iterations 5 → 6/);
    await succeed("run", [recipe, ...set, ...places, "--runs", runs]);
    const stages = lastRun(runs).finished.map((id) => id.split(/[.[]/)[0]);
    assert.ok(!stages.includes("calibrate") && !stages.includes("coarse-search"), stages.join());
  });

  await test.step("plan names the line of the recipe that differs", async () => {
    const changed = writeRecipe(folder, {
      ...base,
      stages: { ...base.stages, compensate: { mode: "none" } },
    }, "changed.yaml");
    const line = readFileSync(changed, "utf8").split("\n").findIndex((each) => each.includes("mode: none")) + 1;
    const out = (await succeed("plan", [changed, ...places])).replace(/\s+/g, " ");
    assert.match(out, new RegExp(`stages\\.compensate\\.mode exact → none, \\S*changed\\.yaml line ${line}`));
  });

  await test.step("4, 5 and 6 of 8 share one calibration", async () => {
    for (const keep of [5, 6]) {
      const stages = { ...base.stages, "coarse-search": { keep } };
      const next = writeRecipe(folder, { ...base, name: `${keep}of8`, stages }, `${keep}of8.yaml`);
      const planned = await plan(next);
      assert.ok(!stagesToRun(planned).includes("calibrate"), stagesToRun(planned).join());
      const { out } = await runTask("run", [next, ...places, "--runs", runs]);
      assert.match(out, /Done: partly from the cache/);
      assert.ok(lastRun(runs).finished.every((id) => !id.startsWith("calibrate")));
      assert.deepEqual(metricsOf(lastRun(runs)).keep, [keep + 1, keep - 1]);
    }
    assert.equal((await plan(recipe)).totals.run, 0, "the first recipe's results are gone");
  });

  await test.step("a result that misses what the recipe expects ends with 7, cached or not", async () => {
    const expecting = join(folder, "expecting.yaml");
    const expect = { heldout: { value: 1, within: 0.01 } };
    writeFileSync(expecting, stringify({ ...smallRecipe(base), expect }));
    const missed = await runTask("run", [expecting, ...places, "--runs", runs]);
    assert.equal(missed.code, 7, missed.err);
    const { compressed } = metricsOf(first).perplexity.heldout;
    const met = ["--set", `expect.heldout.value=${compressed.toFixed(3)}`];
    assert.equal((await runTask("run", [expecting, ...met, ...places, "--runs", runs])).code, 0);
  });

  await test.step("cache tells what it holds, and gives up what does not fit", async () => {
    const listed: { step: string }[] = JSON.parse(await succeed("cache", ["ls", "--json", ...places]));
    assert.ok(listed.some(({ step }) => step === "calibrate[0]"));
    assert.match(await succeed("cache", ["du", ...places]), /calibrate/);
    await succeed("cache", ["gc", "--cache-size", "1MiB", ...places]);
    const { totals } = await plan(recipe);
    assert.ok(totals.run > 0);
    // Manifests are not counted.
    const files = [...walk(join(cache, "artifacts"))].filter((path) => !path.endsWith("manifest.json"));
    const kept = files.reduce((sum, path) => sum + statSync(path).size, 0);
    assert.ok(kept <= 2 ** 20, `${kept}`);
  });
});

Deno.test("damaged artifacts are found, told, made again, and come to the same bytes", async (test) => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const model = join(folder, "model");
  cutModel(models.llama, model, 2);
  const recipe = writeRecipe(folder, { model, windows: models.llama });
  const [cache, runs] = [join(folder, "cache"), join(folder, "runs")];
  const args = [recipe, "--cache", cache, "--runs", runs];
  await succeed("run", args);
  const expected = modelBytes(lastRun(runs));
  const random = seededRandom(5, "damage");
  const artifacts: { key: string; step: string; output: string }[] = JSON.parse(
    await succeed("cache", ["ls", "--json", "--cache", cache]),
  );
  const files = (step: string, file: RegExp): string[] => {
    const artifact = artifacts.find((each) => each.step === step);
    assert.ok(artifact, `there is no artifact of ${step}`);
    const found = [...walk(join(cache, "artifacts"))].filter((path) => path.includes(artifact.key) && file.test(path));
    assert.ok(found.length > 0, `${step} has no ${file}`);
    return found;
  };
  const flip = (path: string, at?: number) => {
    const bytes = readFileSync(path);
    bytes[at ?? random.below(bytes.length)] ^= 1 << random.below(8);
    writeFileSync(path, bytes);
  };
  const verify = async (): Promise<number> => {
    const { code, out } = await runTask("cache", ["verify", "--json", "--cache", cache]);
    const { damaged } = JSON.parse(out);
    assert.equal(code === 0, damaged.length === 0, `cache verify ended with ${code}`);
    return damaged.length;
  };
  const healed = async (count: number) => {
    await succeed("run", args);
    const run = lastRun(runs);
    const told = run.events.filter(({ type }) => type === "artifact-corrupt").length;
    assert.ok(told >= count, `${told} of ${count} damages were told`);
    assertSameBytes(modelBytes(run), expected, "the packed model");
  };

  const damages: readonly { name: string; spoil: () => void }[] = [
    { name: "a bit of the packed weights", spoil: () => flip(files("pack", /model\.safetensors$/)[0]) },
    { name: "the first byte of the packed weights", spoil: () => flip(files("pack", /model\.safetensors$/)[0], 0) },
    { name: "a bit of a manifest", spoil: () => flip(files("coarse-search", /manifest\.json$/)[0]) },
    { name: "a truncated manifest", spoil: () => truncateSync(files("pack[1]", /manifest\.json$/)[0], 100) },
    { name: "a file that is gone", spoil: () => rmSync(files("pack", /tokenizer\.json$/)[0]) },
    {
      name: "a file that is longer",
      spoil: () => writeFileSync(files("pack", /config\.json$/)[0], " ", { flag: "a" }),
    },
  ];
  for (const { name, spoil } of damages) {
    await test.step(`${name}`, async () => {
      spoil();
      assert.equal(await verify(), 1);
      await healed(1);
      assert.equal(await verify(), 0);
    });
  }

  await test.step("a random bit of every artifact at once", async () => {
    for (const { key } of artifacts) {
      const own = [...walk(join(cache, "artifacts"))].filter((path) => path.includes(key));
      flip(own[random.below(own.length)]);
    }
    assert.equal(await verify(), artifacts.length);
    await healed(3);
    await succeed("cache", ["verify", "--fix", "--cache", cache]);
    assert.equal(await verify(), 0);
    await succeed("run", args);
    assertSameBytes(modelBytes(lastRun(runs)), expected, "the packed model");
  });

  await test.step("an index that is gone, or is nonsense, is made again from the artifacts", async () => {
    for (const content of [undefined, "nonsense"]) {
      for (const name of readdirSync(cache).filter((name) => name.startsWith("index.sqlite"))) {
        rmSync(join(cache, name));
      }
      if (content !== undefined) writeFileSync(join(cache, "index.sqlite"), content.repeat(1000));
      await succeed("run", args);
      assert.deepEqual(lastRun(runs).finished, [], content ?? "gone");
      assertSameBytes(modelBytes(lastRun(runs)), expected, "the packed model");
    }
  });
});

function* walk(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else yield path;
  }
}
