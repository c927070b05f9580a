import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { textWidth } from "../files/text_width.ts";
import { buildMetrics, renderMetrics } from "../report/mod.ts";
import { FACTS } from "../report/metrics_test_support.ts";
import type { ResultFacts } from "../report/metrics.ts";
import { sweepOf } from "../report/sweep_test_support.ts";
import { main } from "./main.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

const DEVICE = { kind: "cpu", name: "test", why: "there is no other" };
const [A, B, C] = ["1-aaaaaa-pbs2p", "2-bbbbbb-gptq", "3-cccccc-large"];

/** Layers of two blocks. */
const LAYERS = [0.01, 0.03, 0.05, 0.07].map((error, i) => ({
  name: `model.layers.${Math.floor(i / 2)}.mlp.${["up_proj", "down_proj"][i % 2]}`,
  error,
}));
const { keep: _keep, ...UNPRUNED } = FACTS;
/** What was measured of each run; the second does not prune, the third is of a larger model. */
const RESULTS: Readonly<Record<string, ResultFacts>> = {
  [A]: { ...FACTS, keep: [5, 3], layerErrors: LAYERS },
  [B]: {
    ...UNPRUNED,
    method: "gptq",
    perplexity: { heldout: { original: 24.898, compressed: 27.734, tokens: 51_200 } },
    layerErrors: LAYERS.map(({ name, error }) => ({ name, error: error / 10 })),
  },
  [C]: {
    ...FACTS,
    keep: [4, 4],
    perplexity: { heldout: { original: 9.5, compressed: Infinity, tokens: 51_200 } },
    layerErrors: [...LAYERS, { name: "model.layers.2.mlp.up_proj", error: 0.5 }, { name: "lm_head", error: 0.25 }],
  },
};
const STAGES: Readonly<Record<string, string>> = {
  [A]: "spbo: { resign: 1 }",
  [B]: "gptq: { bits: 3 }",
  [C]: "spbo: { resign: 0 }",
};

function writeRun(folder: string, run: string): void {
  mkdirSync(join(folder, run), { recursive: true });
  const names = { run, recipe: "mine", method: RESULTS[run].method, model: "tiny" };
  const events = [
    { at: 5, type: "run-started", ...names, device: DEVICE, folder: "/r", steps: [] },
    { at: 9, type: "run-finished", folder: "/r", seconds: 1, peakMemory: 1, ran: 1, cached: 0 },
  ];
  writeFileSync(join(folder, run, "events.ndjson"), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  const lock = `recipe:\n  name: ${run}\n  description: ${"long ".repeat(30)}${run}\n  stages: { ${STAGES[run]} }\n`;
  writeFileSync(join(folder, run, "recipe.lock.yaml"), lock);
  writeFileSync(join(folder, run, "metrics.json"), renderMetrics(buildMetrics(RESULTS[run])));
}

async function withRuns(work: (runs: string, command: typeof compare) => Promise<void>): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-compare-" });
  try {
    for (const run of [A, B, C]) writeRun(folder, run);
    await work(folder, (args, width) => compare([...args, "--runs", folder], width));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function compare(args: readonly string[], width = 80) {
  const terminal = memoryTerminal({ width });
  const code = await main(["runs", "compare", ...args], terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

Deno.test("runs compare sets two runs side by side, block by block", () =>
  withRuns(async (_runs, compare) => {
    const { code, out } = await compare([A, B]);
    assert.equal(code, 0);
    assert.deepEqual(out.trimEnd().split("\n"), [
      "a  1-aaaaaa-pbs2p  finished, cpu",
      "b  2-bbbbbb-gptq  finished, cpu",
      "",
      "recipe       a               b",
      "───────────  ──────────────  ─────────────",
      "name         1-aaaaaa-pbs2p  2-bbbbbb-gptq",
      'stages.spbo  {"resign":1}    –',
      'stages.gptq  –               {"bits":3}',
      "",
      "metric                              a       b   b − a",
      "─────────────────────────────  ──────  ──────  ──────",
      "perplexity.heldout.compressed  37.161  27.734  -9.427",
      "of                                  8       –",
      "layer_error.mean                 0.04   0.004  -0.036",
      "layer_error.total                0.16   0.016  -0.144",
      "25 other numbers are the same.",
      "",
      "block  a N  a error  b error   b − a",
      "─────  ───  ───────  ───────  ──────",
      "0        5     0.02    0.002  -0.018",
      "1        3     0.06    0.006  -0.054",
      "N: weights kept of M; error: mean over the block's layers.",
    ]);
  }));

Deno.test("runs compare takes any number of runs, of different models and methods", () =>
  withRuns(async (_runs, compare) => {
    const { out } = await compare([A, B, C, A]);
    const lines = out.split("\n");
    assert.ok(lines.includes("perplexity.heldout.original    24.898  24.898       9.5  24.898"), out);
    assert.ok(lines.includes("perplexity.heldout.compressed  37.161  27.734  Infinity  37.161"), out);
    // As many as fit beside the first in one table, the others in the next.
    const heads = lines.filter((line) => line.startsWith("block"));
    assert.deepEqual(heads.map((line) => line.replaceAll(/ +/g, " ")), [
      "block a N a error b error b − a c N c error c − a d N d error d − a",
    ]);
    assert.ok(lines.some((line) => /^2 +– +– +– /.test(line)), out);
    assert.ok(lines.some((line) => /^lm_head +– +– +– +– +0\.25/.test(line)), out);
    const narrow = await compare([A, B, C, A], 60);
    assert.equal(narrow.out.split("\n").filter((line) => line.startsWith("block")).length, 2);
  }));

Deno.test("runs compare --by layer has a row per layer, and --json everything", () =>
  withRuns(async (_runs, compare) => {
    const { out } = await compare([A, C, "--by", "layer"]);
    assert.match(out, /^model\.layers\.1\.mlp\.down_proj +3 +0\.07 +4 +0\.07$/m);
    assert.match(out, /N: weights kept of M; error: of the layer\.\n$/);
    const json = JSON.parse((await compare([A, B, C, "--json"])).out);
    assert.deepEqual(Object.keys(json), ["runs", "recipe", "metrics", "by", "layers"]);
    assert.deepEqual(json.layers[0], {
      place: "0",
      results: [{ keep: 5, error: 0.02 }, { error: 0.002 }, { keep: 4, error: 0.02 }],
    });
    const of = (path: string) => json.metrics.find((each: { path: string }) => each.path === path).values;
    assert.deepEqual(of("perplexity.heldout.compressed"), [37.161, 27.734, "Infinity"]);
    assert.deepEqual(of("of"), [8, null, 8]);
  }));

Deno.test("runs compare takes a sweep's folder for its points' runs", () =>
  withRuns(async (runs, compare) => {
    const sweep = join(runs, "4-dddddd-sweep");
    for (const run of [A, B]) writeRun(join(sweep, "runs"), run);
    const points = [{ label: "four of eight", run: `runs/${A}` }, { label: "gptq-3", run: `runs/${B}` }, {
      label: "not yet",
      state: "waiting" as const,
    }];
    writeFileSync(join(sweep, "sweep.json"), JSON.stringify(sweepOf(points)));
    const { code, out, err } = await compare([sweep, C]);
    assert.equal(code, 0, err);
    assert.deepEqual(out.split("\n").slice(0, 3), [
      "a  four of eight: 1-aaaaaa-pbs2p  finished, cpu",
      "b  gptq-3: 2-bbbbbb-gptq  finished, cpu",
      "c  3-cccccc-large  finished, cpu",
    ]);
    writeFileSync(join(sweep, "sweep.json"), '{"points": 7}');
    const damaged = await compare([sweep, C]);
    assert.equal(damaged.code, 3);
    assert.match(
      damaged.err,
      /^error: Cannot read .*sweep\.json: it is damaged; run the sweep again, or name its runs one by one$/m,
    );
  }));

Deno.test("runs compare refuses what is not two runs", () =>
  withRuns(async (_runs, compare) => {
    const one = await compare([A]);
    assert.deepEqual([one.code, one.err.trim()], [
      2,
      `error: Cannot compare fewer than two runs: name another one beside ${A}`,
    ]);
    assert.equal((await compare([A, "nowhere"])).code, 2);
    assert.equal((await compare([A, B, "--by", "colour"])).code, 2);
  }));

Deno.test("runs compare keeps to the width, however many runs", () =>
  withRuns(async (_runs, compare) => {
    for (const width of [40, 80, 120]) {
      for (const runs of [[A, B], [A, B, C], Array.from({ length: 30 }, (_, i) => [A, B, C][i % 3])]) {
        const { out } = await compare(runs, width);
        for (const line of out.split("\n")) assert.ok(textWidth(line) <= width, `${width}: ${line}`);
      }
    }
  }));
