/** What becomes of a command whose output is closed, full or narrow, through real pipes and devices. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { textWidth } from "../files/text_width.ts";
import { lastRun, runTask, startTask, succeed } from "./command_line_test_support.ts";

const quickstart = "configs/quickstart.yaml";

async function withFolder(test: (env: Readonly<Record<string, string>>, folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "output-" });
  try {
    await test({ PBS2P_CACHE: join(folder, "cache"), PBS2P_RUNS: join(folder, "runs") }, folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Starts a task with a redirection of the shell. */
const redirected = (redirection: string) => ["sh", "-c", `exec "$@" ${redirection}`, "sh"];

const onLinux = { ignore: Deno.build.os !== "linux" };

Deno.test("A run whose reader leaves goes on to its end, and says so", onLinux, async () => {
  await withFolder(async (env, folder) => {
    const child = startTask("run", [
      quickstart,
      "--set",
      "stages.calibrate.samples=2",
      "--until",
      "calibrate",
      "--device",
      "cpu",
    ], { env });
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    const [err, { code }] = await Promise.all([new Response(child.stderr).text(), child.status]);
    assert.equal(code, 0, err);
    assert.match(err, /^Nobody reads the output any more: the run goes on without it\. Ctrl-C stops it cleanly\.$/m);
    assert.equal(lastRun(join(folder, "runs")).events.at(-1)?.type, "run-finished");
    // A listing ends without a word.
    const listing = startTask("runs", ["list"], { env });
    await listing.stdout.cancel();
    const [said, status] = await Promise.all([new Response(listing.stderr).text(), listing.status]);
    assert.deepEqual([said, status.code], ["", 0]);
  });
});

Deno.test("A full device is named in one line, and a run on it stops cleanly", onLinux, async () => {
  await withFolder(async (env, folder) => {
    const told = "error: Cannot write the output: the standard output (/dev/full) is full; free some space there, or " +
      "send the output elsewhere";
    const before = redirected("> /dev/full");
    const plan = await runTask("plan", [quickstart, "--device", "cpu"], { env, before });
    assert.deepEqual([plan.code, plan.err], [4, `${told}\n`]);
    const run = await runTask("run", [quickstart, "--device", "cpu"], { env, before });
    assert.deepEqual([run.code, run.err], [4, `${told}. What is done is kept: the same command goes on\n`]);
    assert.equal(lastRun(join(folder, "runs")).events.at(-1)?.type, "run-interrupted");
    const silent = await runTask("plan", ["nowhere.yaml"], { env, before: redirected("2> /dev/full") });
    assert.deepEqual([silent.code, silent.out], [2, ""]);
  });
});

Deno.test("Closed streams, another locale, no colours and a dumb terminal change no result", onLinux, async () => {
  await withFolder(async (env) => {
    const args = [quickstart, "--device", "cpu"];
    const closed = await runTask("plan", args, { env, before: redirected("<&- >&- 2>&-") });
    assert.deepEqual(closed, { code: 0, out: "", err: "" });
    const plain = await succeed("plan", args, { env });
    assert.match(plain, /calibrate\[0–5\]/);
    assert.equal(
      await succeed("plan", args, { env: { ...env, LANG: "C", LC_ALL: "C", TERM: "dumb", HOME: "" } }),
      plain,
    );
  });
});

Deno.test("Listings fit 40 columns, and COLUMNS says how many there are", async () => {
  await withFolder(async (env) => {
    const narrow = { ...env, COLUMNS: "40" };
    const device = ["--device", "cpu"];
    for (
      const [task, ...args] of [
        ["plan", quickstart, ...device],
        ["plan", "--help"],
        ["run", "--help"],
        ["inspect", "configs/models/tiny-llama"],
        ["cache", "du"],
      ]
    ) {
      const lines = (await succeed(task, args, { env: narrow })).split("\n").filter((line) => !line.includes("/"));
      // One word, such as an option's example, can be longer than its column.
      const long = lines.filter((line) => textWidth(line) > 40 && !/^\s*\S+$/.test(line));
      assert.deepEqual(long, [], `${task} ${args.join(" ")}`);
    }
  });
});

Deno.test("A terminal that closes, or any other request to end, stops a run cleanly", onLinux, async () => {
  for (const signal of ["SIGHUP", "SIGTERM"] as const) {
    await withFolder(async (env, folder) => {
      const child = startTask("run", [quickstart, "--device", "cpu"], { env });
      const reader = child.stdout.getReader();
      await reader.read();
      child.kill(signal);
      reader.releaseLock();
      const [, err, { code }] = await Promise.all([
        child.stdout.cancel(),
        new Response(child.stderr).text(),
        child.status,
      ]);
      assert.equal(code, 130, err);
      assert.match(err, /^Interrupted; what is done is kept\. To go on, give the same command again\.$/m);
      assert.equal(lastRun(join(folder, "runs")).events.at(-1)?.type, "run-interrupted");
    });
  }
});
