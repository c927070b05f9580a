import assert from "node:assert/strict";
import { join } from "node:path";
import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
import { openCache } from "./cache/cache.ts";
import { makePlan } from "./plan.ts";
import { executeRun } from "./run.ts";
import type { Step, StepContext } from "./stage.ts";

/** Runs steps that the arithmetic subject is given besides its own. */
async function runWith(extra: readonly Step[]) {
  const folder = await Deno.makeTempDir();
  const recipe = recipeWith(), cache = await openCache(join(folder, "cache"));
  const honest = openArithmetic(recipe, { blocks: 1 });
  const subject = {
    ...honest,
    steps: [...honest.steps, ...extra],
    targets: [...honest.targets, ...extra.map(({ id }) => id)],
  };
  const finished: string[] = [];
  try {
    const { outcome, exit, error } = await executeRun(await makePlan(subject, cache, { recipe }), subject, {
      ...{ cache, recipe, runsDir: join(folder, "runs") },
      onEvent: (event) => event.type === "step-finished" && finished.push(event.step),
    });
    return { finished, outcome, exit, message: error?.message ?? "" };
  } finally {
    cache.close();
    await Deno.remove(folder, { recursive: true });
  }
}

const step = (id: string, run: (context: StepContext) => void, more: Partial<Step> = {}): Step => ({
  ...{ id, stage: "sum", code: id, reads: [], facts: {}, inputs: {} },
  outputs: { sum: { retain: "keep", bytes: 0 } },
  estimate: { seconds: 0, memory: 0 },
  run: (context) => Promise.resolve(run(context)),
  ...more,
});

Deno.test("executeRun() runs early steps before all others, and the others in the plan's order", async () => {
  const give = (context: StepContext) => context.output("sum").value(1);
  const { finished } = await runWith([
    step("late", give),
    step("second", give, { early: true, inputs: { of: { step: "first", output: "sum" } } }),
    step("first", give, { early: true }),
  ].toSorted((a, b) => a.id < b.id ? -1 : 1));
  assert.deepEqual(finished.slice(0, 3), ["first", "second", "embed"]);
  assert.equal(finished.at(-1), "late");
});

Deno.test("executeRun() says in one sentence which number of which output of which step is not finite", async () => {
  const cases: [unknown, RegExp][] = [
    [{ errors: { "layers.0.q": [0, NaN] } }, /current value is NaN at errors\.layers\.0\.q\.1;/],
    [Infinity, /current value is Infinity; /],
  ];
  for (const [value, said] of cases) {
    const bad = step("bad[0]", (context) => context.output("sum").value(value as number));
    const { outcome, exit, message } = await runWith([bad]);
    assert.deepEqual([outcome, exit], ["failed", 5]);
    assert.match(message, /^Cannot keep output "sum" of step bad\[0\] \(stage sum\): [^\n]*$/);
    assert.match(message, said);
  }
});
