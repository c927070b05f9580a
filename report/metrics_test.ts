import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { buildMetrics, componentsOf, Metrics, metricsJsonSchema, renderMetrics } from "./metrics.ts";
import { DIVERGENCE, FACTS, SCALED_SIGNS } from "./metrics_test_support.ts";

Deno.test("buildMetrics() makes what its own schema accepts, and only what DESIGN names", () => {
  const metrics = buildMetrics(FACTS);
  assert.deepEqual(Metrics.parse(JSON.parse(JSON.stringify(metrics))), metrics);
  assert.deepEqual(Object.keys(metrics), [
    "run",
    "method",
    "model",
    "device",
    "perplexity",
    "tasks",
    "keep",
    "of",
    "group_size",
    "formats",
    "layer_error",
    "bits",
    "bytes",
    "seconds",
    "peak_memory_bytes",
    "steps",
  ]);
  const mean = FACTS.layerErrors.reduce((sum, { error }) => sum + error, 0) / 42;
  assert.ok(Math.abs(metrics.layer_error.mean - mean) < 1e-15);
  assert.equal(metrics.layer_error.layers.length, 42);
});

Deno.test("buildMetrics() refuses numbers that are none, in one sentence that names the first", () => {
  const cases = [
    { facts: { layerErrors: [{ name: "a", error: Infinity }] }, named: /layer_error\.mean/ },
    { facts: { layerErrors: [{ name: "a", error: -0.01 }] }, named: /layer_error\.mean/ },
    { facts: { perplexity: { heldout: { original: -1, compressed: 2, tokens: 1 } } }, named: /perplexity\.heldout/ },
    { facts: { originalBytes: -1 }, named: /bytes\.original/ },
    { facts: { keep: [0] }, named: /keep\.0/ },
  ];
  for (const { facts, named } of cases) {
    assert.throws(() => buildMetrics({ ...FACTS, ...facts }), (error: Error & { code?: string }) => {
      assert.equal(error.code, "STEP");
      assert.match(error.message, named);
      assert.match(error.message, /^Cannot write metrics\.json of run [^{}\n]*folder all the same$/);
      return true;
    });
  }
});

Deno.test("buildMetrics() takes a layer's error a little below zero, as rounding leaves it, for zero", () => {
  const { layer_error: error } = buildMetrics({ ...FACTS, layerErrors: [{ name: "a", error: -1e-9 }] });
  assert.deepEqual(error, { mean: 0, total: 0, layers: [{ name: "a", error: 0 }] });
});

Deno.test("renderMetrics() says perplexities that are not finite in words, and Metrics reads them", () => {
  const of = (original: number, compressed: number) => ({ original, compressed, tokens: 9 });
  const metrics = buildMetrics({ ...FACTS, perplexity: { large: of(24, Infinity), none: of(NaN, NaN) } });
  const text = renderMetrics(metrics);
  assert.deepEqual(JSON.parse(text).perplexity, {
    large: { original: 24, compressed: "Infinity", tokens: 9 },
    none: { original: "NaN", compressed: "NaN", tokens: 9 },
  });
  assert.deepEqual(Metrics.parse(JSON.parse(text)), metrics);
  for (const wrong of [null, "infinity", -1]) {
    const perplexity = { large: { original: 24, compressed: wrong, tokens: 9 } };
    assert.throws(() => Metrics.parse({ ...JSON.parse(text), perplexity }), { name: "ZodError" });
  }
});

Deno.test("buildMetrics() takes any components, and leaves out what a method has not", () => {
  const { keep: _keep, ...facts } = FACTS;
  const metrics = buildMetrics({ ...facts, packed: SCALED_SIGNS });
  for (const name of ["keep", "of", "group_size"]) assert.ok(!(name in metrics), name);
  assert.deepEqual(metrics.bits, {
    nominal: 1,
    stored: { signs: 1, scales: 0.125, total: 1.125 },
    model: 3,
    formulas: { nominal: "1" },
    labels: { signs: "signs", scales: "scales, one a row" },
  });
  assert.deepEqual(Object.keys(metrics.bits.stored), ["signs", "scales", "total"]);
  assert.deepEqual(Metrics.parse(JSON.parse(JSON.stringify(metrics))), metrics);
  const { total: _total, ...partial } = metrics.bits.stored;
  assert.throws(() => Metrics.parse({ ...metrics, bits: { ...metrics.bits, stored: partial } }), { name: "ZodError" });
});

Deno.test("Metrics reads metrics.json of a run before formats had names", () => {
  const old = {
    run: "20260101-000000000-abcdef-quickstart",
    method: "pbs2p",
    model: "tiny-llama",
    device: { kind: "cpu", name: "2 threads" },
    perplexity: { heldout: { original: 24.898, compressed: 34.381, tokens: 51000 } },
    tasks: {},
    keep: [5, 4, 3, 3, 4, 5],
    layer_error: { mean: 0.0628, layers: [{ name: "model.layers.0.self_attn.q_proj", error: 0.0628 }] },
    bits: {
      nominal: 0.52583,
      stored: { mask: 0.74316, signs: 0.53052, segments: 0.74795, scales: 1.125, total: 3.1466 },
      model: 4.4944,
    },
    bytes: { packed: 2947332, original: 10498408 },
    seconds: { total: 35.888, stages: { calibrate: 10.944 } },
    peak_memory_bytes: 679505920,
    steps: { run: 40, cached: 0 },
  };
  const metrics = Metrics.parse(old);
  assert.equal(JSON.stringify(metrics), JSON.stringify(old));
  assert.deepEqual(componentsOf(metrics).map(({ name, label }) => [name, label]), [
    ["mask", "mask"],
    ["signs", "signs"],
    ["segments", "segments"],
    ["scales", "scales"],
  ]);
});

Deno.test("metrics.schema.json is the schema's; otherwise write metricsJsonSchema() to it", async () => {
  const committed = await readFile(new URL("./metrics.schema.json", import.meta.url), "utf8");
  assert.equal(committed.replaceAll("\r\n", "\n"), metricsJsonSchema());
});

Deno.test("Metrics take divergences as they are written now and as runs before had them, and none that cannot be", () => {
  const { histogram: _histogram, context: _context, mean_change: _change, mean_change_error: _error, ...old } =
    DIVERGENCE;
  const of = (divergence: object) => {
    const metrics = JSON.parse(JSON.stringify(buildMetrics(FACTS)));
    metrics.perplexity.heldout = { ...metrics.perplexity.heldout, divergence, block_errors: [0.1, 0.2] };
    return Metrics.safeParse(metrics).success;
  };
  assert.ok(of(DIVERGENCE) && of(old));
  for (
    const wrong of [{ same_top: 1.1 }, { mean_change: -1.5 }, { kl: { ...DIVERGENCE.kl, mean: -1 } }, { more: 1 }, {
      tokens: 0.5,
    }]
  ) {
    assert.ok(!of({ ...DIVERGENCE, ...wrong }), JSON.stringify(wrong));
  }
});
