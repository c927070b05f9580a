import assert from "node:assert/strict";
import { join } from "node:path";
import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
import { openCache } from "./cache/cache.ts";
import { listRuns, readRun } from "./history.ts";
import { readJournal } from "./journal.ts";
import { makePlan } from "./plan.ts";
import { executeRun } from "./run.ts";

/** Three runs: finished, finished with other iterations, failed. */
async function inRuns(work: (runsDir: string) => void): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-history-" });
  const cache = await openCache(join(folder, "cache"));
  const runsDir = join(folder, "runs");
  try {
    for (const [iterations, weights, fails] of [[15, "w", false], [20, "w", false], [20, "v", true]] as const) {
      const recipe = recipeWith({ spbo: { iterations } });
      const subject = openArithmetic(recipe, {
        weights,
        tamper: (step) =>
          step.stage === "spbo" && fails ? { ...step, run: () => Promise.reject(new Error("no")) } : step,
      });
      const plan = await makePlan(subject, cache, { recipe });
      await executeRun(plan, subject, { cache, recipe, runsDir, name: `of ${iterations}` });
      await new Promise((done) => setTimeout(done, 2));
    }
    work(runsDir);
  } finally {
    cache.close();
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test("listRuns() names every run, the newest first, and passes over what is none", () =>
  inRuns((runsDir) => {
    Deno.mkdirSync(join(runsDir, "20990101-000000000-aaaaaa-empty"));
    Deno.mkdirSync(join(runsDir, "20990101-000000001-aaaaaa-killed"));
    Deno.writeTextFileSync(
      join(runsDir, "20990101-000000001-aaaaaa-killed", "events.ndjson"),
      '{"at":1,"type":"run-st',
    );
    const runs = listRuns(runsDir);
    assert.deepEqual(runs.map(({ outcome, recipe }) => [outcome, recipe]), [
      ["failed", "of 20"],
      ["finished", "of 20"],
      ["finished", "of 15"],
    ]);
    assert.deepEqual(runs.map(({ steps }) => steps), [{ run: 2, cached: 0 }, { run: 10, cached: 1 }, {
      run: 11,
      cached: 0,
    }]);
    assert.deepEqual(runs.map(({ error }) => error), ["Cannot complete step spbo[0]: no", undefined, undefined]);
    assert.match(runs[0].run, /-of-20$/);
    assert.deepEqual(listRuns(join(runsDir, "nowhere")), []);
  }));

Deno.test("readRun() finds a run by its id, the beginning of it, or last", () =>
  inRuns((runsDir) => {
    const [failed, second] = listRuns(runsDir);
    assert.equal(readRun(runsDir, "last").run, failed.run);
    const record = readRun(runsDir, second.run);
    assert.deepEqual(readRun(runsDir, second.run.slice(0, 26)).run, second.run);
    assert.equal(record.events.length > 20, true);
    assert.deepEqual(record.lock, { versions: { arithmetic: "1" } });
    assert.deepEqual(Object.keys(record.metrics ?? {}), ["perplexity"]);
    assert.throws(() => readRun(runsDir, "2"), /it may be 2.* or 2.* or 2/);
    assert.throws(() => readRun(runsDir, "x"), /Cannot find run "x": there is no such run; the newest in .* is /);
    assert.throws(() => readRun(join(runsDir, "nowhere"), "last"), /there are no runs/);
  }));

Deno.test("readJournal() leaves out a last line that was cut short, and refuses other damage", () =>
  inRuns((runsDir) => {
    const path = join(listRuns(runsDir)[0].folder, "events.ndjson");
    const events = readJournal(path);
    const text = Deno.readTextFileSync(path);
    for (const cut of [2, 10, 30]) {
      Deno.writeTextFileSync(path, text.slice(0, -cut));
      assert.deepEqual(readJournal(path), events.slice(0, -1));
    }
    Deno.writeTextFileSync(path, text.replace("\n", "!\n"));
    assert.throws(() => readJournal(path), /line 1 is not JSON/);
  }));

Deno.test("readRun() counts the steps of older runs, whose journals call the count `run`", () =>
  inRuns((runsDir) => {
    const finished = listRuns(runsDir)[1];
    const path = join(finished.folder, "events.ndjson");
    const text = Deno.readTextFileSync(path);
    assert.match(text, /"ran":10,"cached":1/);
    Deno.writeTextFileSync(path, text.replace('"ran":10,', '"run":10,'));
    const record = readRun(runsDir, finished.run);
    assert.deepEqual([record.steps, listRuns(runsDir)[1].steps], [finished.steps, finished.steps]);
    const last = record.events[record.events.length - 1];
    assert.deepEqual([Reflect.get(last, "ran"), Reflect.has(last, "run")], [10, false]);
  }));
