import assert from "node:assert/strict";
import { textWidth } from "../files/text_width.ts";
import { renderLeaderboard } from "./sweep_report.ts";
import { METHODS, sweepOf } from "./sweep_test_support.ts";

const SEED = "stages.calibrate.seed", KEEP = "stages.coarse-search.keep";

/** What is printed of the methods in 80 columns. */
const METHODS_80 = `
methods: 4 of 7 points finished, 1 failed, 1 interrupted, 1 waiting, in 3 min 33
s; 41 of 270 steps shared
tiny-llama uncompressed: heldout 24.90

  point       perplexity  nominal  stored  file  layer error
────────────  ──────────  ───────  ──────  ────  ───────────
  rtn-1         Infinity     1.00    1.25  2.40        0.610
* billm            48.88     1.11    2.90  4.21       0.0950
* gptq-3           27.73     3.00    3.15  4.47       0.0172
  pbs2p-4of8       34.38     0.53    3.15  4.49       0.0628

  point          size  alone  in sweep     memory
────────────  ───────  ─────  ────────  ─────────
  rtn-1       1.5 MiB   11 s     0.9 s  746.1 MiB
* billm       2.6 MiB   15 s     4.3 s  755.6 MiB
* gptq-3      2.8 MiB   18 s     8.1 s  765.2 MiB
  pbs2p-4of8  2.8 MiB   35 s      35 s  774.7 MiB

* on the Pareto front of whole-file bits and perplexity. Sorted by bits of the
whole file, then perplexity.
Bits per weight. nominal: as papers count; stored: 8 × bytes ÷ weights of the
compressed layers; file: the same of the whole packed file.

failed       stbllm-9of8: Cannot keep 9 of 8 weights as there are only 8 (step
             spbo[3], exit code 5)
interrupted  wanda: the same command goes on
waiting      sparsegpt: not run yet`;

/** Two settings under two seeds, one of which failed, with two evaluations. */
const SEEDS = sweepOf(
  [4, 5].flatMap((keep) =>
    [0, 1].map((seed) => ({
      label: `keep ${keep}, seed ${seed}`,
      values: { [KEEP]: keep, [SEED]: seed },
      model: keep,
      perplexity: { heldout: 40 - keep + seed / 10, prose: 1e6 / keep + seed },
      alone: 25,
      ...(keep + seed === 6 ? { state: "failed" as const, error: "no space" } : {}),
    }))
  ),
  { name: "seeds", repeats: [SEED] },
);

Deno.test("renderLeaderboard() prints two tables in 80 columns: what rows are worth, what they cost", () => {
  assert.deepEqual(`\n${renderLeaderboard(sweepOf(METHODS), { form: "terminal" }).join("\n")}`, METHODS_80);
});

Deno.test("renderLeaderboard() prints one table where there is room", () => {
  const lines = renderLeaderboard(sweepOf(METHODS), { form: "terminal", width: 120 });
  assert.deepEqual(lines.slice(3, 8), [
    "  point       perplexity  nominal  stored  file  layer error     size  alone  in sweep     memory",
    "────────────  ──────────  ───────  ──────  ────  ───────────  ───────  ─────  ────────  ─────────",
    "  rtn-1         Infinity     1.00    1.25  2.40        0.610  1.5 MiB   11 s     0.9 s  746.1 MiB",
    "* billm            48.88     1.11    2.90  4.21       0.0950  2.6 MiB   15 s     4.3 s  755.6 MiB",
    "* gptq-3           27.73     3.00    3.15  4.47       0.0172  2.8 MiB   18 s     8.1 s  765.2 MiB",
  ]);
});

Deno.test("renderLeaderboard() prints a list in 40 columns", () => {
  const lines = renderLeaderboard(sweepOf(METHODS), { form: "terminal", width: 40 });
  assert.deepEqual(lines.slice(5, 26), [
    "rtn-1",
    "  perplexity   Infinity",
    "  nominal      1.00",
    "  stored       1.25",
    "  file         2.40",
    "  layer error  0.610",
    "  size         1.5 MiB",
    "  alone        11 s",
    "  in sweep     0.9 s",
    "  memory       746.1 MiB",
    "billm *",
    "  perplexity   48.88",
    "  nominal      1.11",
    "  stored       2.90",
    "  file         4.21",
    "  layer error  0.0950",
    "  size         2.6 MiB",
    "  alone        15 s",
    "  in sweep     4.3 s",
    "  memory       755.6 MiB",
    "gptq-3 *",
  ]);
});

Deno.test("renderLeaderboard() prints means with their spread and n, and a column per evaluation", () => {
  assert.deepEqual(
    renderLeaderboard(SEEDS, { form: "terminal" }).slice(0, 9),
    [
      "seeds: 3 of 4 points finished, 1 failed, in 3 min 33 s; 41 of 270 steps shared",
      "tiny-llama uncompressed: heldout 24.90, prose 24.90",
      "",
      "  point        n       heldout        prose  nominal  stored  file  layer error",
      "────────  ──────  ────────────  ───────────  ───────  ──────  ────  ───────────",
      "* keep 4       2  36.05 ± 0.07  250,001 ± 1     0.55    3.15  4.00       0.0789",
      "* keep 5  1 of 2            35      200,000     0.55    3.15  5.00       0.0789",
      "",
      "  point        n     size  alone  in sweep     memory",
    ],
  );
});

Deno.test("renderLeaderboard() says the part of the time that single runs would take, once all points are finished", () => {
  const points = METHODS.slice(0, 4).map((point) => ({ ...point, seconds: 5 }));
  const [line] = renderLeaderboard(sweepOf(points, { seconds: 20 }), { form: "terminal", width: 120 });
  assert.equal(
    line,
    "methods: 4 of 4 points finished, in 20 s; 41 of 270 steps shared; 0.25 of the 1 min 19 s of single runs",
  );
});

Deno.test("renderLeaderboard() shows axes that labels do not say", () => {
  const points = [1, 2].map((bits) => ({ label: `run ${"ab"[bits - 1]}`, values: { "quantize.bits": bits } }));
  const [head] = renderLeaderboard(sweepOf(points), { form: "markdown" }).filter((line) => line.startsWith("| point"));
  assert.match(head, /^\| point \| bits \| perplexity \| nominal \| stored \| file \|/);
});

Deno.test("renderLeaderboard() keeps to the width, whatever the names", () => {
  const points = [...METHODS, {
    label: "a method with a long name and 漢字漢字漢字, group_size 128, schedule stepwise, solver joint",
    values: { extends: "long.yaml" },
  }];
  for (const width of [40, 60, 80, 100, 120]) {
    for (const line of renderLeaderboard(sweepOf(points), { form: "terminal", width })) {
      assert.ok(textWidth(line) <= width, `${width}: ${line}`);
    }
  }
});

Deno.test("renderLeaderboard() renders a sweep of which nothing is done", () => {
  const waiting = sweepOf([{ label: "a", state: "waiting" }, { label: "b", state: "waiting" }], { seconds: 0 });
  assert.deepEqual(renderLeaderboard(waiting, { form: "terminal" }), [
    "methods: 0 of 2 points finished, 2 waiting, in 0.0 s; 41 of 270 steps shared",
    "",
    "waiting  a, b: not run yet",
  ]);
  assert.equal(renderLeaderboard(sweepOf([]), { form: "csv" }).length, 1);
  assert.ok(
    renderLeaderboard(waiting, { form: "markdown" }).includes(
      "| a | waiting: not run yet | – | – | – | – | – | – | – |",
    ),
  );
});

Deno.test("renderLeaderboard() writes Markdown in which names are no markup", () => {
  const [first] = METHODS;
  const lines = renderLeaderboard(sweepOf([{ ...first, label: "a|b_*c*" }, METHODS[4]]), { form: "markdown" });
  assert.deepEqual(lines.slice(3), [
    "| point | extends | perplexity | nominal | stored | file | layer error | size | alone | in sweep | memory |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    "| **a\\|b\\_\\*c\\*** | pbs2p-4of8 | 34.38 | 0.53 | 3.15 | 4.49 | 0.0628 | 2.8 MiB | 35 s | 35 s | 774.7 MiB |",
    "| stbllm-9of8 | stbllm-9of8 | failed: Cannot keep 9 of 8 weights as there are only 8 (step spbo\\[3\\], exit code 5) | – | – | – | – | – | – | – | – |",
    "",
    "Bold: on the Pareto front of whole-file bits and perplexity. Sorted by bits of the whole file, then perplexity. " +
    "Bits per weight. nominal: as papers count; stored: 8 × bytes ÷ weights of the compressed layers; file: the same of the whole packed file.",
  ]);
});

Deno.test("renderLeaderboard() has columns of divergence where a row was compared, and says of which evaluation where there are more", () => {
  const points = [{ ...METHODS[0], kl: 0.5213 }, METHODS[1]];
  const lines = renderLeaderboard(sweepOf(points), { form: "terminal", width: 120 });
  assert.deepEqual(lines.slice(3, 7).map((line) => line.slice(0, 52)), [
    "  point       perplexity     KL  top-1  nominal  sto",
    "────────────  ──────────  ─────  ─────  ───────  ───",
    "* gptq-3           27.73      –      –     3.00    3",
    "  pbs2p-4of8       34.38  0.521   59.7     0.53    3",
  ]);
  const two = [{ label: "a", kl: 0.25, perplexity: { heldout: 30, prose: 40 } }, {
    label: "b",
    perplexity: { heldout: 3, prose: 4 },
  }];
  const head = renderLeaderboard(sweepOf(two), { form: "markdown" }).find((line) => line.startsWith("| point")) ?? "";
  assert.match(head, /\| heldout \| prose \| KL, heldout \| top-1, heldout \| KL, prose \| top-1, prose \| nominal \|/);
  assert.doesNotMatch(renderLeaderboard(sweepOf(METHODS), { form: "markdown" }).join(), /KL|top-1/);
});
