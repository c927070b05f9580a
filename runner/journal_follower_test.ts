/** Journals that grow, are damaged or are replaced, as a follower sees them; and what a run's journal says for pages. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { InputError } from "../files/input_error.ts";
import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
import { openCache } from "./cache/cache.ts";
import { readRun, type RunInfo } from "./history.ts";
import { JOURNAL, readFirstEvent } from "./journal.ts";
import { JournalFollower } from "./journal_follower.ts";
import { watchMemory } from "./memory.ts";
import { makePlan } from "./plan.ts";
import { executeRun } from "./run.ts";

/** A real run. @returns the folder that holds its own */
async function withRun(use: (folder: string, run: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "pbs2p-follower-" });
  try {
    const recipe = recipeWith(), cache = await openCache(join(folder, "cache"));
    const subject = openArithmetic(recipe), plan = await makePlan(subject, cache, { recipe });
    const { run } = await executeRun(plan, subject, { cache, recipe, runsDir: folder });
    cache.close();
    await use(folder, run);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("JournalFollower says of a journal that comes byte by byte what readRun() says of it whole", async () => {
  await withRun(async (folder, run) => {
    const { events, settings: _settings, lock: _lock, metrics: _metrics, ...info } = readRun(folder, run);
    const bytes = await Deno.readFile(join(folder, run, JOURNAL));
    const growing = join(folder, "growing");
    await Deno.mkdir(growing);
    const follower = new JournalFollower(run, growing), told: unknown[] = [];
    await Deno.writeFile(join(growing, JOURNAL), new Uint8Array());
    assert.ok(!follower.info);
    for (let from = 0; from < bytes.length; from += 97) {
      await Deno.writeFile(join(growing, JOURNAL), bytes.subarray(from, from + 97), { append: true });
      for (const { event, end } of follower.read()) {
        told.push(event);
        assert.equal(bytes[end - 1], 10, "an event ends with its line");
      }
    }
    assert.deepEqual(told, events);
    const { info: seen } = follower as { readonly info?: RunInfo };
    assert.deepEqual({ ...seen, folder: info.folder }, info);
    assert.deepEqual([follower.end, follower.read()], [bytes.length, []]);
    const { done, total } = follower.view(Date.now());
    assert.deepEqual([done, total], [11, 11]);
  });
});

Deno.test("JournalFollower begins again with a shorter journal, and refuses lines that are no events", async () => {
  await withRun(async (folder, run) => {
    const path = join(folder, run, JOURNAL), follower = new JournalFollower(run, join(folder, run));
    follower.read();
    const [first] = (await Deno.readTextFile(path)).split("\n");
    await Deno.writeTextFile(path, `${first}\n`);
    assert.deepEqual(follower.read().map(({ event }) => event.type), ["run-started"]);
    assert.equal(follower.info?.outcome, "unfinished");
    for (
      const line of [
        "{}",
        "[",
        '{"at":-1,"type":"warning","message":""}',
        `{"at":1,"type":"x","y":${"[".repeat(80)}${"]".repeat(80)}}`,
      ]
    ) {
      await Deno.writeTextFile(path, `${first}\n${line}\n`);
      assert.throws(() => new JournalFollower(run, join(folder, run)).read(), InputError, line);
    }
    await Deno.remove(path);
    assert.throws(() => follower.read(), /it is not there/);
  });
});

Deno.test("readFirstEvent() reads what the run is, of a journal of any length, and refuses what is none", async () => {
  await withRun(async (folder, run) => {
    const path = join(folder, run, JOURNAL), first = readFirstEvent(path);
    assert.ok(first?.type === "run-started");
    const spbo = first.steps.find(({ id }) => id === "spbo[1]");
    assert.match(spbo?.key ?? "", /^[0-9a-f]{64}$/);
    assert.deepEqual(spbo?.inputs, ["calibrate[1]"]);
    const long = { ...first, steps: Array.from({ length: 2000 }, (_, i) => ({ ...first.steps[0], id: `é${i}` })) };
    await Deno.writeTextFile(path, `${JSON.stringify(long)}\n{`);
    assert.deepEqual(readFirstEvent(path), JSON.parse(JSON.stringify(long)));
    await Deno.writeTextFile(path, JSON.stringify(first));
    assert.equal(readFirstEvent(path), undefined, "its line is not whole");
    await Deno.writeTextFile(path, "no\n");
    assert.throws(() => readFirstEvent(path), InputError);
  });
});

Deno.test("watchMemory() tells the most since it was last asked, and a run's steps say so", async () => {
  const watch = watchMemory();
  const held = new Uint8Array(64 * 2 ** 20).fill(1);
  const with64 = watch.lap();
  assert.ok(with64 > held.length && watch.peak() >= with64);
  watch.stop();
  await withRun((folder, run) => {
    const finished = readRun(folder, run).events.filter((event) => event.type === "step-finished");
    assert.ok(finished.length === 11 && finished.every(({ memory }) => (memory ?? 0) > 1e7));
  });
});
