import assert from "node:assert/strict";
import { DOMParser } from "linkedom";
import { placeLabels } from "./place_labels.ts";
import { renderSweepPage } from "./sweep_report.ts";
import { logTicks } from "./sweep_charts.ts";
import { METHODS, sweepOf, type TestPoint } from "./sweep_test_support.ts";

const KEEP = "stages.coarse-search.keep", SEED = "stages.calibrate.seed";

function parse(text: string) {
  return new DOMParser().parseFromString(text, "text/html");
}

/** Eight ratios under two seeds, as Figure 2. */
const FIGURE: readonly TestPoint[] = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((keep) =>
  [0, 1].map((seed) => ({
    label: `keep ${keep}, seed ${seed}`,
    values: { [KEEP]: keep, [SEED]: seed },
    model: 3 + keep / 8,
    perplexity: 25 + 900 / keep ** 3 + seed,
    layerError: 0.3 / keep + seed / 100,
  }))
);

Deno.test("renderSweepPage() has every row, links to reports, and every point without a result with its reason", () => {
  const page = parse(renderSweepPage(sweepOf(METHODS)));
  const rows = (name: string) =>
    [...page.querySelectorAll(`[aria-label="${name}"] tbody tr`)].map((row) =>
      [...row.querySelectorAll("th, td")].map(({ textContent }) => textContent)
    );
  assert.deepEqual(rows("Leaderboard").map((row) => row.slice(0, 5)), [
    ["rtn-1", "Infinity", "1.00", "1.25", "2.40"],
    ["billm", "48.88", "1.11", "2.90", "4.21"],
    ["gptq-3", "27.73", "3.00", "3.15", "4.47"],
    ["pbs2p-4of8", "34.38", "0.53", "3.15", "4.49"],
  ]);
  assert.deepEqual([...page.querySelectorAll(".front")].map(({ textContent }) => textContent), ["billm", "gptq-3"]);
  assert.equal(page.querySelector("table a")?.getAttribute("href"), "runs/d/report.html");
  assert.deepEqual(rows("Points that did not finish"), [
    ["stbllm-9of8", "failed: Cannot keep 9 of 8 weights as there are only 8 (step spbo[3], exit code 5)"],
    ["wanda", "interrupted: the same command goes on"],
    ["sparsegpt", "waiting: not run yet"],
  ]);
});

Deno.test("renderSweepPage() draws the Pareto front twice, for wide and narrow screens, and bits by component", () => {
  const page = parse(renderSweepPage(sweepOf(METHODS)));
  const titles = [...page.querySelectorAll("figure h3")].map(({ textContent }) => textContent);
  assert.deepEqual(titles, ["Perplexity on heldout against bits of the whole file", "Stored bits by component"]);
  for (const place of [".wide", ".narrow"]) {
    const svg = page.querySelector(`${place} svg`);
    assert.equal(svg?.querySelectorAll('g[data-mark="dot"] circle').length, 3, "Infinity is not drawn");
    assert.match(svg?.textContent ?? "", /gptq-3.*uncompressed 24\.90|uncompressed 24\.90.*gptq-3/s);
  }
  assert.match(
    page.querySelector("figcaption")?.textContent ?? "",
    /Not drawn, as their perplexity is no finite number: 1/,
  );
  const swatches = [...page.querySelectorAll(".swatch")].map(({ textContent }) => textContent);
  assert.deepEqual(swatches, ["codes", "scales", "signs", "salient", "segments", "zeros", "mask"]);
});

Deno.test("renderSweepPage() draws perplexity and total error against a numeric axis, with the extremes of repeats", () => {
  const page = parse(renderSweepPage(sweepOf(FIGURE, { repeats: [SEED] })));
  const titles = [...page.querySelectorAll("figure h3")].map(({ textContent }) => textContent);
  assert.deepEqual(titles.slice(1, 3), ["Perplexity on heldout against keep", "Total layer error against keep"]);
  const [, perplexity, error] = [...page.querySelectorAll("figure")];
  for (const chart of [perplexity, error]) {
    assert.equal(chart.querySelectorAll('.narrow g[data-mark="dot"] circle').length, 8);
    assert.equal(chart.querySelectorAll('.narrow g[data-mark="rule"] line').length, 8);
    assert.match(
      chart.querySelector("figcaption")?.textContent ?? "",
      /stages\.coarse-search\.keep; logarithmic scale/,
    );
  }
  // The mean of 0.3 and 0.31 in 42 layers.
  assert.match(error.querySelector("desc")?.textContent ?? "", /^1: 12\.81; 2: 6\.51/);
});

Deno.test("renderSweepPage() draws a line per value of another axis, and none where lines would be dots", () => {
  const points = [1, 2, 3].flatMap((keep) =>
    ["stepwise", "oneshot"].map((schedule) => ({ label: `${keep} ${schedule}`, values: { [KEEP]: keep, schedule } }))
  );
  const lines = parse(renderSweepPage(sweepOf(points)));
  const captions = [...lines.querySelectorAll("figcaption")].map(({ textContent }) => textContent?.trim());
  assert.match(captions[1] ?? "", /schedule stepwise.*schedule oneshot.*stages\.coarse-search\.keep/s);
  const dots = parse(
    renderSweepPage(sweepOf(points.map((point, i) => ({ ...point, values: { [KEEP]: i, name: `${i}` } })))),
  );
  assert.equal(dots.querySelectorAll("figure").length, 2);
});

Deno.test("renderSweepPage() is one file without scripts or requests, shows markup as text, and names every chart", () => {
  const bad = "<img src=x onerror=alert(1)>";
  const points = [...FIGURE, { ...METHODS[4], label: bad, error: bad, values: { [KEEP]: 4, [SEED]: 9 } }];
  const text = renderSweepPage(sweepOf(points, { repeats: [SEED], name: bad }));
  const page = parse(text);
  assert.equal(page.querySelectorAll("script, img, iframe, object, link:not([href='data:,'])").length, 0);
  assert.doesNotMatch(text, /\bsrc="(?!data:)|url\(|@import/);
  assert.equal(page.querySelector("h1")?.textContent, bad);
  const ids = [...page.querySelectorAll("[id]")].map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length, "ids are unique");
  for (const svg of page.querySelectorAll("svg")) {
    for (const id of (svg.getAttribute("aria-labelledby") ?? "").split(" ")) {
      assert.ok((page.getElementById(id)?.textContent ?? "").length > 3, id);
    }
  }
});

Deno.test("renderSweepPage() renders what has nothing yet, one point, and numbers that are all equal or not finite", () => {
  const cases: readonly (readonly TestPoint[])[] = [
    [],
    [{ label: "a", state: "waiting" }],
    [{ label: "a", run: "runs/a" }],
    [{ label: "a", values: { k: 1 } }, { label: "b", values: { k: 2 } }],
    [{ label: "a", perplexity: Infinity }, { label: "b", perplexity: NaN }],
    [{ label: "a", perplexity: {} }],
    [{ label: "a", perplexity: 1e300, values: { k: 1 } }, { label: "b", perplexity: 1, values: { k: 2 } }],
  ];
  for (const points of cases) {
    const page = parse(renderSweepPage(sweepOf(points)));
    for (const { outerHTML } of page.querySelectorAll("svg")) assert.doesNotMatch(outerHTML, /NaN|undefined|Infinity/);
  }
});

Deno.test("placeLabels() lets no label cover another, a dot, or the frame", () => {
  let state = 7;
  const random = (below: number) => (state = Math.imul(state, 1103515245) + 12345 >>> 0) / 2 ** 32 * below;
  const frame = { left: 0, right: 400, top: 0, bottom: 300 };
  for (let round = 0; round < 50; round++) {
    const dots = Array.from({ length: 20 }, (_, i) => ({ text: `label ${i}`, x: random(400), y: random(300) }));
    const placed = placeLabels(dots, { frame, fontSize: 13 });
    const boxes = placed.map(({ text, x, y, anchor }) => {
      const width = text.length * 13 * 0.58;
      const left = anchor === "start" ? x : anchor === "end" ? x - width : x - width / 2;
      return { left, right: left + width, top: y - 6.5, bottom: y + 6.5 };
    });
    assert.ok(placed.length >= 8, `${placed.length} of 20`);
    for (const [i, a] of boxes.entries()) {
      assert.ok(a.left >= 0 && a.right <= 400 && a.top >= 0 && a.bottom <= 300);
      for (const b of boxes.slice(i + 1)) {
        assert.ok(a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top);
      }
      for (const { x, y } of dots) assert.ok(!(x > a.left && x < a.right && y > a.top && y < a.bottom));
    }
  }
});

Deno.test("logTicks() gives few numbers that people count in", () => {
  assert.deepEqual(logTicks([20, 2000]), [20, 50, 100, 200, 500, 1000, 2000]);
  assert.deepEqual(logTicks([25, 52]), [30, 40, 50]);
  assert.deepEqual(logTicks([1, 1e6]), [1, 10, 100, 1000, 1e4, 1e5, 1e6]);
});
