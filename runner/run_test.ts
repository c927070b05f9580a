import assert from "node:assert/strict";
import { join } from "node:path";
import { parse } from "yaml";
import { InputError } from "../files/input_error.ts";
import {
  type ArithmeticOptions,
  type ArithmeticRecipe,
  modelOf,
  openArithmetic,
  recipeWith,
} from "./arithmetic_test_support.ts";
import { hashContent } from "../files/hash_content.ts";
import { type ArtifactCache, type CacheOptions, openCache } from "./cache/cache.ts";
import type { RunEvent } from "./events.ts";
import { readJournal } from "./journal.ts";
import { makePlan, type PlanOptions } from "./plan.ts";
import { executeRun, type RunOptions, type RunResult } from "./run.ts";
import type { FinishContext, Step, StepContext, Subject } from "./stage.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-run-" });
  try {
    await work(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

interface Ran extends RunResult {
  readonly ran: readonly string[];
  readonly events: readonly RunEvent[];
}

async function runIn(
  cache: ArtifactCache,
  recipe: ArithmeticRecipe,
  { plan = {}, run = {}, pipeline = {} }: {
    plan?: Partial<PlanOptions>;
    run?: Partial<RunOptions>;
    pipeline?: ArithmeticOptions;
  } = {},
): Promise<Ran> {
  const ran: string[] = [];
  const events: RunEvent[] = [];
  const subject = openArithmetic(recipe, { onRun: (id) => ran.push(id), ...pipeline });
  const planned = await makePlan(subject, cache, { recipe, ...plan });
  const result = await executeRun(planned, subject, {
    cache,
    recipe,
    runsDir: join(cache.folder, "..", "runs"),
    onEvent: (event) => events.push(event),
    ...run,
  });
  return { ...result, ran, events };
}

async function withCache(work: (cache: ArtifactCache) => Promise<void>, options: CacheOptions = {}): Promise<void> {
  await inFolder(async (folder) => {
    const cache = await openCache(join(folder, "cache"), options);
    try {
      await work(cache);
    } finally {
      cache.close();
    }
  });
}

const undisturbedModels = new Map<string, Record<string, string>>();

/** Model of a run that nothing disturbs. */
async function undisturbed(recipe: ArithmeticRecipe): Promise<Record<string, string>> {
  const name = JSON.stringify(recipe);
  const known = undisturbedModels.get(name);
  if (known !== undefined) return known;
  let model: Record<string, string> = {};
  await withCache(async (cache) => void (model = modelOf((await runIn(cache, recipe)).folder)));
  undisturbedModels.set(name, model);
  return model;
}

/** Changes what one step does. */
function tamperWith(id: string, run: (context: StepContext, honest: Step["run"]) => Promise<void>): ArithmeticOptions {
  return { tamper: (step) => step.id === id ? { ...step, run: (context) => run(context, (c) => step.run(c)) } : step };
}

function flipByte(path: string, at: number): void {
  const bytes = Deno.readFileSync(path);
  bytes[at % bytes.length] ^= 1 << (at % 8);
  Deno.writeFileSync(path, bytes);
}

Deno.test("executeRun() runs everything once, then serves it from the cache", () =>
  withCache(async (cache) => {
    const cold = await runIn(cache, recipeWith());
    assert.equal(cold.error, undefined);
    assert.deepEqual([cold.outcome, cold.exit, cold.ran.length], ["finished", 0, 11]);
    assert.deepEqual(cold.steps, { run: 11, cached: 0 });
    const again = await runIn(cache, recipeWith());
    assert.deepEqual(again.ran, []);
    assert.deepEqual(again.steps, { run: 0, cached: 11 });
    assert.deepEqual(modelOf(again.folder), modelOf(cold.folder));
    assert.deepEqual(cache.list().filter(({ retain }) => retain === "transient"), []);
  }));

Deno.test("executeRun() leaves journal and lock, and its events tell the whole run", () =>
  withCache(async (cache) => {
    const { folder, run, events, seconds, stages, peakMemory } = await runIn(cache, recipeWith());
    assert.match(run, /^\d{8}-\d{9}-[0-9a-f]{6}-arithmetic$/);
    const journal = readJournal(join(folder, "events.ndjson"));
    assert.deepEqual(journal, JSON.parse(JSON.stringify(events)));
    const [first] = events;
    assert.ok(first.type === "run-started" && first.folder === folder && first.steps.length === 11);
    assert.equal(events.filter(({ type }) => type === "step-finished").length, 11);
    assert.deepEqual(events.find(({ type }) => type === "step-measured")?.type, "step-measured");
    assert.equal(events[events.length - 1].type, "run-finished");
    const { recipe, lock } = parse(Deno.readTextFileSync(join(folder, "recipe.lock.yaml")));
    assert.equal(recipe.stages.spbo.iterations, 15);
    assert.deepEqual(lock, { versions: { arithmetic: "1" } });
    assert.deepEqual(Object.keys(stages).sort(), ["calibrate", "embed", "evaluate", "fine-search", "forward", "spbo"]);
    assert.ok(Object.values(stages).reduce((sum, spent) => sum + spent, 0) <= seconds);
    assert.ok(peakMemory > 1e7);
  }));

Deno.test("StepContext refuses what a step does not declare", () =>
  withCache(async (cache) => {
    const undeclared: [string, (context: StepContext) => unknown][] = [
      ["stages.compensate.damping", (context) => context.param("stages.compensate.damping")],
      ["stages.spbo.iteration", (context) => context.param("stages.spbo.iteration")],
      ["stages.spbo", (context) => context.param("stages.spbo")],
      ["hidden", (context) => context.input("hidden")],
      ["toString", (context) => context.input("toString")],
      ["mask", (context) => context.output("mask")],
    ];
    for (const [name, read] of undeclared) {
      const pipeline = tamperWith("spbo[0]", async (context, honest) => {
        await honest(context);
        await read(context);
      });
      const { exit, error, ran } = await runIn(cache, recipeWith(), { pipeline });
      assert.equal(exit, 5);
      assert.ok(error?.message.includes(`"${name}" in step "spbo[0]" as it does not declare it`), error?.message);
      assert.ok(!ran.includes("spbo[1]"));
    }
    assert.equal((await runIn(cache, recipeWith())).outcome, "finished");
  }));

Deno.test("StepContext gives copies of recipe values", () =>
  withCache(async (cache) => {
    const pipeline = tamperWith("evaluate", async (context, honest) => {
      context.param<string[]>("stages.evaluate.perplexity").push("ptb");
      await honest(context);
    });
    const recipe = recipeWith();
    const { folder } = await runIn(cache, recipe, { pipeline });
    assert.deepEqual(recipe, recipeWith());
    assert.deepEqual(modelOf(folder), await undisturbed(recipe));
  }));

Deno.test("executeRun() never caches a failure, keeps what came before it and names the exit code", () =>
  withCache(async (cache) => {
    const failures: [unknown, number, RegExp][] = [
      [new Error("NaN in layer 3"), 5, /Cannot complete step spbo\[1\]: NaN in layer 3/],
      [new InputError("Cannot read model.safetensors: it is truncated"), 3, /truncated/],
      [Object.assign(new Error("no space left on device"), { code: "ENOSPC" }), 4, /the disk is full: about 64 B more/],
      ["a string", 5, /a string/],
    ];
    let expected = ["embed", "calibrate[0]", "spbo[0]", "forward[0]", "calibrate[1]", "spbo[1]"];
    for (const [thrown, exit, message] of failures) {
      const pipeline = tamperWith("spbo[1]", async (context, honest) => {
        await honest(context);
        throw thrown;
      });
      const result = await runIn(cache, recipeWith(), { pipeline });
      assert.deepEqual(result.ran, expected);
      expected = ["spbo[1]"];
      assert.deepEqual([result.outcome, result.exit], ["failed", exit]);
      assert.match(result.error?.message ?? "", message);
      assert.deepEqual(result.events.slice(-2).map(({ type }) => type), ["step-failed", "run-failed"]);
      assert.deepEqual([...Deno.readDirSync(join(cache.folder, "tmp"))], []);
    }
    const healed = await runIn(cache, recipeWith());
    assert.deepEqual(healed.ran, ["spbo[1]", "forward[1]", "calibrate[2]", "spbo[2]", "forward[2]", "evaluate"]);
    assert.deepEqual(modelOf(healed.folder), await undisturbed(recipeWith()));
  }));

Deno.test("executeRun() lays a full disk to whatever was written to: cache, run folder, or the listener's output", () =>
  withCache(async (cache) => {
    const full = () => Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    const own = Object.assign(new Error("Cannot print"), { name: "OutputError", code: "OUTPUT", cause: full() });
    const types = ["run-started", "step-started", "step-progress", "step-finished", "run-finished"] as const;
    for (const type of types) {
      for (
        const [thrown, message] of [[full(), /^Cannot print how far the run is: No space/], [own, /^Cannot print$/]]
      ) {
        const onEvent = (event: RunEvent) => {
          if (event.type === type) throw thrown;
        };
        const recipe = recipeWith({ spbo: { iterations: 1 + types.indexOf(type) } });
        const pipeline = tamperWith("spbo[0]", async (context, honest) => {
          context.progress(1, 2);
          await honest(context);
        });
        const { error } = await runIn(cache, recipe, { pipeline, run: { onEvent } }).catch((error) => ({ error }));
        assert.deepEqual([error.code, type], ["OUTPUT", type]);
        assert.match(error.message, message as RegExp);
        cache.collect({ size: 0 });
      }
    }
    const atEnd = openArithmetic(recipeWith());
    const plan = await makePlan(atEnd, cache, { recipe: recipeWith() });
    const runsDir = join(cache.folder, "..", "runs");
    const subject = { ...atEnd, finish: () => Promise.reject(full()) };
    const { error, folder } = await executeRun(plan, subject, { cache, runsDir, recipe: recipeWith() });
    assert.equal(error?.name, "NoSpaceError");
    assert.ok(error?.message.startsWith(`Cannot write to ${folder} as the disk is full`), error?.message);
  }));

Deno.test("executeRun() refuses a step that leaves out an output", () =>
  withCache(async (cache) => {
    const { error } = await runIn(cache, recipeWith(), { pipeline: tamperWith("spbo[0]", () => Promise.resolve()) });
    assert.match(error?.message ?? "", /it left out its output "codes"/);
  }));

Deno.test("executeRun() with keepGoing does what does not depend on the failed step", () =>
  withCache(async (cache) => {
    const recipe = recipeWith({ calibrate: { inputs: "original" } });
    const pipeline = tamperWith("spbo[1]", () => Promise.reject(new Error("no")));
    const result = await runIn(cache, recipe, { pipeline, run: { keepGoing: true } });
    assert.deepEqual([result.outcome, result.exit], ["failed", 5]);
    assert.deepEqual(result.ran.filter((id) => id.startsWith("spbo")), ["spbo[0]", "spbo[2]"]);
    assert.ok(!result.ran.includes("evaluate"));
    assert.deepEqual((await runIn(cache, recipe)).ran, ["spbo[1]", "evaluate"]);
  }));

Deno.test("executeRun() stops when it is asked to, publishes nothing half-done and goes on to the same bytes", () =>
  withCache(async (cache) => {
    for (const [id, ignores] of [["spbo[0]", false], ["spbo[1]", true]] as const) {
      const controller = new AbortController();
      const pipeline = tamperWith(id, async (context, honest) => {
        await honest(context);
        controller.abort();
        if (!ignores) context.signal.throwIfAborted();
      });
      const run = { signal: controller.signal, next: "deno task run x.yaml" };
      const result = await runIn(cache, recipeWith(), { pipeline, run });
      assert.deepEqual([result.outcome, result.exit, result.ran.at(-1)], ["interrupted", 130, id]);
      const last = result.events[result.events.length - 1];
      assert.ok(last.type === "run-interrupted" && last.next === "deno task run x.yaml");
      assert.ok(!cache.list().some(({ step }) => step === id));
      assert.deepEqual([...Deno.readDirSync(join(cache.folder, "tmp"))], []);
    }
    const rest = await runIn(cache, recipeWith());
    assert.deepEqual(rest.ran, ["spbo[1]", "forward[1]", "calibrate[2]", "spbo[2]", "forward[2]", "evaluate"]);
    assert.deepEqual(modelOf(rest.folder), await undisturbed(recipeWith()));
  }));

Deno.test("executeRun() notices, reports and heals a changed byte in any file of any artifact", async () => {
  const recipe = recipeWith();
  const expected = await undisturbed(recipe);
  await withCache(async (cache) => {
    await runIn(cache, recipe);
    const paths = filesUnder(join(cache.folder, "artifacts"));
    assert.equal(paths.length, 15);
    for (const [number, path] of paths.entries()) {
      flipByte(path, 37 * number + 11);
      const [damage] = (await cache.verify()).damaged;
      const healed = await runIn(cache, recipe);
      assert.deepEqual(modelOf(healed.folder), expected, path);
      const told = healed.events.filter((event) => event.type === "artifact-corrupt");
      assert.deepEqual(told.map(({ step }) => step), [damage.step], path);
      assert.deepEqual((await cache.verify()).damaged, []);
      // Nothing needed the statistics, as the codes are there; now they are asked for.
      await runIn(cache, recipe, { plan: { until: "calibrate" } });
      assert.equal(filesUnder(join(cache.folder, "artifacts")).filter((file) => paths.includes(file)).length, 15);
    }
  });
});

Deno.test("executeRun() notices damage that left size and time as they were when it reads", () =>
  withCache(async (cache) => {
    const { folder } = await runIn(cache, recipeWith());
    const path = filesUnder(join(cache.folder, "artifacts")).find((file) => file.endsWith("codes.safetensors")) ?? "";
    const { atime, mtime } = Deno.statSync(path);
    flipByte(path, 99);
    Deno.utimeSync(path, atime ?? 0, mtime ?? 0);
    const healed = await runIn(cache, recipeWith());
    assert.equal(healed.events.filter(({ type }) => type === "artifact-corrupt").length, 1);
    assert.deepEqual(modelOf(healed.folder), modelOf(folder));
  }));

Deno.test("executeRun() hashes again, and heals, a file that is replaced between two steps that read it", () =>
  withCache(async (cache) => {
    let hit = 0;
    const pipeline = tamperWith("forward[0]", async (context, honest) => {
      if (hit++ === 0) {
        const [path] = filesUnder(join(cache.folder, "artifacts")).filter((file) =>
          file.endsWith("hidden.safetensors")
        );
        const { atime, mtime } = Deno.statSync(path);
        Deno.copyFileSync(path, `${path}.other`);
        flipByte(`${path}.other`, 99);
        Deno.utimeSync(`${path}.other`, atime ?? 0, mtime ?? 0);
        Deno.renameSync(`${path}.other`, path);
      }
      await honest(context);
    });
    // So slow that calibrate[0] has found the file sound for good.
    const { folder, events } = await runIn(cache, recipeWith(), { pipeline: { ...pipeline, slow: 30 } });
    const corrupt = events.filter((event) => event.type === "artifact-corrupt");
    assert.deepEqual(corrupt.map(({ step }) => step), ["embed"]);
    assert.deepEqual(modelOf(folder), await undisturbed(recipeWith()));
  }));

Deno.test("executeRun() is interrupted while it hashes, and nothing is published", () => {
  const controller = new AbortController();
  const chunks: number[] = [];
  return withCache(
    async (cache) => {
      const pipeline = tamperWith("evaluate", async (context, honest) => {
        await honest(context);
        Deno.truncateSync(context.output("model").path("model/text.txt"), 200 << 20);
      });
      const { outcome, exit } = await runIn(cache, recipeWith(), { pipeline, run: { signal: controller.signal } });
      assert.deepEqual([outcome, exit], ["interrupted", 130]);
      assert.equal(chunks.length, 1);
      assert.ok(!cache.list().some(({ stage }) => stage === "evaluate"));
      assert.deepEqual([...Deno.readDirSync(join(cache.folder, "tmp"))], []);
    },
    {
      hash: (path, options) =>
        hashContent(path, {
          ...options,
          onChunk(done) {
            if (!path.endsWith("text.txt")) return;
            chunks.push(done);
            controller.abort();
          },
        }),
    },
  );
});

Deno.test("executeRun() tells how far a large file is hashed", () =>
  withCache(async (cache) => {
    const { events } = await runIn(cache, recipeWith());
    const notes = events.filter((event) => event.type === "step-progress").map(({ note }) => note);
    assert.ok(notes.includes("hashing text.txt, 13.5 of 0.0 GB"), notes.join("; "));
  }, {
    hash(path, { onChunk } = {}) {
      onChunk?.(13.5e9);
      return hashContent(path);
    },
  }));

Deno.test("executeRun() warns when the disk has less room than the run is expected to take", () =>
  withCache(async (cache) => {
    const outputs = { hidden: { retain: "transient", bytes: 2 ** 60 } } as const;
    const tamper = (step: Step): Step => step.id === "embed" ? { ...step, outputs, run: (c) => step.run(c) } : step;
    const { events } = await runIn(cache, recipeWith(), { pipeline: { tamper } });
    const warning = events.find((event) => event.type === "warning");
    assert.match(warning?.message ?? "", /^The run is expected to take 1048576.0 TiB in .* are free$/);
  }));

Deno.test("executeRun() heals inputs that are damaged or deleted while it runs, and their producers", async () => {
  const recipe = recipeWith();
  const expected = await undisturbed(recipe);
  for (const damage of ["flip", "delete", "manifest"]) {
    await withCache(async (cache) => {
      let hit = 0;
      const pipeline = tamperWith("calibrate[2]", async (context, honest) => {
        const hidden = await context.input("hidden");
        const path = await hidden.path("hidden.safetensors");
        if (hit++ === 0) {
          if (damage === "flip") flipByte(path, 99);
          else if (damage === "delete") Deno.removeSync(join(path, ".."), { recursive: true });
          else flipByte(join(path, "..", "manifest.json"), 120);
        }
        await honest(context);
      });
      const { outcome, events, ran, folder } = await runIn(cache, recipe, { pipeline });
      assert.equal(outcome, "finished");
      const corrupt = events.filter((event) => event.type === "artifact-corrupt");
      assert.deepEqual(corrupt.map(({ step }) => step), ["forward[1]"]);
      // Hidden states before the damaged ones were deleted long ago.
      assert.deepEqual(ran.slice(8, 12), ["embed", "forward[0]", "forward[1]", "calibrate[2]"], ran.join());
      const whys = events.filter((event) => event.type === "step-started").slice(8).map(({ why }) => why?.field);
      assert.deepEqual(whys, ["transient", "transient", "corrupt", "first run", "first run", "first run", "first run"]);
      assert.deepEqual(modelOf(folder), expected);
    });
  }
});

Deno.test("executeRun() does not let a step swallow damage", () =>
  withCache(async (cache) => {
    let hit = 0;
    const pipeline = tamperWith("spbo[1]", async (context, honest) => {
      const stats = await context.input("stats");
      if (hit++ === 0) flipByte(await stats.path("stats.safetensors"), 77);
      await honest(context).catch(() => {});
      if (hit === 1) context.output("codes").value("wrong");
    });
    const { folder, events } = await runIn(cache, recipeWith(), { pipeline });
    assert.ok(events.some(({ type }) => type === "artifact-corrupt"));
    assert.deepEqual(modelOf(folder), await undisturbed(recipeWith()));
  }));

Deno.test("executeRun() gives up on an artifact that is damaged again and again, with exit code 6", () =>
  withCache(async (cache) => {
    const pipeline = tamperWith("spbo[1]", async (context, honest) => {
      flipByte(await (await context.input("stats")).path("stats.safetensors"), 77);
      await honest(context);
    });
    const { outcome, exit, error } = await runIn(cache, recipeWith(), { pipeline });
    assert.deepEqual([outcome, exit, error?.name], ["failed", 6, "CorruptArtifactError"]);
  }));

Deno.test("executeRun() keeps to the cache's size, and finishes even when everything is needed", () =>
  withCache(async (cache) => {
    const { outcome, events } = await runIn(cache, recipeWith());
    assert.equal(outcome, "finished");
    const evicted = events.filter(({ type }) => type === "artifact-evicted");
    assert.ok(evicted.length > 0);
    assert.ok(!cache.list().some(({ step }) => step.startsWith("calibrate")));
    assert.equal(events.filter(({ type }) => type === "warning").length, 1);
    const after = await runIn(cache, recipeWith());
    assert.deepEqual(modelOf(after.folder), await undisturbed(recipeWith()));
  }, { size: 500 }));

Deno.test("executeRun() runs independent steps side by side and comes to the same bytes", () =>
  withCache(async (cache) => {
    const recipe = recipeWith({ calibrate: { inputs: "original" } });
    let now = 0;
    let most = 0;
    const tamper = (step: Step): Step => ({
      ...step,
      async run(context) {
        most = Math.max(most, ++now);
        await step.run(context);
        now--;
      },
    });
    const result = await runIn(cache, recipe, { pipeline: { tamper, slow: 5 }, run: { concurrency: 3 } });
    assert.deepEqual([result.outcome, result.ran.length], ["finished", 11]);
    assert.ok(most > 1 && most <= 3, `${most}`);
    assert.deepEqual(modelOf(result.folder), await undisturbed(recipe));
  }));

Deno.test("executeRun() warns of a step whose results are not reproducible", () =>
  withCache(async (cache) => {
    await runIn(cache, recipeWith());
    const pipeline = tamperWith("spbo[2]", async (context, honest) => {
      await honest(context);
      context.output("codes").value("other");
    });
    const { events } = await runIn(cache, recipeWith(), { pipeline, plan: { from: "spbo" } });
    const warnings = events.filter((event) => event.type === "warning").map(({ message }) => message);
    assert.deepEqual(warnings.length, 1);
    assert.match(warnings[0], /"codes" of spbo\[2\] differs/);
  }));

Deno.test("FinishContext tells what this run took, and what everything took when it was made", () =>
  withCache(async (cache) => {
    const recipe = recipeWith();
    await runIn(cache, recipe, { pipeline: { slow: 5 } });
    const subject = openArithmetic(recipe);
    let seen: FinishContext | undefined;
    const spy: Subject = { ...subject, finish: (context) => (seen = context, subject.finish(context)) };
    const plan = await makePlan(spy, cache, { recipe });
    await executeRun(plan, spy, { cache, recipe, runsDir: join(cache.folder, "..", "runs") });
    assert.deepEqual([seen?.steps, seen?.seconds.stages], [{ run: 0, cached: 11 }, {}]);
    assert.ok((seen?.recorded.total ?? 0) > 0.05 && (seen?.recorded.stages.spbo ?? 0) > 0.014);
  }));

Deno.test("executeRun() keeps in its journal what was told when the recipe was opened, and tells it to nobody again", () =>
  withCache(async (cache) => {
    const recipe = recipeWith(), warnings = ["m has biases that its config.json does not mention"];
    const subject: Subject = { ...openArithmetic(recipe), warnings }, told: RunEvent[] = [];
    const options = { cache, recipe, runsDir: join(cache.folder, "..", "runs") };
    const plan = await makePlan(subject, cache, { recipe });
    const { folder } = await executeRun(plan, subject, { ...options, onEvent: (event) => told.push(event) });
    const events = readJournal(join(folder, "events.ndjson"));
    assert.deepEqual(events.slice(0, 2).map(({ type }) => type), ["run-started", "warning"]);
    assert.deepEqual(events.flatMap((event) => event.type === "warning" ? [event.message] : []), warnings);
    assert.deepEqual(told.filter(({ type }) => type === "warning"), []);
  }));

function filesUnder(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesUnder(join(folder, name)) : [join(folder, name)]
  ).sort();
}
