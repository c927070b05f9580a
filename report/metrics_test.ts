import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { buildMetrics, Metrics, metricsJsonSchema } from "./metrics.ts";
import { FACTS } from "./metrics_test_support.ts";

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

Deno.test("buildMetrics() refuses numbers that are none", () => {
  const cases = [
    { ...FACTS, perplexity: { heldout: { original: 24, compressed: NaN, tokens: 1 } } },
    { ...FACTS, layerErrors: [{ name: "a", error: Infinity }] },
    { ...FACTS, originalBytes: -1 },
    { ...FACTS, keep: [0] },
  ];
  for (const facts of cases) assert.throws(() => buildMetrics(facts), { name: "ZodError" });
});

Deno.test("metrics.schema.json is the schema's; otherwise write metricsJsonSchema() to it", async () => {
  const committed = await readFile(new URL("./metrics.schema.json", import.meta.url), "utf8");
  assert.equal(committed.replaceAll("\r\n", "\n"), metricsJsonSchema());
});
