import assert from "node:assert/strict";
import { textWidth } from "../files/text_width.ts";
import { buildMetrics } from "./metrics.ts";
import { DIVERGENCE, FACTS, RECIPE, SCALED_SIGNS } from "./metrics_test_support.ts";
import { renderResultTable } from "./result_table.ts";

const SCORES = { acc: 0.5, acc_stderr: 0.0102, acc_norm: 0.5, acc_norm_stderr: 0.0102 };
const TASK = { ...SCORES, original: { ...SCORES, acc: 0.6, acc_norm: 0.6 }, items: 2376, cut: 3 };

Deno.test("renderResultTable() shows before and after, both counts of bits, and where time went", () => {
  assert.deepEqual(renderResultTable(buildMetrics(FACTS), RECIPE), [
    "perplexity         before      after     tokens",
    "  heldout           24.90      37.16     51,200   +1.8 % of 36.50: met",
    "bits          nominal 0.55 (+ 2.01 for storing, as papers count)",
    "              stored 3.15 = mask 0.76 + signs 0.55 + segments 0.71 + scales 1.13",
    "              whole model 4.64, embedding 16.00",
    "size          2.9 MiB, was 10.0 MiB (3.45 times as much)",
    "kept of 8     5 4 3 3 4 5",
    "layer error   mean 0.0789, worst 0.171 at model.layers.3.mlp.down_proj",
    "time          41 s, calibrate 9.4 s, coarse-search 1.3 s, fine-search 3.0 s,",
    "              spbo 15 s, compensate 4.2 s, pack 1.1 s, evaluate 7.4 s",
    "memory        774.7 MiB at its peak",
    "steps         30 run, 4 from the cache",
  ]);
});

Deno.test("renderResultTable() shows any format's components, and nothing of what a method has not", () => {
  const { keep: _keep, ...facts } = FACTS;
  const lines = renderResultTable(buildMetrics({ ...facts, packed: SCALED_SIGNS }), {});
  assert.deepEqual(lines.slice(2, 7), [
    "bits          nominal 1.00 (as papers count)",
    "              stored 1.13 = signs 1.00 + scales 0.13",
    "              whole model 3.00",
    "size          1.9 MiB, was 10.0 MiB (5.25 times as much)",
    "layer error   mean 0.0789, worst 0.171 at model.layers.3.mlp.down_proj",
  ]);
});

Deno.test("renderResultTable() shows the bits of blocks, and what came of the look at windows held out", () => {
  const { keep: _keep, ...facts } = FACTS;
  const allocation = (kept: boolean) => ({
    ...{ mean: 2.1, blocks: [2.6, 1.6], layers: [] },
    check: { uniform: 0.285, allocated: kept ? 0.212 : 0.301, kept },
  });
  const lines = (kept: boolean) => {
    const all = renderResultTable(buildMetrics({ ...facts, allocation: allocation(kept) }), {});
    return all.slice(all.findIndex((line) => line.startsWith("bits by block"))).slice(0, 4);
  };
  assert.deepEqual(lines(true).slice(0, 3), [
    "bits by block 2.60 1.60",
    "              kept, as on windows held out the divergence from the original is",
    "              0.212 with bits by sensitivity 0.285 with the same for all",
  ]);
  assert.match(lines(false).join(" ").replaceAll(/ +/g, " "), /the same for all, as .* is not less: 0\.301 .* 0\.285/);
});

Deno.test("renderResultTable() stays within 80 columns for large models and long names", () => {
  const metrics = buildMetrics({
    ...FACTS,
    keep: Array<number>(80).fill(12),
    perplexity: { ["a-very-long-name-".repeat(6)]: { original: 1e7, compressed: 1e9, tokens: 1e9 } },
    layerErrors: [{ name: "model.decoder.layers.0.".repeat(5), error: 0.5 }],
    seconds: { total: 86_400, stages: { "coarse-search": 0.001, spbo: 86_000 } },
    tasks: { arc_easy: TASK },
  });
  const lines = renderResultTable(metrics, RECIPE);
  for (const line of lines) assert.ok(line.length <= 80, line);
  assert.ok(!lines.join("\n").includes("coarse-search"), "stages that took nothing are left out");
  const at = lines.findIndex((line) => line.startsWith("tasks, %"));
  assert.deepEqual(lines.slice(at, at + 4), [
    "tasks, %            before       after   questions",
    "  arc_easy      60.0 ± 1.0  50.0 ± 1.0       2,376",
    "    acc_norm    60.0 ± 1.0  50.0 ± 1.0",
    "              cut on the left, as too long: 3 of 2376 in arc_easy",
  ]);
});

Deno.test("renderResultTable() says when an expectation is not met", () => {
  const facts = { ...FACTS, perplexity: { heldout: { original: 20, compressed: 40, tokens: 100 } } };
  assert.match(renderResultTable(buildMetrics(facts), RECIPE)[1], /\+9\.6 % of 36\.50: NOT met$/);
});

Deno.test("renderResultTable() says what is not finite, and that it misses what is expected", () => {
  const perplexity = {
    heldout: { original: 20, compressed: Infinity, tokens: 100 },
    other: { original: NaN, compressed: NaN, tokens: 100 },
  };
  const { expect: { heldout } = { heldout: undefined } } = RECIPE;
  assert.ok(heldout);
  const expect = { heldout, other: heldout };
  assert.deepEqual(renderResultTable(buildMetrics({ ...FACTS, perplexity }), { expect }).slice(1, 3), [
    "  heldout              20   Infinity        100   Infinity for 36.50: NOT met",
    "  other               NaN        NaN        100   NaN for 36.50: NOT met",
  ]);
});

Deno.test("renderResultTable() fits a terminal of 40 columns: tables close up, and the longest parts are broken", () => {
  assert.deepEqual(renderResultTable(buildMetrics(FACTS), RECIPE, { width: 40 }), [
    "perplexity      before   after  tokens",
    "  heldout        24.90   37.16  51,200",
    "              +1.8 % of 36.50: met",
    "bits          nominal 0.55 (+ 2.01 for",
    "              storing, as papers count)",
    "              stored 3.15 = mask 0.76 +",
    "              signs 0.55 +",
    "              segments 0.71 +",
    "              scales 1.13",
    "              whole model 4.64,",
    "              embedding 16.00",
    "size          2.9 MiB, was 10.0 MiB",
    "              (3.45 times as much)",
    "kept of 8     5 4 3 3 4 5",
    "layer error   mean 0.0789, worst 0.171",
    "              at model.layers.3.mlp.",
    "              down_proj",
    "time          41 s, calibrate 9.4 s,",
    "              coarse-search 1.3 s,",
    "              fine-search 3.0 s,",
    "              spbo 15 s,",
    "              compensate 4.2 s,",
    "              pack 1.1 s, evaluate 7.4 s",
    "memory        774.7 MiB at its peak",
    "steps         30 run, 4 from the cache",
  ]);
});

Deno.test("renderResultTable() stays within any width, whatever the numbers, names and scripts", () => {
  const perplexity = {
    ["long-name-".repeat(9)]: { original: 1e9, compressed: 1e12, tokens: 1e11 },
    heldout: { original: 1, compressed: Infinity, tokens: 1 },
  };
  const tasks = { ["task-".repeat(12)]: TASK };
  const layers = ["模型.層.0.投影", "model.👩‍💻.0.e\u0301tude_projection_of_many_letters", "x".repeat(99)];
  for (const width of [40, 60, 80]) {
    for (const layer of layers) {
      const facts = { ...FACTS, perplexity, tasks, layerErrors: [{ name: layer, error: 0.5 }] };
      const lines = renderResultTable(buildMetrics(facts), RECIPE, { width });
      for (const line of lines) assert.ok(textWidth(line) <= width, `${width}: ${line}`);
      const text = lines.map((line) => line.trim()).join("");
      for (const whole of [layer, "1,000,000,000,000", "100,000,000,000"]) assert.ok(text.includes(whole), `${text}`);
    }
  }
});

Deno.test("renderResultTable() says how far layers moved in one line", () => {
  const propagation = FACTS.layerErrors.map(({ name }, i) => ({ name, share: 0.5 + i / 100, damping: 0.01 }));
  const lines = renderResultTable(buildMetrics({ ...FACTS, propagation }), RECIPE);
  assert.ok(lines.includes("propagation   p 0.5 to 0.91, mean 0.7, damping 0.01 in 42 of 42 layers"), lines.join("\n"));
});

Deno.test("renderResultTable() says the error on windows held out, and what to raise where it is much larger", () => {
  const linesOf = (factor: number) => {
    const layerErrors = FACTS.layerErrors.map((layer) => ({ ...layer, heldOut: factor * layer.error }));
    return renderResultTable(buildMetrics({ ...FACTS, layerErrors }), RECIPE).join("\n");
  };
  assert.match(linesOf(1.2), /^layer error {3}mean 0\.0789 \(held-out 0\.0946\),$/m);
  assert.match(linesOf(1.2), /^ {14}more calibration text would help: raise stages\.calibrate\.samples$/m);
  assert.doesNotMatch(linesOf(1.1), /would help/);
});

Deno.test("renderResultTable() tells the divergence from the original below perplexities, by text where there are more", () => {
  const heldout = { ...FACTS.perplexity.heldout, divergence: DIVERGENCE };
  const told = (perplexity: typeof FACTS.perplexity) =>
    renderResultTable(buildMetrics({ ...FACTS, perplexity }), {}).filter((_, i, all) =>
      i >= all.findIndex((line) => line.startsWith("divergence")) &&
      i < all.findIndex((line) => line.startsWith("bits"))
    );
  assert.deepEqual(told({ heldout }), [
    "divergence    KL 0.521 nats a token, median 0.349, 99 % 2.95,",
    "              same top token 59.7 %, RMS Δp 20.1 %",
  ]);
  assert.match(told({ heldout, prose: heldout, old: FACTS.perplexity.heldout })[2], /^divergence +prose, KL 0\.521/);
  assert.doesNotMatch(renderResultTable(buildMetrics(FACTS), {}).join("\n"), /divergence/);
});
