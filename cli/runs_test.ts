import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { main } from "./main.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

/** Runs a command; what it printed, and its exit code. */
async function command(...args: readonly string[]) {
  const terminal = memoryTerminal();
  const code = await main(args, terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

const [SOUND, OTHER] = ["20260101-000000000-aaaaaa-sound", "20260102-000000000-bbbbbb-other"];

/** Files of one finished run. */
function filesOf(run: string): Readonly<Record<string, string>> {
  const device = { kind: "cpu", name: "test", why: "there is no other", forward: { provider: "cpu", why: "as asked" } };
  const step = { id: "embed", stage: "embed", state: "run", seconds: 1, memory: 1, disk: 1 };
  const events = [
    {
      at: 5,
      type: "run-started",
      run,
      recipe: "mine",
      method: "pbs2p",
      model: "tiny",
      device,
      folder: "/r",
      steps: [step],
    },
    { at: 6, type: "step-finished", step: "embed", seconds: 1, stages: { embed: 1 }, bytes: 4 },
    { at: 9, type: "run-finished", folder: "/r", seconds: 1, peakMemory: 1, ran: 1, cached: 0 },
  ];
  return {
    "events.ndjson": events.map((event) => `${JSON.stringify(event)}\n`).join(""),
    "recipe.lock.yaml": "recipe:\n  model: { path: m }\n  stages: {}\nlock:\n  deno: 2.9.6\n",
    "metrics.json": '{ "perplexity": { "heldout": { "compressed": 37.5 } }, "layers": [1, 2] }\n',
  };
}

async function withRuns(
  work: (runs: string, put: (run: string, file: string, content: string | Uint8Array) => void) => Promise<void>,
) {
  const runs = Deno.makeTempDirSync({ prefix: "pbs2p-runs-" });
  const put = (run: string, file: string, content: string | Uint8Array) =>
    writeFileSync(join(runs, run, file), content);
  try {
    for (const run of [SOUND, OTHER]) {
      mkdirSync(join(runs, run));
      for (const [file, content] of Object.entries(filesOf(run))) put(run, file, content);
    }
    await work(runs, put);
  } finally {
    rmSync(runs, { recursive: true });
  }
}

Deno.test("runs list leaves a run with a damaged journal out, names it in one line, and lists the others", () =>
  withRuns(async (runs, put) => {
    const journal = filesOf(OTHER)["events.ndjson"];
    const cases: readonly (readonly [string | Uint8Array, RegExp])[] = [
      [journal.replace("\n", "!\n"), /line 1 is not JSON/],
      [`${journal}null\n{}\n`, /line 4 is not an event of a run/],
      [journal.replace('"at":9', '"at":1e300'), /line 3 is not an event/],
      [journal.replace('"kind":"cpu"', '"kind":7'), /line 1 is not an event/],
      [journal.replace('"stages":{"embed":1}', '"stages":[null]'), /line 2 is not an event/],
      [`version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n`, /line 1 is not JSON/],
    ];
    for (const [content, why] of cases) {
      put(OTHER, "events.ndjson", content);
      const { code, out, err } = await command("runs", "list", "--runs", runs);
      assert.equal(code, 0);
      assert.ok(out.includes(SOUND) && !out.includes(OTHER), out);
      assert.match(err, new RegExp(`^warning: run ${OTHER} is left out: Cannot read .*events\\.ndjson: ${why.source}`));
      assert.equal(err.trim().split("\n").length, 1);
      const shown = await command("runs", "show", OTHER, "--runs", runs);
      assert.equal(shown.code, 3);
      assert.match(shown.err, why);
      assert.equal((await command("runs", "show", SOUND, "--runs", runs)).code, 0);
    }
    rmSync(join(runs, OTHER, "events.ndjson"));
    mkdirSync(join(runs, OTHER, "events.ndjson"));
    assert.match((await command("runs", "list", "--runs", runs)).err, /it is not there, or not a file/);
  }));

Deno.test("a journal whose events are nested without end is damaged, and said to be", () =>
  withRuns(async (runs, put) => {
    const [first, ...rest] = filesOf(OTHER)["events.ndjson"].split("\n");
    const deep = `{"at": 1, "type": "note", "x": ${"[".repeat(5000)}${"]".repeat(5000)}}`;
    put(OTHER, "events.ndjson", [first, deep, ...rest].join("\n"));
    const { code, err } = await command("runs", "show", OTHER, "--runs", runs);
    assert.equal(code, 3, err);
    assert.match(err, /^error: Cannot read .*events\.ndjson: line 2 is not an event of a run$/m);
  }));

Deno.test("runs show and compare name the file of a run that is damaged", () =>
  withRuns(async (runs, put) => {
    const broken = [
      "",
      "{",
      "[1]",
      "null",
      "\0".repeat(100),
      '"text"',
      "- a\n- b\n",
      "a: [\n",
      `${"[".repeat(30_000)}`,
      `{"a": ${"[".repeat(2000)}${"]".repeat(2000)}}`,
      '{"device": {"kind": 1e999}}',
      "%YAML 1.1\n---\nrecipe: { made: 2020-01-01 }\n",
      "%YAML 1.1\n---\nrecipe: { bytes: !!binary aGVsbG8= }\n",
      "recipe: { stages: !!set { spbo } }\n",
      "recipe: !mine { stages: {} }\n",
    ];
    for (const file of ["metrics.json", "recipe.lock.yaml"]) {
      for (const content of broken) {
        put(OTHER, file, content);
        for (const args of [["show", OTHER], ["compare", SOUND, OTHER]]) {
          const { code, err } = await command("runs", ...args, "--runs", runs);
          assert.equal(code, 3, `${file} ${content.slice(0, 9)}: ${err}`);
          assert.match(
            err,
            new RegExp(`^error: Cannot read .*bbbbbb-other.${file.replaceAll(".", "\\.")}: it is damaged; `),
          );
        }
        assert.match((await command("runs", "list", "--runs", runs)).out, /bbbbbb-other/);
      }
      put(OTHER, file, filesOf(OTHER)[file]);
    }
  }));

Deno.test("runs list, show and compare never fail in a way that was not foreseen, whatever bytes of a run were changed", () =>
  withRuns(async (runs, put) => {
    let state = 7;
    const random = (below: number) => (state = Math.imul(state, 1103515245) + 12345 >>> 0) % below;
    for (let round = 0; round < 120; round++) {
      const files = Object.entries(filesOf(OTHER));
      const [file, content] = files[round % files.length];
      const bytes = new TextEncoder().encode(content);
      for (let hits = 1 + random(4); hits > 0; hits--) bytes[random(bytes.length)] = 32 + random(96);
      put(OTHER, file, round % 7 === 0 ? bytes.subarray(0, random(bytes.length)) : bytes);
      for (const args of [["list"], ["show", OTHER], ["compare", SOUND, OTHER]]) {
        const { code, out, err } = await command("runs", ...args, "--runs", runs);
        assert.ok([0, 2, 3].includes(code), `${args.join(" ")}: ${err}`);
        if (args[0] === "list") assert.ok(out.includes(SOUND) && code === 0);
      }
      put(OTHER, file, content);
    }
  }));

Deno.test("runs list shows sweeps with the points that are done, and leaves damaged ones out", () =>
  withRuns(async (runs) => {
    const point = (state: string) => ({ id: state, label: state, values: {}, state });
    const write = (sweep: string, text: string) => {
      mkdirSync(join(runs, "sweeps", sweep), { recursive: true });
      writeFileSync(join(runs, "sweeps", sweep, "sweep.json"), text);
    };
    const record = { name: "keep", started: 0, seconds: 90, axes: [], repeats: [], steps: { all: 2, different: 1 } };
    const points = [point("finished"), point("failed"), point("finished")];
    write("20260101-a-keep", JSON.stringify({ ...record, sweep: "a", points }));
    write("20260103-b-keep", JSON.stringify({ ...record, sweep: "b", points: [point("waiting")] }));
    write("20260104-c-keep", "{");
    mkdirSync(join(runs, "sweeps", "20260105-d-begun"));
    const { code, out, err } = await command("runs", "list", "--runs", runs);
    assert.equal(code, 0);
    assert.match(
      out,
      /\n\nsweep .*\n.*\n20260103-b-keep +1 waiting +1 min 30 s\n20260101-a-keep +2 finished, 1 failed +/,
    );
    assert.match(err, /^warning: sweep 20260104-c-keep is left out: Cannot read .*sweep\.json: it is damaged.*\n$/);
    const listed = JSON.parse((await command("runs", "list", "--json", "--runs", runs)).out);
    assert.deepEqual(listed.map(({ run, sweep }: { run?: string; sweep?: string }) => run ?? sweep), [
      ...[OTHER, SOUND, "20260103-b-keep", "20260101-a-keep"],
    ]);
    assert.deepEqual(listed[3].points, { finished: 2, failed: 1, interrupted: 0, waiting: 0 });
    for (const run of [SOUND, OTHER]) rmSync(join(runs, run), { recursive: true });
    assert.match((await command("runs", "list", "--runs", runs)).out, /^sweep /);
    rmSync(join(runs, "sweeps"), { recursive: true });
    writeFileSync(join(runs, "sweeps"), "");
    assert.match((await command("runs", "list", "--runs", runs)).out, /^There are no runs/);
  }));

Deno.test("runs list says that the folder of runs is none", () =>
  withRuns(async (runs) => {
    const { code, err } = await command("runs", "list", "--runs", join(runs, SOUND, "metrics.json"));
    assert.equal(code, 3);
    assert.match(err, /^error: Cannot look for runs in .*metrics\.json: /);
  }));
