import assert from "node:assert/strict";
import type { RunRecord } from "../runner/history.ts";
import type { SweepRecord } from "../runner/sweep/record.ts";
import { type Evidence, makeEvidence, readEvidence, recordOfRun, renderEvidence } from "./evidence.ts";
import { Metrics } from "./metrics.ts";
import { type Verdict, verdictOf } from "./results_beside.ts";
import { buildLeaderboard } from "./leaderboard.ts";
import type { Entry } from "./results_by_model.ts";
import { renderResultsPage } from "./results_page.ts";
import { METHODS, sweepOf, type TestPoint } from "./sweep_test_support.ts";

const DEVICE = { kind: "cpu", name: "2 threads", why: "asked for with --device cpu" };
const CODE = { pack: "a".repeat(64), spbo: "b".repeat(64) };

/** A run as its folder says. */
function runOf(run: string, rest: Partial<RunRecord> = {}): RunRecord {
  return {
    ...{ run, folder: `/home/me/runs/${run}`, recipe: "mine", model: "tiny-llama", method: "pbs2p" },
    ...{
      outcome: "finished" as const,
      started: 0,
      seconds: 35.2,
      steps: { run: 40, cached: 0 },
      device: DEVICE,
      events: [],
    },
    lock: { model: { label: "tiny-llama", weights: "c".repeat(64) }, deno: "2.9.6", code: CODE },
    ...rest,
  };
}

function evidenceOf(points: readonly TestPoint[], rest: Partial<SweepRecord> = {}): Evidence {
  const record = sweepOf(points, rest);
  const runs = new Map(
    record.points.filter(({ run }) => run !== undefined).map((point) => [
      point.id,
      runOf(`20260102-030405678-abcdef-${point.label}`, { recipe: point.label }),
    ]),
  );
  const command = `deno task sweep configs/sweeps/${record.name}.yaml`;
  return makeEvidence(record, { runs, command, commandOf: ({ label }) => `${command} --only ${label}` });
}

/** Cells of the table's row that begins with a label, under a heading. */
function rowsUnder(page: string, heading: string): string[][] {
  const part = page.split(/^#+ /m).find((each) => each.startsWith(heading)) ?? assert.fail(`no ${heading} in ${page}`);
  return part.split("\n").filter((line) => line.startsWith("| ")).slice(2)
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
}

Deno.test("renderResultsPage() shows every row with both counts of bits, its time, where it ran, and the front", () => {
  const page = renderResultsPage([evidenceOf(METHODS)]);
  assert.match(page, /^## tiny-llama: the quickstart's LLaMA \(5\.2 M parameters\)$/m);
  assert.match(page, /^Uncompressed: heldout 24\.90\. Weights: sha256 `cccccccccccccccc`\.$/m);
  assert.match(
    page,
    /^`deno task sweep configs\/sweeps\/methods\.yaml`: 4 of 7 points finished, 1 failed, 1 interrupted, 1 waiting/m,
  );
  assert.deepEqual(rowsUnder(page, "methods"), [
    ["rtn-1", "1.00", "1.25", "2.40", "1.5 MiB", "Infinity", "0.610", "11 s", "cpu"],
    ["**billm**", "1.11", "2.90", "4.21", "2.6 MiB", "48.88", "0.0950", "15 s", "cpu"],
    ["**gptq-3**", "3.00", "3.15", "4.47", "2.8 MiB", "27.73", "0.0172", "18 s", "cpu"],
    ["pbs2p-4of8", "0.53", "3.15", "4.49", "2.8 MiB", "34.38", "0.0628", "35 s", "cpu"],
  ]);
  assert.match(
    page,
    /From small to good: billm \(file 4\.21, stored 2\.90 bits: 48\.88\) → gptq-3 \(file 4\.47, stored 3\.15 bits: 27\.73\)\./,
  );
  assert.deepEqual(rowsUnder(page, "Not finished")[0], [
    ...["methods", "stbllm-9of8", "failed"],
    "Cannot keep 9 of 8 weights as there are only 8 (step spbo\\[3\\], exit code 5)",
  ]);
  const [first] = rowsUnder(page, "Where rows come from");
  assert.deepEqual(first.slice(0, 5), [
    ...["pbs2p-4of8", "`20260102-030405678-abcdef-pbs2p-4of8`", "2026-01-02", "cpu (2 threads)", "2.9.6"],
  ]);
  assert.equal(first[6], "`deno task sweep configs/sweeps/methods.yaml --only pbs2p-4of8`");
});

Deno.test("renderResultsPage() sets rows beside other code, with ratios and verdicts, and says what does not reproduce", () => {
  const points = METHODS.map((point) => point.label === "billm" ? { ...point, perplexity: 55 } : point);
  const page = renderResultsPage([evidenceOf(points)]);
  const rows = rowsUnder(page, "Beside other code on the same windows");
  assert.deepEqual(rows.find(([method, settings]) => method === "gptq" && settings === "3 bits, groups of 128"), [
    ...["gptq", "3 bits, groups of 128", "plain", "gptq-3", "27.73", "27.73", "1.000"],
    ...["0.0172", "0.0172", "0.998", "within"],
  ]);
  assert.deepEqual(rows[0].slice(3), ["billm", "48.88", "55", "1.125", "0.0950", "0.0950", "1.001", "**differs**"]);
  assert.equal(rows.filter((row) => row.at(-1) === "not made").length, 13);
  assert.match(page, /^\*\*Does not reproduce\*\*: billm \(hessian metric, block 128\) by billm\.$/m);
  assert.match(renderResultsPage([evidenceOf(METHODS)]), /^Of the rows that were made, all reproduce\.$/m);
  assert.match(
    renderResultsPage([evidenceOf(METHODS.slice(0, 1))]),
    /^Of the rows that were made, none can be compared\.$/m,
  );
});

Deno.test("verdictOf() goes by shares, by logarithms where a model is broken, and calls lower numbers better", () => {
  const entriesOf = (points: readonly TestPoint[]): Entry[] => {
    const evidence = evidenceOf(points);
    return buildLeaderboard(evidence.sweep).rows.map((row) => ({ row, evidence }));
  };
  const billm = entriesOf(METHODS).find(({ row }) => row.label === "billm");
  const theirs = { model: "tiny-llama", method: "x", settings: "", code: "plain", ours: [] } as const;
  // Ours: 48.884 and 0.095.
  const cases: readonly (readonly [perplexity: number | undefined, layerError: number | undefined, Verdict])[] = [
    [48, 0.094, "within"],
    [47, 0.094, "differs"],
    [51, 0.094, "better"],
    [51, 0.09, "differs"],
    [48, undefined, "within"],
    // Above 249 logarithms count: ln 48.884 is far below.
    [300, undefined, "better"],
    [undefined, undefined, "time only"],
  ];
  for (const [perplexity, layerError, verdict] of cases) {
    assert.equal(verdictOf({ ...theirs, perplexity, layerError }, billm, "heldout"), verdict, `${perplexity}`);
  }
  assert.equal(verdictOf({ ...theirs, perplexity: 1 }, undefined, "heldout"), "not made");
  const broken = [{ ...METHODS[2], perplexity: 1100 }];
  const [entry] = entriesOf(broken);
  assert.equal(verdictOf({ ...theirs, perplexity: 1000 }, entry, "heldout"), "within");
  assert.equal(verdictOf({ ...theirs, perplexity: 900 }, entry, "heldout"), "differs");
});

Deno.test("renderResultsPage() sets llama.cpp's files beside our best row that is as small: as a file where that is known", () => {
  const rows = rowsUnder(renderResultsPage([evidenceOf(METHODS)]), "Beside llama.cpp on the same weights");
  const of = (type: string) => rows.find(([each]) => each === type);
  assert.deepEqual(of("IQ1\\_S"), ["IQ1\\_S", "1.65", "–", "53.62", "none is as small", "–", "–", "–", "–"]);
  assert.deepEqual(of("Q2\\_K"), ["Q2\\_K", "2.93", "–", "28.46", "billm", "2.90", "2.6 MiB", "48.88", "1.718"]);
  assert.deepEqual(of("Q3\\_K\\_S")?.slice(4), ["gptq-3", "3.15", "2.8 MiB", "27.73", "1.055"]);
  // The one stores less of its layers, the other's file is as small.
  const smol = { name: "SmolLM2-135M-Instruct", original: 23.52, run: "r" };
  const page = renderResultsPage([evidenceOf([
    { label: "a", ...smol, model: 140, perplexity: 25, stored: { codes: 2 } },
    { label: "b", ...smol, model: 128, perplexity: 30, stored: { codes: 5 }, apart: { embedding: 5.25 } },
  ])]);
  const files = rowsUnder(page, "Beside llama.cpp on the same weights");
  assert.deepEqual(files.map((cells) => [cells[0], cells[4]]).slice(0, 3), [
    ["IQ1\\_M", "none is as small"],
    ["IQ2\\_XS", "b"],
    ["IQ2\\_M", "b"],
  ]);
  assert.match(page, /\| stored \| embedding \| file \|/);
  assert.match(page, /\| 5\.00 \| 5\.25 \| 128\.00 \|/);
});

Deno.test("renderResultsPage() compares nothing that was measured on other windows or another model", () => {
  const other = evidenceOf([{ label: "billm", perplexity: 40, name: "SmolLM2-135M-Instruct", run: "r" }]);
  const page = renderResultsPage([other]);
  assert.match(
    page,
    /^Other code was measured on windows on which SmolLM2-135M-Instruct has an uncompressed perplexity of 23\.52;/m,
  );
  assert.doesNotMatch(page, /llama\.cpp/);
  assert.match(page, /^The papers print no number for this model; theirs are for LLaMA-1 7B, /m);
  const unknown = renderResultsPage([evidenceOf([{ label: "billm", name: "mine", run: "r" }])]);
  assert.doesNotMatch(unknown, /Beside other code/);
});

Deno.test("renderResultsPage() sets papers' numbers beside ours where the model is the same", () => {
  const perplexity = { wikitext2: 11.2, c4: 14 };
  const page = renderResultsPage([
    evidenceOf([{ label: "llama7b-4of8", name: "huggyllama/llama-7b@4782ad", perplexity, run: "r" }]),
  ]);
  const rows = rowsUnder(page, "Beside published numbers");
  assert.deepEqual(rows.find(([method]) => method === "PBS²P 4:8"), [
    ...["PBS²P 4:8", "0.55", "10.78", "llama7b-4of8", "0.55", "3.15", "11.20", "1.039"],
  ]);
  assert.deepEqual(rows[0], ["uncompressed", "16.00", "5.68", "–", "–", "–", "24.90", "4.383"]);
  assert.deepEqual(rows.find(([method]) => method === "BiLLM")?.slice(3), ["–", "–", "–", "–", "–"]);
});

Deno.test("renderResultsPage() puts a front over all sweeps of a model, and single runs in one table", () => {
  const single = (label: string, cached: number) => {
    const { metrics } = sweepOf([METHODS.find((point) => point.label === label) ?? METHODS[0]]).points[0];
    const run = runOf(`20260102-030405678-aaaaaa-${label}`, {
      recipe: label,
      steps: { run: 4, cached },
      ...(metrics ? { metrics } : {}),
    });
    const command = `deno task run configs/${label}.yaml`;
    return makeEvidence(recordOfRun(run), { runs: new Map([[run.run, run]]), command, commandOf: () => command });
  };
  const page = renderResultsPage([evidenceOf(METHODS.slice(0, 2)), single("billm", 0), single("rtn-1", 3)]);
  assert.deepEqual(rowsUnder(page, "methods").map(([row]) => row), ["**gptq-3**", "pbs2p-4of8"]);
  assert.deepEqual(rowsUnder(page, "Single runs").map((row) => [row[0], row[7]]), [["rtn-1", "≥ 35 s"], [
    "**billm**",
    "35 s",
  ]]);
  assert.equal(page.match(/^## tiny-llama/gm)?.length, 1);
});

Deno.test("renderResultsPage() shows means, spreads and n of points that repeat each other", () => {
  const points = [0, 1, 2].map((seed) => ({
    label: `gptq-3, seed ${seed}`,
    values: { seed },
    perplexity: 27 + seed,
    run: "r",
  }));
  const page = renderResultsPage([evidenceOf(points, { repeats: ["seed"] })]);
  assert.deepEqual(rowsUnder(page, "methods")[0].slice(0, 2), ["**gptq-3**", "3"]);
  assert.equal(rowsUnder(page, "methods")[0][6], "28.00 ± 1.00");
});

Deno.test("makeEvidence() keeps metrics without their lists, hashes of code once, and no path, user or machine", () => {
  const points = [
    { ...METHODS[0], kl: 0.5213, values: { "model.path": "/home/me/models/m", extends: "../../home/me/x.yaml" } },
    { ...METHODS[4], error: 'Cannot read "/home/me/a b/m.safetensors": it is gone; see C:\\Users\\me\\log.txt' },
  ];
  const evidence = evidenceOf(points);
  const text = renderEvidence(evidence);
  assert.doesNotMatch(text, /home|\bme\b|Users/);
  assert.match(text, /Cannot read \\"…\/m\.safetensors\\": it is gone; see …\/log\.txt/);
  const [finished] = evidence.sweep.points;
  const { layer_error: error } = Metrics.parse(finished.metrics);
  assert.deepEqual([error.layers, error.total?.toFixed(4)], [[], "2.6376"]);
  const { divergence } = Metrics.parse(finished.metrics).perplexity.heldout;
  assert.deepEqual([divergence?.kl.mean, divergence?.histogram, divergence?.context], [0.5213, undefined, undefined]);
  assert.ok(text.length < 2 * 4000, `${text.length} letters for two points`);
  assert.deepEqual(Object.values(evidence.codes), [CODE]);
  assert.deepEqual(readEvidence(text, "x.json"), evidence);
  assert.equal(renderResultsPage([readEvidence(text, "x.json")]), renderResultsPage([evidence]));
});

Deno.test("readEvidence() names a file that is none, and what is wrong with it", () => {
  const sound = JSON.parse(renderEvidence(evidenceOf(METHODS)));
  const cases: readonly (readonly [string, RegExp])[] = [
    ["{", /^Cannot read x\.json as a record of results: it is not JSON$/],
    ["[]", /^Cannot read x\.json as a record of results: all of it: /],
    [JSON.stringify({ ...sound, version: 2 }), /: version: /],
    [JSON.stringify({ ...sound, sweep: { ...sound.sweep, points: [{ id: 1 }] } }), /: sweep\.points\.0\.id: /],
    [JSON.stringify({ ...sound, points: { p0: {} } }), /: points\.p0\.run: /],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => readEvidence(text, "x.json"), { name: "InputError", message });
  }
});

Deno.test("renderResultsPage() has columns of divergence in tables with rows that have it, and says what they are only then", () => {
  const page = renderResultsPage([
    evidenceOf([{ ...METHODS[0], kl: 0.5213 }, METHODS[1]]),
    evidenceOf([METHODS[2]], { name: "older" }),
  ]);
  assert.match(page, /^\| row \|.* \| perplexity \| KL \| top-1, % \| layer error \|/m);
  assert.deepEqual(rowsUnder(page, "methods").map((row) => row.slice(5, 9)), [
    ["27.73", "–", "–", "0.0172"],
    ["34.38", "0.521", "59.7", "0.0628"],
  ]);
  assert.deepEqual(rowsUnder(page, "Single runs")[0].slice(5, 7), ["48.88", "0.0950"]);
  assert.match(page, /^- \*\*KL\*\* is the mean divergence/m);
  assert.doesNotMatch(renderResultsPage([evidenceOf(METHODS)]), /KL|top-1/);
});
