import assert from "node:assert/strict";
import { DOMParser } from "linkedom";
import { buildMetrics, type Metrics, type ResultFacts } from "./metrics.ts";
import { DIVERGENCE, EVENTS, FACTS, RECIPE, SCALED_SIGNS } from "./metrics_test_support.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";
import { renderReport } from "./report.ts";

const LOCK = 'version: 1\nmodel: "<b>&amp;"\n';
const ARC = { acc: 0.601, acc_stderr: 0.01, acc_norm: 0.587, acc_norm_stderr: 0.012 };
const TASKS = {
  arc_easy: { ...ARC, acc: 0.512, acc_norm: 0.498, original: ARC, items: 2376, cut: 3 },
  rte: { acc: 0.5, acc_stderr: 0.03, original: { acc: 0.6, acc_stderr: 0.03 }, items: 277, cut: 0 },
};

function render(metrics: Metrics): string {
  return renderReport({ metrics, recipe: RECIPE, lock: LOCK, events: EVENTS, environment: { Deno: "2.9.6" } });
}

function parse(text: string) {
  return new DOMParser().parseFromString(text, "text/html");
}

/** The page as phones show it: charts are drawn once, not for wide cards too. */
function parseNarrow(text: string) {
  const page = parse(text);
  for (const drawing of page.querySelectorAll(".wide")) drawing.remove();
  return page;
}

/** Every number of a JSON value. */
function numbersOf(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(numbersOf) : [];
}

Deno.test("renderReport() shows numbers of metrics.json only, each as its value reads", () => {
  const metrics = buildMetrics({ ...FACTS, tasks: TASKS });
  const known = new Set(numbersOf(metrics));
  for (const { error } of metrics.layer_error.layers) assert.ok(known.has(error));
  const page = parse(render(metrics));
  const seen = new Set<number>();
  for (const element of page.querySelectorAll("data")) {
    const value = Number(element.getAttribute("value"));
    assert.ok(known.has(value), `${value} is not in metrics.json`);
    const texts = [formatNumber, formatBits, formatBytes, formatSeconds, (x: number) => (100 * x).toFixed(1)].map((f) =>
      f(value)
    );
    assert.ok(texts.includes(element.textContent ?? ""), `${element.textContent} for ${value}`);
    seen.add(value);
  }
  const timed = new Set(Object.values(metrics.seconds.stages));
  for (const value of known) assert.ok(seen.has(value) || timed.has(value), `${value} is not on the page`);
});

Deno.test("renderReport() labels its charts with numbers of metrics.json", () => {
  const metrics = buildMetrics(FACTS);
  const texts = new Set(numbersOf(metrics).flatMap((x) => [formatNumber(x), formatBits(x), formatSeconds(x)]));
  const page = parseNarrow(render(metrics));
  const labels = [...page.querySelectorAll('svg g[data-mark="text"] text')].map(({ textContent }) => textContent ?? "");
  const numbers = labels.filter((label) => /^\d/.test(label));
  assert.equal(numbers.length, 2 + 2 + 7, "perplexities, totals of bits, stages");
  for (const label of numbers) assert.ok(texts.has(label), label);
  assert.equal(page.querySelectorAll('svg g[data-mark="cell"] rect').length, 42);
});

Deno.test("renderReport() gives every chart a name, a description and a caption", () => {
  const page = parse(render(buildMetrics(FACTS)));
  const ids = [...page.querySelectorAll("[id]")].map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  const charts = [...page.querySelectorAll("figure")];
  assert.equal(charts.length, 5);
  for (const chart of charts) {
    const drawings = [...chart.querySelectorAll("svg")];
    assert.ok(drawings.length > 0);
    for (const svg of drawings) {
      assert.equal(svg.getAttribute("role"), "img");
      for (const id of (svg.getAttribute("aria-labelledby") ?? "").split(" ")) {
        assert.ok((page.getElementById(id)?.textContent ?? "").length > 3, id);
      }
    }
    assert.ok((chart.querySelector("figcaption")?.textContent ?? "").length > 10);
  }
});

Deno.test("renderReport() is one file without scripts or requests, and shows markup as text", () => {
  const text = render(buildMetrics({ ...FACTS, model: "<img src=x onerror=alert(1)>" }));
  const page = parse(text);
  assert.equal(page.querySelectorAll("script, img, iframe, object, link:not([href='data:,'])").length, 0);
  assert.doesNotMatch(text, /\b(src|href)="(?!data:|#)|url\(|@import/);
  assert.equal(page.querySelector("h1")?.textContent, "<img src=x onerror=alert(1)>");
  assert.equal(page.querySelector("pre")?.textContent, LOCK);
  assert.equal(page.querySelector("main li")?.textContent, "Stored as F16: <script>alert(1)</script>");
});

Deno.test("renderReport() lists its sections, each with a link that leads to it", () => {
  const page = parse(render(buildMetrics({ ...FACTS, tasks: TASKS })));
  const sections = [...page.querySelectorAll("main > section")].map(({ id }) => `#${id}`);
  for (const contents of page.querySelectorAll("nav.contents")) {
    assert.deepEqual([...contents.querySelectorAll("a")].map((link) => link.getAttribute("href")), sections);
  }
  assert.deepEqual(sections.slice(0, 6), [
    "#result",
    "#warnings",
    "#charts",
    "#perplexity",
    "#tasks",
    "#bits-per-weight",
  ]);
  assert.equal(page.querySelector(".skip")?.getAttribute("href"), "#main");
});

Deno.test("renderReport() explains bits by what is stored, whatever the format", () => {
  const explain = (packed: ResultFacts["packed"]) =>
    parse(render(buildMetrics({ ...FACTS, packed }))).querySelector("#bits-per-weight p")?.textContent ?? "";
  assert.match(explain(FACTS.packed), /decoding needs: mask, signs, segments and scales\./);
  assert.match(explain(SCALED_SIGNS), /decoding needs: signs and scales\./);
  assert.doesNotMatch(explain(SCALED_SIGNS), /kept|mask/);
});

Deno.test("renderReport() says why steps ran, and whether expectations are met", () => {
  const text = parse(render(buildMetrics(FACTS))).body.textContent ?? "";
  assert.match(text, /stages\.spbo\.iterations 15 → 20, a\.yaml line 7/);
  assert.match(text, /36\.50 ± 3 %, met/);
  const worse = { ...FACTS, perplexity: { heldout: { original: 24, compressed: 99, tokens: 5 } } };
  assert.match(parse(render(buildMetrics(worse))).body.textContent ?? "", /36\.50 ± 3 %, not met/);
});

Deno.test("renderReport() shows any format's components, and nothing of what a method has not", () => {
  const { keep: _keep, ...facts } = FACTS;
  const page = parse(render(buildMetrics({ ...facts, packed: SCALED_SIGNS })));
  assert.equal(page.querySelectorAll("figure").length, 4, "there is no chart of kept weights");
  const swatches = [...page.querySelectorAll(".swatch")].map(({ textContent }) => textContent);
  assert.deepEqual(swatches, ["signs 1.00", "scales 0.13"]);
  const rows = [...page.querySelectorAll('[aria-label="Bits per weight"] tbody tr')].map((row) =>
    [...row.querySelectorAll("th, td")].map(({ textContent }) => textContent)
  );
  assert.deepEqual(rows, [
    ["Signs", "1.00"],
    ["Scales, one a row", "0.13"],
    ["Stored, compressed layers", "1.13"],
    ["Stored, whole model", "3.00"],
    ["Nominal, 1", "1.00"],
  ]);
  const heads = [...page.querySelectorAll('[aria-label="Error by block and kind"] thead th')];
  assert.deepEqual(heads.slice(0, 2).map(({ textContent }) => textContent), ["Block", "q_proj"]);
});

Deno.test("renderReport() shows bits that layers were given, in a chart and by block, and what they were worth", () => {
  const { keep: _keep, ...facts } = FACTS;
  const layers = facts.layerErrors.map(({ name }, i) => ({ name, bits: 1.5 + (i % 7) / 5 }));
  const allocation = { mean: 2.1, blocks: [2.25, 2, 2, 2, 2, 2.35], layers };
  const page = parse(render(buildMetrics({
    ...{ ...facts, packed: SCALED_SIGNS },
    allocation: { ...allocation, check: { uniform: 0.285, allocated: 0.212, kept: true } },
  })));
  const chart = [...page.querySelectorAll("figure")].find((each) => each.textContent?.includes("Bits per layer"));
  assert.match(
    chart?.textContent ?? "",
    /the more stored bits a weight: 1\.50 to 2\.70/,
  );
  assert.match(
    page.querySelector("#bits-by-layer")?.textContent ?? "",
    /1\.50 to 2\.70 .*, mean 2\.10\. Kept: .* 0\.212 nats .* 0\.285 with the same for all/,
  );
  const given = [...page.querySelectorAll('[aria-label="Bits by block and kind"] tbody tr')].map(({ children }) =>
    [...children].slice(0, 4).map(({ textContent }) => textContent)
  );
  assert.deepEqual([given.length, given[0]], [6, ["0", "2.25", "1.50", "1.70"]]);
  const table = page.querySelector('[aria-label="Error by block and kind"]');
  const heads = [...(table?.querySelectorAll("thead th") ?? [])].map(({ textContent }) => textContent);
  assert.deepEqual(heads.slice(0, 3), ["Block", "Bits", "q_proj"]);
  const means = [...(table?.querySelectorAll("tbody tr") ?? [])].map((row) => row.querySelector("td")?.textContent);
  assert.deepEqual(means, ["2.25", "2.00", "2.00", "2.00", "2.00", "2.35"]);
  const unchecked = render(buildMetrics({ ...facts, packed: SCALED_SIGNS, allocation }));
  assert.doesNotMatch(parse(unchecked).body.textContent ?? "", /held out/);
});

Deno.test("renderReport() renders a result that has nothing yet", () => {
  const empty = { ...FACTS, perplexity: {}, keep: [], layerErrors: [], seconds: { total: 0, stages: {} } };
  const page = parse(renderReport({
    metrics: buildMetrics(empty),
    recipe: RECIPE,
    lock: "",
    events: [],
    environment: {},
  }));
  assert.equal(page.querySelectorAll("figure").length, 1);
  assert.doesNotMatch(page.body.textContent ?? "", /NaN|undefined|Infinity/);
});

Deno.test("renderReport() says how far layers moved towards the original model's outputs, and nothing of it where they did not", () => {
  const propagation = FACTS.layerErrors.map(({ name }, i) => ({
    name,
    share: i / 100,
    damping: i % 2 === 0 ? 1 : 0.1,
  }));
  const metrics = buildMetrics({ ...FACTS, propagation });
  assert.ok(Math.abs((metrics.propagation?.mean ?? NaN) - 0.205) < 1e-12);
  const page = parse(render(metrics));
  assert.match(page.body.textContent ?? "", /Here p 0 to 0\.41, mean 0\.2, damping 0\.1 in 21, 1 in 21 of 42 layers\./);
  const rows = [...page.querySelectorAll('[aria-label="How far every layer moved"] tbody tr')];
  assert.equal(rows.length, 42);
  assert.match(rows[1].textContent ?? "", /layers\.0\.self_attn\.k_proj0\.0100?0?\.100/);
  assert.doesNotMatch(parse(render(buildMetrics(FACTS))).body.textContent ?? "", /moved/);
});

Deno.test("renderReport() shows errors on samples and on windows held out side by side, and says whether more text would help", () => {
  const heldOut = (factor: number) => FACTS.layerErrors.map((layer) => ({ ...layer, heldOut: factor * layer.error }));
  const metrics = buildMetrics({ ...FACTS, layerErrors: heldOut(1.5) });
  assert.ok(Math.abs((metrics.layer_error.held_out?.mean ?? NaN) / metrics.layer_error.mean - 1.5) < 1e-12);
  const page = parse(render(metrics));
  assert.match(
    page.body.textContent ?? "",
    /is 50 % larger, .* more calibration text would help: raise stages\.calibrate\.samples\./,
  );
  const charts = [...page.querySelectorAll("figure")].filter((each) =>
    each.querySelector("h3")?.textContent?.startsWith("Held-out error by ")
  );
  const bars = charts.map((chart) =>
    chart.querySelectorAll('.narrow g[data-mark="bar"] rect, .drawn > svg g[data-mark="bar"] rect').length
  );
  assert.deepEqual(bars, [2 * 6, 2 * 7], "two a block, two a kind");
  const rows = [...page.querySelectorAll('[aria-label="Error on windows held out"] tbody tr')];
  const cells = rows.map((row) => [...row.children].map(({ textContent }) => textContent));
  assert.deepEqual([cells.length, cells[0]], [43, ["Mean", "0.0789", "0.118", "1.50"]]);
  assert.match(
    parse(render(buildMetrics({ ...FACTS, layerErrors: heldOut(1.04) }))).body.textContent ?? "",
    /4 % larger: more calibration text would help little/,
  );
  assert.doesNotMatch(parse(render(buildMetrics(FACTS))).body.textContent ?? "", /held out/);
});

Deno.test("renderReport() draws what the journal alone says: redundancy of blocks, memory over time", () => {
  const [started, ...rest] = EVENTS;
  const measured = {
    at: 3,
    type: "step-measured",
    step: "x",
    values: { measured: [-0.0141, 0.9107, 0.9263] },
  } as const;
  const steps = Array.from({ length: 1000 }, (_, i) => ({
    ...{ at: started.at + 1000 * i, type: "step-finished", step: "spbo[0]", seconds: 1, stages: {}, bytes: 1 } as const,
    memory: (i === 700 ? 900 : 500) * 2 ** 20,
  }));
  const events = [started, measured, ...steps, ...rest];
  const content = { recipe: RECIPE, lock: LOCK, environment: {} };
  const page = parseNarrow(renderReport({ ...content, metrics: buildMetrics(FACTS), events }));
  const figures = [...page.querySelectorAll("figure")];
  const titled = (title: string) => figures.find((each) => each.querySelector("h3")?.textContent === title);
  assert.equal(titled("Redundancy per block")?.querySelectorAll('g[data-mark="bar"] rect').length, 3);
  const memory = titled("Memory");
  assert.match(memory?.textContent ?? "", /at most 900\.0 MiB/);
  const ticks = [...memory?.querySelectorAll('g[data-mark="x-axis tick label"] text') ?? []].map(({ textContent }) =>
    textContent
  );
  assert.deepEqual(ticks, ["0 min", "5 min", "10 min", "15 min"]);
  const line = memory?.querySelector('g[data-mark="line"] path')?.getAttribute("d") ?? "";
  const points = line.split("L").length;
  assert.ok(points > 200 && points < 700, `a line of ${points} points for 1000 steps`);
});

Deno.test("renderReport() draws a thousand blocks in as many columns as a screen has room for, with the worst of each", () => {
  const layerErrors = Array.from({ length: 2000 }, (_, i) => ({
    name: `model.layers.${i >> 1}.mlp.${["up_proj", "down_proj"][i % 2]}`,
    error: i === 1777 ? 0.9 : 0.1,
  }));
  const page = parseNarrow(render(buildMetrics({ ...FACTS, keep: Array<number>(1000).fill(4), layerErrors })));
  const cells = [...page.querySelectorAll('svg g[data-mark="cell"] rect')];
  assert.ok(cells.length <= 2 * 160 && cells.length >= 2 * 120, `${cells.length}`);
  assert.ok(cells.some((cell) => cell.querySelector("title")?.textContent === "model.layers.888.mlp.down_proj: 0.900"));
  assert.match(page.body.textContent ?? "", /2000 layers in 1000 blocks; the largest error is 0\.900/);
});

Deno.test("renderReport() shows how far next tokens are from the original's: charts by text, tables with every number", () => {
  const heldout = {
    ...FACTS.perplexity.heldout,
    divergence: DIVERGENCE,
    block_errors: [0.11, 0.23, 0.31, 0.37, 0.41, 0.43],
  };
  const { histogram: _histogram, context: _context, mean_change: _change, mean_change_error: _error, ...old } =
    DIVERGENCE;
  const metrics = buildMetrics({
    ...FACTS,
    perplexity: { heldout, prose: heldout, old: { ...heldout, divergence: old } },
  });
  const page = parse(render(metrics));
  const seen = new Set([...page.querySelectorAll("data")].map((element) => Number(element.getAttribute("value"))));
  for (const value of numbersOf([DIVERGENCE, heldout.block_errors])) {
    assert.ok(seen.has(value), `${value} is not on the page`);
  }
  const titles = [...page.querySelectorAll("figure figcaption, figure h3")].map(({ textContent }) => textContent ?? "")
    .join("\n");
  for (
    const title of [
      "KL divergence of tokens, heldout",
      "KL divergence by context, prose",
      "Error after each block, old",
    ]
  ) {
    assert.ok(titles.includes(title), `${title} in ${titles}`);
  }
  assert.ok(!titles.includes("KL divergence of tokens, old"), "runs before kept no histogram");
  const bars = parseNarrow(render(metrics)).querySelectorAll('svg g[data-mark="rect"] rect');
  assert.equal(bars.length, 2 * DIVERGENCE.histogram!.length);
  const ids = [...page.querySelectorAll("[id]")].map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
});
