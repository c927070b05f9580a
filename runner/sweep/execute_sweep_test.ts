import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import {
  type ArithmeticOptions,
  type ArithmeticRecipe,
  openArithmetic,
  recipeWith,
} from "../arithmetic_test_support.ts";
import { openCache } from "../cache/cache.ts";
import { readRun } from "../history.ts";
import { InputError } from "../../files/input_error.ts";
import { mirrorsAt, withMirror } from "../mirror/mirror_test_support.ts";
import type { Pipeline, Step } from "../stage.ts";
import type { SweepEvent } from "./events.ts";
import { executeSweep, type SweepOptions } from "./execute_sweep.ts";
import { openSweepFolder, readSweepRecord } from "./sweep_folder.ts";
import { type Point, surveySweep } from "./survey.ts";

/** Points by their iterations; 13 of them fail at block 1, and 666 cannot be opened. */
function pointsOf(iterations: readonly number[], calibrate: Record<string, unknown> = {}): Point<ArithmeticRecipe>[] {
  return iterations.map((each) => ({
    id: `iterations-${each}`,
    label: `iterations ${each}`,
    values: { "stages.spbo.iterations": each },
    recipe: recipeWith({ calibrate, spbo: { iterations: each } }),
  }));
}

type More = Partial<SweepOptions<ArithmeticRecipe>> & { readonly pipeline?: never };

/** A folder in which sweeps are run one after another. */
async function inFolder(
  work: (run: {
    readonly folder: string;
    readonly sweep: (
      points: readonly Point<ArithmeticRecipe>[],
      more?: More,
      subject?: ArithmeticOptions,
    ) => ReturnType<
      typeof runSweep
    >;
  }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work({ folder, sweep: (points, more, subject) => runSweep(folder, points, { more, subject }) });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function runSweep(
  folder: string,
  points: readonly Point<ArithmeticRecipe>[],
  { more = {}, subject = {} }: { readonly more?: More; readonly subject?: ArithmeticOptions },
) {
  const made: string[] = [];
  const events: SweepEvent[] = [];
  const pipeline: Pipeline<ArithmeticRecipe> = {
    open: (recipe) => {
      const { iterations } = recipe.stages.spbo;
      if (iterations === 666) return Promise.reject(new InputError("Cannot prune 666 of 16 columns"));
      const tamper = (step: Step): Step =>
        iterations === 13 && step.id === "spbo[1]"
          ? { ...step, run: (context) => Promise.resolve(context.output("codes").value([NaN])) }
          : step;
      return Promise.resolve(openArithmetic(recipe, { tamper, onRun: (id) => made.push(id), ...subject }));
    },
  };
  const cache = await openCache(join(folder, "cache"));
  const open = { device: "cpu" } as const;
  try {
    const { mirrors } = more;
    const surveyed = await surveySweep(points, { pipeline, open: { ...open, purpose: "run" }, cache, mirrors });
    const sweep = { name: "my sweep", axes: ["stages.spbo.iterations"], repeats: [], points, text: "matrix: {}\n" };
    const keys = new Map(surveyed.map(({ id, work }) => [id, work?.key]));
    const own = openSweepFolder(sweep, { runsDir: join(folder, "runs"), keys, warn: () => {} });
    try {
      const result = await executeSweep(sweep, surveyed, {
        ...{ pipeline, open, cache, folder: own, onEvent: (event) => events.push(event) },
        render: (record) => ({ "board.txt": record.points.map(({ label, state }) => `${label} ${state}\n`).join("") }),
        ...more,
      });
      const left = cache.list().filter(({ retain }) => retain === "transient");
      return { ...result, path: own.path, made, events, left };
    } finally {
      own.close();
    }
  } finally {
    cache.close();
  }
}

const statesOf = ({ record }: Awaited<ReturnType<typeof runSweep>>) => record.points.map(({ state }) => state);

Deno.test("executeSweep() makes what points share once, and leaves a record, a lock and the points' runs", async () => {
  await inFolder(async ({ sweep }) => {
    const done = await sweep(pointsOf([1, 2, 3], { inputs: "original" }));
    assert.deepEqual([done.exit, ...statesOf(done)], [0, "finished", "finished", "finished"]);
    // 11 steps alone; with others all but three blocks' codes and the evaluation.
    assert.deepEqual(done.record.steps, { all: 33, different: 19 });
    assert.equal(done.made.length, 19);
    assert.deepEqual(done.left, []);
    assert.deepEqual(readSweepRecord(done.path), JSON.parse(JSON.stringify(done.record)));
    assert.equal(
      Deno.readTextFileSync(join(done.path, "board.txt")),
      "iterations 1 finished\niterations 2 finished\niterations 3 finished\n",
    );
    const lock = parse(Deno.readTextFileSync(join(done.path, "sweep.lock.yaml")));
    for (const [at, { run, metrics, alone, seconds, peakMemory }] of done.record.points.entries()) {
      assert.ok(run && alone && seconds && peakMemory);
      assert.equal(lock.points[at].lock, `${run}/recipe.lock.yaml`);
      assert.ok(existsSync(join(done.path, lock.points[at].lock)));
      assert.deepEqual(JSON.parse(Deno.readTextFileSync(join(done.path, run, "metrics.json"))), metrics);
    }
  });
});

Deno.test("executeSweep() keeps hidden states that a later point reads, and deletes them after the last", async () => {
  await inFolder(async ({ sweep }) => {
    const done = await sweep(pointsOf([1, 2, 3]));
    // embed and calibrate[0] are made once: the first hidden states outlive the first two points.
    assert.equal(done.made.filter((id) => id === "embed").length, 1);
    assert.equal(done.made.length, 11 + 9 + 9);
    assert.equal(done.made.length, done.record.steps.different);
    assert.deepEqual(done.left, []);
  });
});

Deno.test("executeSweep() asked again shows what is there, and after a change of code makes another folder", async () => {
  await inFolder(async ({ sweep }) => {
    const [first, again] = [await sweep(pointsOf([1, 2])), await sweep(pointsOf([1, 2]))];
    assert.deepEqual([again.path, again.made, again.ran], [first.path, [], 0]);
    assert.deepEqual(again.record, JSON.parse(JSON.stringify(first.record)));
    const changed = await sweep(pointsOf([1, 2]), {}, { code: "2" });
    assert.notEqual(changed.path, first.path);
    assert.equal(changed.made.length, changed.record.steps.different);
    const other = await sweep(pointsOf([1, 2, 3]), {}, { code: "2" });
    assert.notEqual(other.path, changed.path);
    // The first hidden states were only handed on.
    assert.equal(other.made.length, 10);
  });
});

Deno.test("executeSweep() goes on after a point that fails, tells why, and tries it again only when asked to", async () => {
  await inFolder(async ({ sweep }) => {
    const points = pointsOf([1, 13, 666, 2]);
    const failed = await sweep(points);
    assert.deepEqual([failed.exit, ...statesOf(failed)], [8, "finished", "failed", "failed", "finished"]);
    const [, broken, impossible] = failed.record.points;
    assert.deepEqual([broken.exit, broken.step], [5, "spbo[1]"]);
    assert.match(broken.error ?? "", /numbers must be finite: current value is NaN/);
    assert.deepEqual(
      [impossible.exit, impossible.error, impossible.run, impossible.step],
      [3, "Cannot prune 666 of 16 columns", undefined, undefined],
    );
    assert.equal(readRun(join(failed.path, "points"), (broken.run ?? "").slice(7)).outcome, "failed");
    assert.deepEqual(failed.left, []);

    const again = await sweep(points);
    assert.deepEqual([again.exit, again.made, again.path, again.untried], [8, [], failed.path, 1]);
    const retried = await sweep(points, { retryFailed: true });
    assert.deepEqual([retried.exit, retried.path, retried.untried], [8, failed.path, 0]);
    // Nothing of it was kept as a result; what came before it was.
    const steps = retried.events.flatMap((event) =>
      event.type === "point-event" && event.event.type === "step-started" ? [event.event.step] : []
    );
    assert.ok(steps.includes("spbo[1]"));
    assert.ok(!steps.includes("spbo[0]"));
  });
});

Deno.test("executeSweep() begins nothing after a failure where that is asked for", async () => {
  await inFolder(async ({ sweep }) => {
    const stopped = await sweep(pointsOf([1, 13, 2]), { stopOnFailure: true });
    assert.deepEqual([stopped.exit, ...statesOf(stopped)], [8, "finished", "failed", "waiting"]);
  });
});

Deno.test("executeSweep() runs only what is chosen, and then the rest in the same folder", async () => {
  await inFolder(async ({ sweep }) => {
    const points = pointsOf([1, 13, 2]);
    const chosen = await sweep(points, { only: ({ label }) => label === "iterations 2" });
    assert.deepEqual([chosen.exit, ...statesOf(chosen)], [0, "waiting", "waiting", "finished"]);
    const rest = await sweep(points);
    assert.equal(rest.path, chosen.path);
    assert.deepEqual([rest.exit, ...statesOf(rest)], [8, "finished", "failed", "finished"]);
    assert.equal(rest.ran, 2);
  });
});

Deno.test("executeSweep() stops when asked to, and goes on without doing anything twice", async () => {
  await inFolder(async ({ sweep }) => {
    const controller = new AbortController();
    let finished = 0;
    const onEvent = (event: SweepEvent) => {
      if (event.type === "point-event" && event.event.type === "step-finished" && ++finished === 14) controller.abort();
    };
    const points = pointsOf([1, 2, 3]);
    const stopped = await sweep(points, { signal: controller.signal, onEvent });
    assert.deepEqual([stopped.exit, ...statesOf(stopped)], [130, "finished", "interrupted", "waiting"]);
    const rest = await sweep(points);
    assert.deepEqual([rest.exit, rest.path], [0, stopped.path]);
    assert.equal(stopped.made.length + rest.made.length, rest.record.steps.different);
    assert.ok(rest.record.seconds > stopped.record.seconds);
    assert.deepEqual(rest.left, []);
  });
});

Deno.test("executeSweep() with several jobs makes each step once", async () => {
  await inFolder(async ({ sweep }) => {
    const done = await sweep(pointsOf([1, 2, 3, 4]), { jobs: 3 }, { slow: 5 });
    assert.equal(done.exit, 0);
    assert.equal(done.made.length, done.record.steps.different);
    assert.deepEqual(done.left, []);
  });
});

Deno.test("executeSweep() in a cache that is too small to lend anything comes to the same results", async () => {
  await inFolder(async ({ folder, sweep }) => {
    const { record } = await sweep(pointsOf([1, 2]));
    const cache = await openCache(join(folder, "small"), { size: 1 });
    const small = await sweep(pointsOf([1, 2]), { cache });
    cache.close();
    assert.deepEqual(small.record.points.map(({ metrics }) => metrics), record.points.map(({ metrics }) => metrics));
  });
});

Deno.test("executeSweep() takes what its points share from a mirror, and makes the rest", async () => {
  const points = pointsOf([1, 2], { inputs: "original" });
  await withMirror(recipeWith({ calibrate: { inputs: "original" }, spbo: { iterations: 1 } }), async ({ server }) => {
    await inFolder(async ({ sweep }) => {
      const alone = await sweep(points);
      await inFolder(async ({ sweep: mirrored }) => {
        const done = await mirrored(points, { mirrors: mirrorsAt([server.url]) });
        assert.deepEqual([done.exit, ...statesOf(done)], [0, "finished", "finished"]);
        // The first point is there whole; of the second the blocks' codes, the hidden states and the evaluation are not.
        assert.equal(alone.made.filter((id) => id.startsWith("calibrate")).length, 3);
        assert.deepEqual(done.made.filter((id) => id.startsWith("calibrate")), []);
        assert.ok(done.made.length < alone.made.length);
        for (const [at, { metrics }] of done.record.points.entries()) {
          assert.deepEqual(metrics, alone.record.points[at].metrics);
        }
        assert.deepEqual(done.left, []);
      });
    });
  });
});
