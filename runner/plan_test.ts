import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { type ArithmeticOptions, openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
import { type ArtifactCache, openCache } from "./cache/cache.ts";
import { buildGraph, descendants } from "./graph.ts";
import type { Sources } from "./explain.ts";
import { makePlan, type Plan, type PlanOptions, summarizeStages } from "./plan.ts";
import { executeRun } from "./run.ts";
import type { Step, Subject } from "./stage.ts";

type Stages = Record<string, Record<string, unknown>>;

interface Case {
  readonly stages?: Stages;
  readonly pipeline?: ArithmeticOptions;
}

async function inCache(work: (cache: ArtifactCache) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-plan-" });
  const cache = await openCache(join(folder, "cache"));
  try {
    await work(cache);
  } finally {
    cache.close();
    Deno.removeSync(folder, { recursive: true });
  }
}

async function planOf(
  cache: ArtifactCache,
  { stages, pipeline }: Case,
  options: Partial<PlanOptions> = {},
): Promise<Plan> {
  const recipe = recipeWith(stages);
  return await makePlan(openArithmetic(recipe, pipeline), cache, { recipe, ...options });
}

/** Plans and runs. @returns ids of the steps that ran */
async function run(
  cache: ArtifactCache,
  { stages, pipeline }: Case,
  options: Partial<PlanOptions> = {},
): Promise<string[]> {
  const ran: string[] = [];
  const recipe = recipeWith(stages);
  const subject = openArithmetic(recipe, { onRun: (id) => ran.push(id), ...pipeline });
  const plan = await makePlan(subject, cache, { recipe, ...options });
  const result = await executeRun(plan, subject, { cache, recipe, runsDir: join(cache.folder, "..", "runs") });
  assert.equal(result.outcome, "finished", result.error?.message);
  assert.deepEqual(ran, plan.steps.filter(({ state }) => state === "run").map(({ id }) => id));
  return ran;
}

const whys = (plan: Plan) => Object.fromEntries(plan.steps.filter(({ why }) => why).map(({ id, why }) => [id, why]));

Deno.test("makePlan() says first run, then that everything is cached", () =>
  inCache(async (cache) => {
    const first = await planOf(cache, {});
    assert.deepEqual({ ...first.totals }, {
      run: 11,
      cached: 0,
      skip: 0,
      fetch: { steps: 0, bytes: 0 },
      seconds: 5.5,
      memory: 1000,
      disk: 11 * 64 - 2 * 64,
    });
    assert.ok(Object.values(whys(first)).every((why) => why?.field === "first run"));
    await run(cache, {});
    const again = await planOf(cache, {});
    assert.deepEqual([again.totals.run, again.totals.cached, again.totals.skip], [0, 7, 4]);
    assert.equal(again.totals.disk, 0);
  }));

Deno.test("makePlan() names the first field that differs, its line, and the step where it began", () =>
  inCache(async (cache) => {
    const stages = { calibrate: { inputs: "original" } };
    await run(cache, { stages });
    const sources: Sources = new Map<string, string | { file: string; line: number }>([["stages.spbo.iterations", {
      file: "a.yaml",
      line: 7,
    }], [
      "stages.spbo",
      "default",
    ]]);
    const changed = await planOf(cache, { stages: { ...stages, spbo: { iterations: 20 } } }, { sources });
    const reason = { field: "stages.spbo.iterations", before: 15, now: 20, at: { file: "a.yaml", line: 7 } };
    const found = whys(changed);
    assert.deepEqual(found["spbo[0]"], reason);
    assert.deepEqual(found["spbo[2]"], reason);
    assert.deepEqual(found.evaluate, { step: "spbo[0]", ...reason });
    assert.deepEqual(found.embed, { field: "transient" });
    assert.equal(found["calibrate[0]"], undefined);
    assert.deepEqual(
      summarizeStages(changed).map(({ stage, state, why }) => [stage, state, why?.field]),
      [["embed", "run", "transient"], ["calibrate", "cached", undefined], ["spbo", "run", reason.field], [
        "forward",
        "run",
        "transient",
      ], ["evaluate", "run", reason.field]],
    );
  }));

Deno.test("makePlan() traces a difference through every block", () =>
  inCache(async (cache) => {
    await run(cache, {});
    const { steps } = await planOf(cache, { stages: { calibrate: { samples: 64 } } });
    for (const { id, why } of steps) {
      const { step, ...reason } = why ?? { field: "none" };
      assert.deepEqual(reason, { field: "stages.calibrate.samples", before: 128, now: 64 }, id);
      assert.equal(step, id === "embed" ? undefined : "embed", id);
    }
    const facts = whys(await planOf(cache, { pipeline: { weights: "v" } }));
    assert.deepEqual(facts["forward[1]"], { step: "embed", field: "facts.weights", before: "w", now: "v" });
    const version = whys(await planOf(cache, { pipeline: { code: "2" } }));
    assert.deepEqual(version["spbo[1]"], { field: "code", before: "1", now: "2" });
  }));

Deno.test("makePlan() compares with the nearest of several earlier results", () =>
  inCache(async (cache) => {
    await run(cache, { stages: { spbo: { iterations: 1, group_size: 64 } } });
    await run(cache, { stages: { spbo: { iterations: 2, group_size: 32 } } });
    const found = whys(await planOf(cache, { stages: { spbo: { iterations: 3, group_size: 64 } } }));
    assert.deepEqual(found["spbo[0]"], { field: "stages.spbo.iterations", before: 1, now: 3 });
  }));

Deno.test("makePlan() says evicted when the results are gone, and partly for some of a stage", () =>
  inCache(async (cache) => {
    const stages = { calibrate: { inputs: "original" } };
    await run(cache, { stages });
    const codes = cache.list().find(({ step }) => step === "spbo[1]");
    cache.discard(codes?.key ?? "");
    const plan = await planOf(cache, { stages });
    assert.deepEqual(whys(plan), { "spbo[1]": { field: "evicted" } });
    assert.equal(summarizeStages(plan).find(({ stage }) => stage === "spbo")?.state, "partly");
    assert.deepEqual(await run(cache, { stages }), ["spbo[1]"]);
  }));

Deno.test("makePlan() says corrupt of what was changed behind the cache's back, and touches nothing", () =>
  inCache(async (cache) => {
    await run(cache, {});
    const key = cache.list().find(({ step }) => step === "spbo[1]")?.key ?? "";
    const path = await cache.read(key).path("codes.safetensors");
    Deno.writeFileSync(path, Deno.readFileSync(path).map((byte, at) => at === 90 ? byte ^ 1 : byte));
    const plan = await planOf(cache, {});
    assert.deepEqual(whys(plan), { "spbo[1]": { field: "corrupt" } });
    assert.equal(cache.has(key), true);
    assert.deepEqual(await run(cache, {}), ["spbo[1]"]);
  }));

Deno.test("makePlan() with from forces a stage and all that depends on it", () =>
  inCache(async (cache) => {
    await run(cache, {});
    const plan = await planOf(cache, {}, { from: "evaluate" });
    assert.deepEqual(whys(plan).evaluate, { field: "forced" });
    assert.deepEqual(whys(plan)["forward[2]"], { field: "transient" });
    const ran = await run(cache, {}, { from: "spbo" });
    assert.deepEqual(ran, [
      ...["embed", "spbo[0]", "forward[0]", "calibrate[1]", "spbo[1]", "forward[1]"],
      ...["calibrate[2]", "spbo[2]", "forward[2]", "evaluate"],
    ]);
    assert.deepEqual(await run(cache, {}), []);
    await assert.rejects(
      async () => await planOf(cache, {}, { from: "spob" }),
      /the stages are embed, calibrate, spbo/,
    );
  }));

Deno.test("makePlan() with until stops after a stage, and what comes later finds what it needs", () =>
  inCache(async (cache) => {
    const stages = { calibrate: { inputs: "original" } };
    const ran = await run(cache, { stages }, { until: "calibrate" });
    assert.deepEqual(ran, ["embed", "calibrate[0]", "forward[0]", "calibrate[1]", "forward[1]", "calibrate[2]"]);
    assert.deepEqual(await run(cache, { stages }), ["spbo[0]", "spbo[1]", "spbo[2]", "forward[2]", "evaluate"]);
    await assert.rejects(async () => await planOf(cache, {}, { until: "x" }), RangeError);
  }));

Deno.test("makePlan() expects what was measured, scaled to the step's size", () =>
  inCache(async (cache) => {
    await run(cache, { pipeline: { slow: 40 } });
    const plan = await planOf(cache, { stages: { spbo: { iterations: 3 } } });
    const spbo = plan.steps.find(({ id }) => id === "spbo[0]");
    assert.ok(spbo !== undefined && spbo.seconds >= 0.039 && spbo.seconds < 0.4, `${spbo?.seconds}`);
    const more = await planOf(cache, { pipeline: { blocks: 4 } });
    const seconds = more.steps.find(({ id }) => id === "spbo[3]")?.seconds ?? 0;
    assert.ok(seconds >= 0.039 && seconds < 0.4, `${seconds}`);
  }));

Deno.test("makePlan() expects nothing of a step by other kinds of steps of its stage", () =>
  inCache(async (cache) => {
    const step = (id: string, seconds: number): Step => ({
      ...{ id, stage: "calibrate", code: "1", reads: [], facts: {}, inputs: {} },
      outputs: { out: { retain: "keep", bytes: 8 } },
      estimate: { seconds, memory: 1 },
      async run({ output }) {
        await delay(50);
        output("out").value(1);
      },
    });
    const blocks = [0, 1, 2].map((block) => step(`calibrate[${block}]`, 1e-4));
    await runSteps(cache, { steps: blocks, target: "calibrate[2]", stages: {} });
    const steps = [step("calibrate.windows", 0.5), step("calibrate[7]", 1e-4)];
    const subject = { ...openArithmetic(recipeWith()), model: "another", steps, targets: steps.map(({ id }) => id) };
    const plan = await makePlan(subject, cache, { recipe: recipeWith() });
    const [windows, block] = plan.steps.map(({ seconds }) => seconds);
    assert.equal(windows, 0.5);
    assert.ok(block >= 0.049 && block < 5, `${block}`);
  }));

Deno.test("makePlan() shares what two recipes have in common", () =>
  inCache(async (cache) => {
    const of = (keep: number) => ({ calibrate: { inputs: "original" }, spbo: { iterations: keep } });
    await run(cache, { stages: of(4) });
    for (const keep of [5, 6]) {
      const ran = await run(cache, { stages: of(keep) });
      assert.deepEqual(ran.filter((id) => id.startsWith("calibrate")), []);
      assert.deepEqual(ran.filter((id) => id.startsWith("spbo")).length, 3);
    }
    assert.deepEqual(await run(cache, { stages: of(4) }), []);
  }));

/** Recipe values that random steps may read, and one that none reads. */
const FIELDS: readonly (readonly [string, string])[] = [
  ["calibrate", "samples"],
  ["calibrate", "seed"],
  ["spbo", "iterations"],
  ["spbo", "resign"],
  ["compensate", "damping"],
];

/** Steps of a random DAG: each may read some of four values and take earlier steps' outputs. */
const dag: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ reads: fc.uniqueArray(fc.nat(3)), inputs: fc.uniqueArray(fc.nat(9)), transient: fc.boolean() }),
  { minLength: 1, maxLength: 10 },
).map((nodes) =>
  nodes.map(({ reads, inputs, transient }, index): Step => ({
    ...{ id: `s${index}`, stage: `s${index}`, code: "1", reads: reads.map(pathOf), facts: { index } },
    inputs: Object.fromEntries(
      inputs.filter((from) => from < index).map((from) => [`in${from}`, { step: `s${from}`, output: "out" }]),
    ),
    outputs: { out: { retain: transient ? "transient" : "keep", bytes: 8 } },
    estimate: { seconds: 1, memory: 1 },
    async run(context) {
      let sum = index;
      for (const path of this.reads) sum = sum * 3 + context.param<number>(path);
      for (const name of Object.keys(this.inputs)) sum = sum * 5 + Number((await context.input(name)).value);
      context.output("out").value(sum % 1_000_003);
    },
  }))
);

Deno.test("buildGraph() changes exactly the keys that depend on a changed field", () => {
  fc.assert(fc.property(dag, fc.nat(4), (steps, changed) => {
    const before = buildGraph(steps, recipeWith());
    const now = buildGraph(steps, recipeWith(changeOf(changed)));
    const differing = [...before].filter(([id, node]) => node.key !== now.get(id)?.key).map(([id]) => id);
    assert.deepEqual(new Set(differing), dependentsOf(steps, changed));
  }));
});

Deno.test("executeRun() re-runs exactly the dependents of a changed field, and transient outputs they need", async () => {
  await fc.assert(
    fc.asyncProperty(dag, fc.nat(4), fc.nat(9), (steps, changed, last) =>
      inCache(async (cache) => {
        const isKept = (id: string) => steps.find((step) => step.id === id)?.outputs.out.retain === "keep";
        const target = `s${Math.min(last, steps.length - 1)}`;
        const before = await runSteps(cache, { steps, target, stages: {} });
        const again = await runSteps(cache, { steps, target, stages: {} });
        assert.deepEqual(again.ran, []);
        const now = await runSteps(cache, { steps, target, stages: changeOf(changed) });
        const dependents = dependentsOf(steps, changed);
        for (const id of before.ran.filter(isKept)) assert.equal(now.ran.includes(id), dependents.has(id), id);
        for (const id of now.ran) assert.ok(before.ran.includes(id), id);
        await inCache(async (fresh) => {
          const cold = await runSteps(fresh, { steps, target, stages: changeOf(changed) });
          assert.equal(cold.value, now.value);
        });
      })),
    { numRuns: 15, seed: 3 },
  );
});

function pathOf(field: number): string {
  return `stages.${FIELDS[field].join(".")}`;
}

function changeOf(field: number): Stages {
  const [stage, key] = FIELDS[field];
  return { [stage]: { [key]: key === "damping" ? 0.5 : 77 } };
}

function dependentsOf(steps: readonly Step[], field: number): Set<string> {
  const readers = steps.filter(({ reads }) => reads.includes(pathOf(field))).map(({ id }) => id);
  return descendants(buildGraph(steps, recipeWith()), readers);
}

/** Runs steps for the value of one of them. */
async function runSteps(
  cache: ArtifactCache,
  { steps, target, stages }: { readonly steps: readonly Step[]; readonly target: string; readonly stages: Stages },
): Promise<{ ran: string[]; value: unknown }> {
  const recipe = recipeWith(stages);
  const ran: string[] = [];
  let value: unknown;
  const subject: Subject = {
    ...{ method: "dag", model: "dag", device: { kind: "cpu", name: "test", why: "test" }, targets: [target] },
    steps: steps.map((step) => ({ ...step, run: (context) => (ran.push(step.id), step.run(context)) })),
    renderRecipe: () => "",
    lock: () => null,
    finish: async ({ input }) => void (value = (await input({ step: target, output: "out" })).value),
    close: () => Promise.resolve(),
  };
  const plan = await makePlan(subject, cache, { recipe });
  const result = await executeRun(plan, subject, { cache, recipe, runsDir: join(cache.folder, "..", "runs") });
  assert.equal(result.outcome, "finished", result.error?.message);
  return { ran, value };
}
