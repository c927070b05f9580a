import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../checkpoints/open.ts";
import { modelSpec } from "./config.ts";
import { openForward } from "./forward.ts";
import {
  chooseProvider,
  type KernelDevice,
  largestArray,
  openProviderProbes,
  type ProbeResult,
  problemWith,
  type Provider,
  type ProviderProbes,
} from "./provider.ts";
import { readTensors } from "../checkpoints/read_tensors.ts";
import { headShapes } from "./tensors.ts";

const CPU: KernelDevice = { kind: "cpu", software: false };
const GPU: KernelDevice = { kind: "webgpu", software: false };
const SOFTWARE: KernelDevice = { kind: "webgpu", software: true };

/** Probes with given results; providers without one are not part of the build. */
function probes(
  results: Readonly<Partial<Record<Provider, ProbeResult>>>,
): ProviderProbes & { readonly tried: string[] } {
  const tried: string[] = [];
  return {
    tried,
    listed: () => Promise.resolve(["cpu", ...Object.keys(results)]),
    probe: (provider) => (tried.push(provider), Promise.resolve(results[provider] ?? assert.fail(provider))),
    close: () => Promise.resolve(),
  };
}

const right = { difference: 1e-6 };
const coarse = { difference: 4e-4 };
const closed = { failure: "Failed to load shared library" };

const choices = [
  { device: CPU, results: { webgpu: right }, provider: "cpu", why: /kernels run on the CPU/, tried: [] },
  { device: SOFTWARE, results: { webgpu: right }, provider: "cpu", why: /software/, tried: [] },
  {
    device: GPU,
    results: { cuda: right, webgpu: right },
    provider: "webgpu",
    why: /^auto: it opens/,
    tried: ["webgpu"],
  },
  {
    ...{ device: GPU, results: { webgpu: coarse, cuda: right }, provider: "cuda" },
    ...{ why: /before it, webgpu: its results are off by 0\.00040/, tried: ["webgpu", "cuda"] },
  },
  {
    device: GPU,
    results: { webgpu: closed, dml: right },
    provider: "dml",
    why: /shared library/,
    tried: ["webgpu", "dml"],
  },
  {
    device: GPU,
    results: { webgpu: closed, cuda: coarse },
    provider: "cpu",
    why: /webgpu: .*; cuda: .*TF32/,
    tried: ["webgpu", "cuda"],
  },
  { device: GPU, results: {}, provider: "cpu", why: /no other/, tried: [] },
] as const;

Deno.test("chooseProvider() follows a GPU to the first provider that opens and is right, and says why", async () => {
  for (const { device, results, provider, why, tried } of choices) {
    const trying = probes(results);
    const choice = await chooseProvider("auto", { device, probes: trying });
    assert.equal(choice.provider, provider);
    assert.match(choice.why, why);
    assert.deepEqual(trying.tried, tried);
  }
});

Deno.test("chooseProvider() takes the one asked for or refuses, and never another", async () => {
  const asked = await chooseProvider("cuda", { device: CPU, probes: probes({ cuda: right }) });
  assert.deepEqual(asked, { provider: "cuda", why: "asked for with --forward cuda" });
  assert.equal((await chooseProvider("cpu", { device: GPU, probes: probes({}) })).provider, "cpu");
  const refused = { cuda: closed, webgpu: { difference: Infinity } };
  for (
    const [wanted, message] of [["cuda", /shared library/], ["webgpu", /Infinity/], [
      "dml",
      /no such provider/,
    ]] as const
  ) {
    await assert.rejects(chooseProvider(wanted, { device: GPU, probes: probes(refused) }), {
      name: "InputError",
      message,
    });
  }
});

Deno.test("chooseProvider() leaves webgpu where a binding cannot hold the model's largest array", async () => {
  const spec = modelSpec({
    ...{ model_type: "llama", hidden_size: 64, intermediate_size: 128, vocab_size: 1000 },
    ...{ num_hidden_layers: 1, num_attention_heads: 2 },
  });
  assert.equal(largestArray(spec, 8), 4 * 64 * 1000);
  const scores = largestArray(spec, 512);
  assert.equal(scores, 4 * spec.heads * 512 * 512);
  const scene = { probes: probes({ webgpu: right, dml: right }), largest: scores };
  const small = { ...scene, device: { ...GPU, bindable: scores - 1 } };
  const { provider, why } = await chooseProvider("auto", small);
  assert.equal(provider, "dml");
  assert.match(why, new RegExp(`has ${scores} bytes, and the adapter binds ${scores - 1} at most`));
  await assert.rejects(chooseProvider("webgpu", small), /largest array/);
  const enough = { ...scene, device: { ...GPU, bindable: scores } };
  assert.equal((await chooseProvider("auto", enough)).provider, "webgpu");
});

for (const [name, folder] of [["llama", "../configs/models/tiny-llama"], ["opt", "../tests/fixtures/tiny-opt"]]) {
  Deno.test(`openProviderProbes() finds the cpu right, and says of what is missing that it is: ${name}`, async () => {
    const checkpoint = await openCheckpoint({ path: fileURLToPath(new URL(folder, import.meta.url)) });
    const trying = openProviderProbes(modelSpec(checkpoint.config));
    try {
      const listed = await trying.listed();
      assert.ok(listed.includes("cpu"));
      assert.deepEqual(await trying.probe("cpu"), { difference: 0 });
      // No build has both of these.
      const missing = listed.includes("coreml") ? "dml" : "coreml";
      assert.match(await problemWith(missing, trying) ?? "", /no such provider \(it has cpu/);
      const result = await trying.probe(missing);
      assert.ok("failure" in result && !/[\n]|\.cc:/.test(result.failure), JSON.stringify(result));
    } finally {
      await trying.close();
      checkpoint.close();
    }
  });
}

Deno.test("openForward() names a provider that fails, and how to do without it", async () => {
  const checkpoint = await openCheckpoint({
    path: fileURLToPath(new URL("../configs/models/tiny-llama", import.meta.url)),
  });
  const spec = modelSpec(checkpoint.config);
  // Of the two no machine has both.
  const provider = Deno.build.os === "darwin" ? "dml" : "coreml";
  const forward = await openForward(spec, { threads: 1, provider });
  try {
    const weights = await readTensors(checkpoint, headShapes(spec));
    const message = new RegExp(`onnxruntime's ${provider} provider failed: .*; --forward cpu computes .* on the CPU$`);
    await assert.rejects(forward.logits(weights, new Float32Array(spec.hidden)), { message });
  } finally {
    await forward.close();
    checkpoint.close();
  }
});
