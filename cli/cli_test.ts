import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { RunEvent, StepSummary } from "../runner/events.ts";
import { formatBytes, formatRanges, formatSeconds, parseBytes } from "../report/numbers.ts";
import { exitCodes, reportError, UsageError } from "./exit_codes.ts";
import { main } from "./main.ts";
import { plainProgress } from "./progress.ts";
import { describeReason } from "../report/reasons.ts";
import { RunTracker } from "../runner/run_view.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

/** Runs a command; what it printed, and its exit code. */
async function command(...args: readonly string[]) {
  const terminal = memoryTerminal();
  const code = await main(args, terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

async function withFolder(test: (folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), "cli-"));
  try {
    await test(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("main() prints help with every command and exit code within 80 columns", async () => {
  const { code, out } = await command("--help");
  assert.equal(code, 0);
  for (
    const name of [
      "run",
      "plan",
      "sweep",
      "runs",
      "cache",
      "inspect",
      "generate",
      "export",
      "doctor",
      "schema",
      "bench",
    ]
  ) {
    assert.match(out, new RegExp(`^  ${name}\\b`, "m"));
    const help = await command(name, "--help");
    assert.equal(help.code, 0);
    assert.ok(help.out.split("\n").every((line) => [...line].length <= 80), name);
  }
  for (const [exit, meaning] of exitCodes) assert.ok(out.includes(`${exit}`.padEnd(5) + meaning));
  assert.ok(out.split("\n").every((line) => [...line].length <= 80));
});

const refused: readonly { name: string; args: string[]; says: RegExp }[] = [
  { name: "an unknown command", args: ["rnu"], says: /unknown command 'rnu'\n.*Did you mean run/ },
  { name: "an unknown option", args: ["plan", "x.yaml", "--unil", "pack"], says: /unknown option '--unil'/ },
  { name: "a missing argument", args: ["run"], says: /missing required argument 'recipe'/ },
  {
    name: "an unknown stage",
    args: ["run", "configs/quickstart.yaml", "--until", "calibrat"],
    says: /did\s+you\s+mean\s+calibrate\?/,
  },
  { name: "a size that is none", args: ["cache", "gc", "--cache-size", "3QB"], says: /write it as 20GiB/ },
  { name: "a recipe that is not there", args: ["plan", "configs/quickstrt.yaml"], says: /`configs\/quickstart.yaml`/ },
  {
    name: "a wrong value",
    args: ["run", "configs/quickstart.yaml", "--set", "stages.spbo.solver=jont"],
    says: /stages\.spbo\.solver=jont\n.*\n?.*did you mean `joint`/,
  },
  { name: "a model that is not there", args: ["inspect", "no/such/model"], says: /no such (file, folder or )?run/ },
  { name: "a run that is not there", args: ["runs", "show", "last", "--runs", "no-runs"], says: /there are no runs/ },
  { name: "an unknown benchmark", args: ["bench", "nothing"], says: /Cannot run benchmark "nothing"/ },
];

for (const { name, args, says } of refused) {
  Deno.test(`main() ends with 2 and one clear message for ${name}`, async () => {
    const { code, out, err } = await command(...args);
    assert.equal(code, 2);
    assert.equal(out, "");
    assert.match(err, says);
    assert.doesNotMatch(err, /\n\s+at /);
  });
}

Deno.test("main() ends with 3 where the model is missing", async () => {
  await withFolder(async (folder) => {
    await writeFile(
      join(folder, "a.yaml"),
      "model: { path: nowhere }\nstages: { calibrate: { dataset: { text: t.txt } }, spbo: {}, pack: {} }\n",
    );
    const { code, err } = await command("plan", join(folder, "a.yaml"), "--cache", join(folder, "cache"));
    assert.equal(code, 3);
    assert.match(err, /^error: Cannot open model .*nowhere/);
  });
});

Deno.test("plan and run refuse a stage that has no steps in this recipe, and list those that have", async () => {
  await withFolder(async (folder) => {
    const args = ["configs/quickstart.yaml", "--cache", join(folder, "cache")];
    for (const option of [["plan", "--until", "compensate"], ["run", "--from", "fine-search"]] as const) {
      const [name, ...more] = option;
      const { code, err } = await command(name, ...args, ...more, ...(name === "run" ? ["--runs", folder] : []));
      assert.equal(code, 2, err);
      assert.equal(
        err.trimEnd().split("\n").at(-1),
        `error: Cannot plan with ${more.join(" ")} as it must have steps of its own in this recipe: the stages are ` +
          "calibrate, coarse-search, spbo, pack, evaluate",
      );
    }
  });
});

Deno.test("reportError() shows no stack for what is foreseen, and one sentence more for what is not", () => {
  const terminal = memoryTerminal();
  assert.equal(reportError(new UsageError("Cannot do it: wrong"), terminal), 2);
  assert.equal(terminal.err(), "error: Cannot do it: wrong\n");
  assert.equal(reportError(new Error("Broken"), terminal), 1);
  assert.match(terminal.err(), /PBS2P_DEBUG=1/);
});

Deno.test("schema prints the committed JSON Schema", async () => {
  const { code, out } = await command("schema");
  assert.equal(code, 0);
  assert.equal(JSON.parse(out).title, "PBS2P recipe");
});

Deno.test("cache and runs say that there is nothing, where there is nothing", async () => {
  await withFolder(async (folder) => {
    const cache = ["--cache", join(folder, "cache")];
    assert.match((await command("cache", "ls", ...cache)).out, /^0 artifacts in/m);
    assert.match((await command("cache", "du", ...cache)).out, /0 B of 50\.0 GiB/);
    assert.match((await command("cache", "gc", "--dry-run", ...cache)).out, /0 artifacts \(0 B\) would be removed/);
    assert.match((await command("cache", "verify", ...cache)).out, /0 artifacts \(0 B\) checked: all sound/);
    assert.match((await command("runs", "--runs", join(folder, "runs"))).out, /There are no runs/);
    assert.deepEqual(JSON.parse((await command("runs", "list", "--json", "--runs", join(folder, "runs"))).out), []);
  });
});

Deno.test("plan prints stages, reasons and costs within 80 columns, and the same as JSON", async () => {
  await withFolder(async (folder) => {
    const args = ["plan", "configs/quickstart.yaml", "--cache", join(folder, "cache")];
    const text = await command(...args, "--exit-code");
    assert.equal(text.code, 10);
    assert.ok(text.out.split("\n").every((line) => [...line].length <= 80));
    assert.match(text.out, /calibrate\[0–5\] {2}will run, .*: first run/);
    const json = await command(...args, "--json");
    assert.equal(json.code, 0);
    const { steps, totals, stages } = JSON.parse(json.out);
    assert.equal(steps.length, totals.run);
    assert.equal(stages[0].state, "run");
    assert.deepEqual(steps[0].why, { field: "first run" });
  });
});

const step = (id: string, stage: string, more: Partial<StepSummary> = {}): StepSummary => ({
  ...{ id, stage, state: "run", seconds: 10, memory: 1, disk: 1 },
  ...more,
});

const started: RunEvent = {
  type: "run-started",
  at: 0,
  run: "r",
  recipe: "quickstart",
  method: "pbs2p",
  model: "tiny",
  device: { kind: "cpu", name: "a CPU", why: "auto", forward: { provider: "cpu", why: "as the kernels" } },
  folder: "/runs/r",
  steps: [
    step("calibrate[0]", "calibrate", { block: 0, state: "cached" }),
    step("calibrate[1]", "calibrate", { block: 1 }),
    step("pack", "pack"),
    step("evaluate.old", "evaluate", { state: "skip" }),
  ],
};

Deno.test("RunTracker counts cached steps as done and leaves them out of the time that is left", () => {
  const tracker = new RunTracker();
  tracker.follow(started);
  assert.deepEqual(tracker.view(0), {
    done: 1,
    total: 3,
    left: 20,
    stages: [
      { stage: "calibrate", total: 2, cached: 1, fetched: 0, done: 1, seconds: 0, failed: false },
      { stage: "pack", total: 1, cached: 0, fetched: 0, done: 0, seconds: 0, failed: false },
    ],
  });
  tracker.follow({ type: "step-started", at: 0, step: "calibrate[1]", stage: "calibrate", block: 1 });
  tracker.follow({ type: "step-progress", at: 1000, step: "calibrate[1]", done: 1, total: 4 });
  assert.equal(tracker.view(4000).left, 16);
  assert.equal(tracker.view(4000).stages[0].now, "block 1: 1/4");
  tracker.follow({ type: "step-finished", at: 20_000, step: "calibrate[1]", seconds: 20, stages: {}, bytes: 0 });
  const { left = 0, done } = tracker.view(20_000);
  assert.equal(done, 2);
  // Twice as slow as expected, less what the expectation still counts for.
  assert.ok(left > 15 && left < 20, `${left}`);
});

Deno.test("RunTracker runs a cached step again when its result was damaged", () => {
  const tracker = new RunTracker();
  tracker.follow(started);
  tracker.follow({ type: "step-started", at: 0, step: "calibrate[0]", stage: "calibrate", block: 0 });
  const { done, stages } = tracker.view(0);
  assert.equal(done, 0);
  assert.equal(stages[0].now, "block 0");
});

Deno.test("RunTracker leaves no step running in a run that was interrupted", () => {
  const tracker = new RunTracker();
  tracker.follow(started);
  tracker.follow({ type: "step-started", at: 0, step: "calibrate[1]", stage: "calibrate", block: 1 });
  assert.equal(tracker.view(0).stages[0].now, "block 1");
  tracker.follow({ type: "run-interrupted", at: 1, next: "the same command" });
  const { done, stages, longest } = tracker.view(1);
  assert.deepEqual([done, stages[0].now, longest], [1, undefined, undefined]);
});

Deno.test("plainProgress() prints a line for each step that ends, and remarks on the error output", () => {
  const terminal = memoryTerminal();
  const { onEvent } = plainProgress(terminal);
  onEvent(started);
  onEvent({ type: "step-started", at: 0, step: "calibrate[1]", stage: "calibrate", block: 1 });
  onEvent({ type: "step-finished", at: 10_000, step: "calibrate[1]", seconds: 10, stages: {}, bytes: 0 });
  onEvent({ type: "warning", at: 10_000, message: "Careful" });
  onEvent({ type: "artifact-corrupt", at: 10_000, key: "k", step: "pack", detail: "bytes differ" });
  assert.deepEqual(terminal.out().trim().split("\n"), [
    "quickstart: tiny on cpu (a CPU)",
    "  kernels on cpu (auto)",
    "  forward passes on cpu (as the kernels)",
    "2 steps to run, 1 cached, about 20 s",
    "calibrate[1]  10 s  (2 of 3 steps, about 10 s left)",
  ]);
  assert.deepEqual(terminal.err().trim().split("\n"), [
    "warning: Careful",
    "warning: the cached result of pack is damaged (bytes differ): it is made again",
  ]);
});

Deno.test("describeReason() names the field, its values and the recipe's line, or says what else", () => {
  const at = { file: "my.yaml", line: 7 };
  const change = { field: "stages.calibrate.samples", before: 128, now: 64, at };
  assert.equal(describeReason(change), "stages.calibrate.samples 128 → 64, my.yaml line 7");
  assert.equal(
    describeReason({ ...change, step: "calibrate[0]" }),
    "because of calibrate[0]: stages.calibrate.samples 128 → 64, my.yaml line 7",
  );
  assert.equal(
    describeReason({ field: "facts.weights", before: "a".repeat(64), now: "b".repeat(64) }),
    "facts.weights aaaaaaaa → bbbbbbbb",
  );
  assert.equal(describeReason({ field: "first run" }), "first run");
});

Deno.test("renderTable() keeps within the width by cutting left-sided cells", () => {
  const columns = [{ head: "name" }, { head: "n", side: "right" }] as const;
  assert.deepEqual(renderTable(columns, [["a", "1"], ["bb", "20"]]), ["name   n", "────  ──", "a      1", "bb    20"]);
  fc.assert(fc.property(fc.array(fc.tuple(fc.string({ maxLength: 90 }), fc.nat())), (rows) => {
    const lines = renderTable(columns, rows.map(([name, n]) => [name.replaceAll(/\s/g, "x"), `${n}`]), { width: 40 });
    return lines.every((line) => [...line].length <= 40);
  }));
});

Deno.test("wrapText() keeps words and indents", () => {
  assert.deepEqual(wrapText("  a bb ccc", 7, "    "), ["  a bb", "    ccc"]);
  assert.deepEqual(wrapText("", 10), [""]);
});

Deno.test("formatSeconds(), formatBytes(), parseBytes() and formatRanges() speak to people", () => {
  assert.deepEqual([0.04, 9.94, 9.96, 59.6, 60, 185, 7300, 100_000].map(formatSeconds), [
    ...["0.0 s", "9.9 s", "10 s", "1 min", "1 min", "3 min 5 s", "2 h 1 min", "1 d 3 h"],
  ]);
  assert.equal(formatBytes(1.5 * 2 ** 30), "1.5 GiB");
  assert.deepEqual(["20GiB", "500 MB", "1e9", "7", "1.5KiB"].map(parseBytes), [20 * 2 ** 30, 5e8, 1e9, 7, 1536]);
  assert.throws(() => parseBytes("much"), RangeError);
  assert.equal(formatRanges([0, 1, 2, 5, 7, 8]), "0–2, 5, 7–8");
});
