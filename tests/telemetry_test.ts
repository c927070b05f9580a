/** A run with Deno's exporter on, beside a collector that keeps what it is sent. */
import assert from "node:assert/strict";
import { join } from "node:path";
import * as z from "zod";
import { runTask } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

const Span = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().default(""),
  name: z.string(),
  attributes: z.array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) })).default([]),
  status: z.object({ code: z.number().default(0), message: z.string().default("") }).default({ code: 0, message: "" }),
});
type Span = z.infer<typeof Span>;

const Sent = z.object({
  resourceSpans: z.array(z.object({ scopeSpans: z.array(z.object({ spans: z.array(Span) })) })),
});

/** Runs a recipe with the exporter on. @returns its exit code and spans */
async function traced(path: string, folder: string) {
  const spans: Span[] = [];
  const collector = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const body: unknown = await request.json();
    if (new URL(request.url).pathname === "/v1/traces") {
      spans.push(
        ...Sent.parse(body).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
      );
    }
    return Response.json({});
  });
  const env = {
    OTEL_DENO: "true",
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
  };
  const places = ["--cache", join(folder, "cache"), "--runs", join(folder, "runs"), "--device", "cpu"];
  const { code, err } = await runTask("run", [path, ...places], { env });
  await collector.shutdown();
  return { code, err, spans };
}

function valueOf({ attributes }: Span, key: string): unknown {
  return Object.values(attributes.find((each) => each.key === key)?.value ?? {})[0];
}

Deno.test("OpenTelemetry: runs, steps, layers and kernels are spans, each under what asked for it, also in workers", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await writeTinyModel(folder);
    const path = writeTinyRecipe(folder, { name: "tiny", ...tinyRecipe(folder) });
    const { code, err, spans } = await traced(path, folder);
    assert.equal(code, 0, err);
    const [run, ...others] = spans.filter(({ name }) => name === "run");
    assert.equal(others.length, 0);
    assert.equal(valueOf(run, "pbs2p.recipe"), "tiny");
    assert.equal(valueOf(run, "pbs2p.outcome"), "finished");
    const steps = spans.filter(({ name }) => name.startsWith("step "));
    assert.ok(steps.every(({ parentSpanId, traceId }) => parentSpanId === run.spanId && traceId === run.traceId));
    assert.equal(Number(valueOf(run, "pbs2p.steps.run")), steps.length);
    const spbo = steps.find((step) => valueOf(step, "pbs2p.step") === "spbo[0]");
    assert.equal(spbo?.name, "step spbo");
    assert.equal(valueOf(spbo, "pbs2p.why"), "first run");
    const layers = spans.filter(({ name }) => name === "compress layer");
    assert.deepEqual(layers.map((layer) => layer.parentSpanId), layers.map(() => spbo.spanId));
    assert.equal(layers.length, 7);
    assert.ok(layers.every((layer) => Number(valueOf(layer, "pbs2p.error")) > 0));
    const kernels = spans.filter(({ name }) => name.startsWith("kernel ")), ids = spans.map(({ spanId }) => spanId);
    assert.ok(kernels.length > 0);
    assert.ok(kernels.every(({ parentSpanId }) => ids.includes(parentSpanId)));
    assert.ok(!JSON.stringify(spans).includes(folder), "a span holds a path of this machine");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("OpenTelemetry: what fails is marked so, and says why", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await writeTinyModel(folder, { head: Infinity });
    const { code, spans } = await traced(writeTinyRecipe(folder, tinyRecipe(folder)), folder);
    assert.notEqual(code, 0);
    const run = spans.find(({ name }) => name === "run");
    assert.equal(run?.status.code, 2);
    assert.notEqual(run.status.message, "");
    assert.equal(valueOf(run, "pbs2p.outcome"), "failed");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
