import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { modelOf } from "./arithmetic_test_support.ts";
import { openCache } from "./cache/cache.ts";
import type { RunEvent } from "./events.ts";
import { listRuns, readRun } from "./history.ts";

const child = fileURLToPath(new URL("./arithmetic_child_test_support.ts", import.meta.url));
const steps = 11;

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-process-" });
  try {
    await work(folder);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function start(folder: string, { slow = 0, full = "", all = false } = {}): Deno.ChildProcess {
  const permissions = all ? ["--allow-all"] : ["--allow-read", "--allow-write", "--allow-env", "--allow-sys"];
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--quiet", "--no-prompt", ...permissions, child, folder, String(slow), full],
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
}

/** Kills a child; a busy machine may let it come to its end before. */
function killUnlessEnded(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

/** Waits until a child's output has `count` lines that say `wanted`. The output goes on being read. */
async function untilSaid(output: ReadableStream<Uint8Array>, wanted: string, count = 1): Promise<void> {
  const said = Promise.withResolvers<void>();
  const read = async () => {
    let text = "";
    for await (const chunk of output.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.split("\n").filter((line) => line === wanted).length >= count) said.resolve();
    }
    said.resolve();
  };
  read().catch(said.reject);
  await said.promise;
}

function journals(folder: string): RunEvent[] {
  const runs = join(folder, "runs");
  return listRuns(runs).reverse().flatMap(({ run }) => [...readRun(runs, run).events]);
}

/** How often each step was made, and told so. */
function finishedSteps(events: readonly RunEvent[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const event of events) {
    if (event.type !== "step-finished" || event.reused) continue;
    counts.set(event.step, (counts.get(event.step) ?? 0) + 1);
  }
  return counts;
}

/** The model of a run that nothing disturbs. */
const undisturbed = (() => {
  let model: Record<string, string> | undefined;
  return async (): Promise<Record<string, string>> => {
    if (model === undefined) {
      await inFolder(async (folder) => {
        assert.equal((await start(folder).output()).code, 0);
        model = modelOf(readRun(join(folder, "runs"), "last").folder);
      });
    }
    return model ?? {};
  };
})();

Deno.test("executeRun() killed at random moments goes on where it ended and comes to the same bytes", () =>
  inFolder(async (folder) => {
    const expected = await undisturbed();
    let kills = 0;
    for (let finished = false; !finished; kills++) {
      assert.ok(kills < 40, "the run does not come to its end");
      const process = start(folder, { slow: 15 });
      const said = untilSaid(process.stdout, "run-started");
      if (kills < 6) {
        // The first ones also while it starts.
        if (kills > 1) await said;
        await new Promise((done) => setTimeout(done, Math.random() * (kills > 1 ? 90 : 400)));
        killUnlessEnded(process);
      }
      await process.stderr.cancel();
      const { code, signal } = await process.status;
      assert.ok(code === 0 || signal === "SIGKILL", `a run that nobody killed ended with ${code}`);
      finished = code === 0;
      await said;
    }
    const last = readRun(join(folder, "runs"), "last");
    assert.equal(last.outcome, "finished");
    assert.deepEqual(modelOf(last.folder), expected);
    for (const [step, count] of finishedSteps(journals(folder))) {
      assert.equal(count, 1, `${step} was made ${count} times`);
    }
    const cache = await openCache(join(folder, "cache"));
    assert.deepEqual((await cache.verify()).damaged, []);
    assert.equal(cache.list().length, 8);
    assert.deepEqual([...Deno.readDirSync(join(folder, "cache", "tmp"))], []);
    cache.close();
    assert.deepEqual([...Deno.readDirSync(join(folder, "cache", "live"))], []);
  }));

Deno.test("executeRun() in three processes on one cache makes each artifact once", () =>
  inFolder(async (folder) => {
    const expected = await undisturbed();
    const outputs = await Promise.all([0, 1, 2].map(() => start(folder, { slow: 30 }).output()));
    for (const { code, stderr } of outputs) assert.equal(code, 0, new TextDecoder().decode(stderr));
    const runs = listRuns(join(folder, "runs"));
    assert.equal(runs.length, 3);
    for (const run of runs) assert.deepEqual(modelOf(run.folder), expected);
    const finished = finishedSteps(journals(folder));
    assert.deepEqual([...finished.values()], Array(steps).fill(1), JSON.stringify([...finished]));
    const cache = await openCache(join(folder, "cache"));
    assert.deepEqual(cache.list().filter(({ retain }) => retain === "transient"), []);
    cache.close();
  }));

Deno.test("executeRun() takes over from a process that is killed while others wait for it", () =>
  inFolder(async (folder) => {
    const first = start(folder, { slow: 400 });
    const said = untilSaid(first.stdout, "step-started");
    await said;
    const second = start(folder, { slow: 1 });
    const waits = untilSaid(second.stdout, "step-progress");
    await waits;
    first.kill("SIGKILL");
    await Promise.all([first.stderr.cancel(), second.stderr.cancel()]);
    assert.equal((await second.status).code, 0);
    assert.notEqual((await first.status).code, 0);
    assert.deepEqual(modelOf(readRun(join(folder, "runs"), "last").folder), await undisturbed());
  }));

Deno.test({
  name: "executeRun() stops on SIGINT with exit code 130 and goes on after it",
  ignore: Deno.build.os === "windows" &&
    (console.log("skipped: Windows does not send SIGINT to another process"), true),
  fn: () =>
    inFolder(async (folder) => {
      const process = start(folder, { slow: 50 });
      await untilSaid(process.stdout, "step-finished", 3);
      process.kill("SIGINT");
      await process.stderr.cancel();
      assert.equal((await process.status).code, 130);
      const stopped = readRun(join(folder, "runs"), "last");
      assert.equal(stopped.outcome, "interrupted");
      assert.deepEqual([...Deno.readDirSync(join(folder, "cache", "tmp"))], []);
      assert.equal((await start(folder).output()).code, 0);
      const resumed = readRun(join(folder, "runs"), "last");
      assert.equal(resumed.steps.run, steps - stopped.steps.run);
      assert.deepEqual(modelOf(resumed.folder), await undisturbed());
    }),
});

Deno.test({
  name: "executeRun() on a full disk ends with exit code 4, says what is needed, and leaves nothing half-written",
  ignore: Deno.build.os !== "linux" && (console.log("skipped: only Linux has /dev/full"), true),
  fn: () =>
    inFolder(async (folder) => {
      const { code, stderr } = await start(folder, { full: "spbo[1]", all: true }).output();
      const message = new TextDecoder().decode(stderr);
      assert.equal(code, 4, message);
      assert.match(message, /NoSpaceError: Cannot write to .* as the disk is full: about 64 B more are needed/);
      assert.deepEqual([...Deno.readDirSync(join(folder, "cache", "tmp"))], []);
      assert.equal((await start(folder).output()).code, 0);
      assert.deepEqual(modelOf(readRun(join(folder, "runs"), "last").folder), await undisturbed());
    }),
});
