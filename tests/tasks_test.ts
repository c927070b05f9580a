/** Zero-shot tasks from recipe to result, to the item as lm-evaluation-harness has them; and what recipes may not ask. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import type { Metrics } from "../report/mod.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { readExpected } from "../tasks/expected_test_support.ts";
import { tasks } from "../tasks/mod.ts";
import { metricsOf, project, temporaryFolder } from "./command_line_test_support.ts";
import { models } from "./small_models_test_support.ts";

function testdata(name: string): string {
  return join(project, "tasks", "testdata", name);
}

const ALL = tasks.map(({ name }) => ({ name, data: testdata(`${name}.jsonl`) }));

interface Asked {
  readonly metrics: Metrics;
  /** By step. */
  readonly scores: ReadonlyMap<string, { readonly logLikelihoods: Float64Array; readonly greedy: Uint8Array }>;
  /** Questions of a task, as they stand in windows. */
  readonly placed: ReadonlyMap<string, { readonly placed: number; readonly tokens: number }>;
  readonly ran: number;
}

function writeRecipe(folder: string, model: string, evaluate: Readonly<Record<string, unknown>>): string {
  const path = join(folder, "recipe.yaml"),
    dataset = { windows: join(model, "windows.safetensors"), tensor: "calibration" };
  const stages = {
    calibrate: { dataset, samples: 2, length: 32 },
    rtn: { bits: 4 },
    pack: {},
    evaluate: { perplexity: [], ...evaluate },
  };
  writeFileSync(path, stringify({ model: { path: model }, stages }));
  return path;
}

async function ask(folder: string, model: string, evaluate: Readonly<Record<string, unknown>>): Promise<Asked> {
  const cache = await openCache(join(folder, "cache"));
  try {
    const { recipe } = await loadRecipe(writeRecipe(folder, model, evaluate));
    const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", forward: "cpu", cache: cache.folder });
    try {
      const plan = await makePlan(subject, cache, { recipe });
      const { error, folder: path } = await executeRun(plan, subject, { cache, recipe, runsDir: join(folder, "runs") });
      if (error !== undefined) throw error;
      const scores = new Map<string, { logLikelihoods: Float64Array; greedy: Uint8Array }>();
      const placed = new Map<string, { placed: number; tokens: number }>();
      for (const { id, outputs } of plan.steps) {
        const { scores: said, questions } = outputs;
        if (said !== undefined) {
          const { log_likelihoods, greedy } = await cache.read(said).read("scores.safetensors");
          scores.set(id, { logLikelihoods: log_likelihoods.data as Float64Array, greedy: greedy.data as Uint8Array });
        }
        if (questions !== undefined) placed.set(id, cache.read(questions).value as { placed: number; tokens: number });
      }
      return { metrics: metricsOf({ path }), scores, placed, ran: plan.totals.run };
    } finally {
      await subject.close();
    }
  } finally {
    cache.close();
  }
}

/** Of a continuation's token, in nats. */
const TOLERANCE = 2e-3;

for (const [name, model] of [["tiny-llama", models.llama], ["tiny-opt", models.opt]] as const) {
  Deno.test(`tasks are asked as lm-evaluation-harness asks them: ${name}`, async (test) => {
    using temporary = temporaryFolder();
    const expected = readExpected(name), { metrics, scores, placed } = await ask(temporary.path, model, { tasks: ALL });
    const last = [...scores.keys()].map((id) => Number(/\[(\d+)\]$/.exec(id)?.[1])).reduce((a, b) => Math.max(a, b), 0);
    let worst = 0;
    for (const { name: task } of tasks) {
      const { items, scores: said } = expected.tasks[task], choices = items.flatMap(({ choices }) => choices);
      const found = scores.get(`evaluate.tasks.${task}.original[${last}]`);
      assert.ok(found);
      assert.equal(found.logLikelihoods.length, choices.length);
      for (const [index, [, continuation, logLikelihood, greedy]] of choices.entries()) {
        const off = Math.abs(found.logLikelihoods[index] - logLikelihood) / continuation.length;
        worst = Math.max(worst, off);
        assert.ok(off <= TOLERANCE, `choice ${index} of ${task}: ${found.logLikelihoods[index]}, not ${logLikelihood}`);
        assert.equal(found.greedy[index] === 1, greedy, `choice ${index} of ${task}`);
      }
      const { original, acc, items: count } = metrics.tasks[task];
      const close = (value: number | undefined, wanted: number | undefined) =>
        assert.ok(
          value === wanted || Math.abs((value ?? NaN) - (wanted ?? NaN)) < 1e-9,
          `${task}: ${value}, not ${wanted}`,
        );
      close(original.acc, said.acc);
      close(original.acc_stderr, said.acc_stderr);
      close(original.acc_norm, said.acc_norm);
      close(original.acc_norm_stderr, said.acc_norm_stderr);
      assert.ok(acc >= 0 && acc <= 1 && count === 16);
    }
    // Measured: 5e-6.
    assert.ok(worst < 5e-5, `${worst}`);
    assert.equal(metrics.tasks.boolq.cut, 1);
    await test.step("what choices share is computed once", () => {
      const { placed: stand, tokens } = placed.get("evaluate.tasks.arc_easy.questions") ?? { placed: NaN, tokens: NaN };
      assert.ok(stand < 0.5 * tokens, `${stand} of ${tokens}`);
    });
    await test.step("the compressed model answers otherwise", () => {
      const original = scores.get(`evaluate.tasks.piqa.original[${last}]`);
      const compressed = scores.get(`evaluate.tasks.piqa.compressed[${last}]`);
      assert.notDeepEqual(original?.logLikelihoods, compressed?.logLikelihoods);
    });
  });
}

Deno.test("tasks are cached by task: another limit asks one again, another task asks that alone", async () => {
  using temporary = temporaryFolder();
  const few = (name: string, limit: number) => ({ name, data: testdata(`${name}.jsonl`), limit });
  const first = await ask(temporary.path, models.opt, { tasks: [few("rte", 3)] });
  assert.equal(first.metrics.tasks.rte.items, 3);
  assert.equal((await ask(temporary.path, models.opt, { tasks: [few("rte", 3)] })).ran, 0);
  const both = await ask(temporary.path, models.opt, { tasks: [few("piqa", 2), few("rte", 3)] });
  const blocks = JSON.parse(Deno.readTextFileSync(join(models.opt, "config.json"))).num_hidden_layers;
  assert.equal(both.ran, 1 + 2 * blocks);
  // The limit of the stage is that of tasks without one.
  const { metrics } = await ask(temporary.path, models.opt, { limit: 2, tasks: [ALL[7], few("rte", 3)] });
  assert.deepEqual([metrics.tasks.piqa.items, metrics.tasks.rte.items], [2, 3]);
});

const refused: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
  ["a task that there is not", { tasks: ["hellaswagg"] }, /hellaswag/],
  ["a task twice", { tasks: ["rte", { name: "rte", limit: 3 }] }, /task `rte` is listed twice/],
  ["examples", { tasks: ["rte"], fewshot: 5 }, /zero-shot/],
  ["no questions", { tasks: [{ name: "rte", limit: 0 }] }, /limit/],
];

for (const [what, evaluate, says] of refused) {
  Deno.test(`a recipe that asks for ${what} is refused before anything runs`, async () => {
    using temporary = temporaryFolder();
    await assert.rejects(loadRecipe(writeRecipe(temporary.path, models.opt, evaluate)), says);
  });
}

Deno.test("questions that cannot be asked are found before anything runs", async () => {
  using temporary = temporaryFolder();
  const own = join(temporary.path, "own.jsonl");
  writeFileSync(own, '{"sentence1": "a", "sentence2": "b", "label": 7}\n');
  const open = async (data: string) => {
    const { recipe } = await loadRecipe(writeRecipe(temporary.path, models.opt, { tasks: [{ name: "rte", data }] }));
    await (await pipeline.open(recipe, {
      purpose: "plan",
      device: "cpu",
      forward: "cpu",
      cache: join(temporary.path, "cache"),
    })).close();
  };
  await assert.rejects(
    open(own),
    /Cannot ask rte: `label` in line 1 of own.jsonl: 7 is no choice.*\(stages.evaluate.tasks.0\)/,
  );
  await assert.rejects(open(testdata("piqa.jsonl")), /line 1 of piqa.jsonl has no field "sentence1"/);
  await assert.rejects(open(join(temporary.path, "nowhere.jsonl")), /nowhere.jsonl/);
});
