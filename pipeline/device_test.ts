import assert from "node:assert/strict";
import { type AdapterFacts, type AdapterSource, chooseDevice, isSoftware } from "./device.ts";

function adapter(description: string, isFallbackAdapter = false, vendor = "4318"): AdapterFacts {
  const info = { description, isFallbackAdapter, vendor, architecture: "", device: "" };
  return { info, limits: { maxStorageBufferBindingSize: 2 ** 31 - 1 } };
}

const found = (facts: AdapterFacts | null): AdapterSource => () => Promise.resolve(facts);
const failing: AdapterSource = () => Promise.reject(new Error("the driver is broken"));
const untouched: AdapterSource = () => assert.fail("no adapter is asked for");

const GPU = adapter("NVIDIA GeForce RTX 4090");

/** Which device, and what its reason says. */
const choices = [
  { wanted: "auto", source: found(GPU), kind: "webgpu", why: /^auto: .* no software was found$/ },
  {
    wanted: "auto",
    source: found(adapter("llvmpipe (LLVM 15.0.6, 256 bits)", true)),
    kind: "cpu",
    why: /llvmpipe.*webgpu/,
  },
  {
    wanted: "auto",
    source: found(adapter("Microsoft Basic Render Driver")),
    kind: "cpu",
    why: /Basic Render.*software/,
  },
  { wanted: "auto", source: found(null), kind: "cpu", why: /^auto: no WebGPU adapter was found$/ },
  { wanted: "auto", source: failing, kind: "cpu", why: /^auto: .*\(the driver is broken\)$/ },
  { wanted: "cpu", source: untouched, kind: "cpu", why: /^asked for with --device cpu$/ },
  { wanted: "webgpu", source: found(GPU), kind: "webgpu", why: /^asked for with --device webgpu$/ },
  { wanted: "webgpu", source: found(adapter("SwiftShader Device (Subzero)", true)), kind: "webgpu", why: /software/ },
] as const;

Deno.test("chooseDevice() takes WebGPU where an adapter is no software or asked for, and says why", async () => {
  for (const { wanted, source, kind, why } of choices) {
    const choice = await chooseDevice(wanted, source);
    assert.equal(choice.kind, kind);
    assert.match(choice.why, why);
    assert.notEqual(choice.name, "");
  }
});

Deno.test("chooseDevice() knows the CPU by its threads and a GPU by its name", async () => {
  assert.match((await chooseDevice("cpu")).name, /\d+ threads$/);
  const gpu = await chooseDevice("auto", found(GPU));
  assert.deepEqual([gpu.name, gpu.bindable], ["NVIDIA GeForce RTX 4090", 2 ** 31 - 1]);
  assert.equal((await chooseDevice("auto", found(adapter("", false, "")))).name, "unnamed adapter");
});

Deno.test("chooseDevice() refuses webgpu without an adapter, with what to do", async () => {
  await assert.rejects(chooseDevice("webgpu", found(null)), /no adapter was found: install a driver .*--device cpu$/);
  await assert.rejects(chooseDevice("webgpu", failing), { name: "InputError", message: /\(the driver is broken\)/ });
});

Deno.test("isSoftware() believes the adapter, and knows the names of software", () => {
  const software = [
    "llvmpipe (LLVM 15.0.6, 256 bits)",
    "SwiftShader Device (Subzero)",
    "Microsoft Basic Render Driver",
  ];
  for (const name of software) assert.ok(isSoftware(adapter(name)), name);
  for (const name of ["NVIDIA H200", "Apple M2", "AMD Radeon RX 7900 XT", "Intel(R) Arc(tm) A770", "Adreno (TM) 740"]) {
    assert.ok(!isSoftware(adapter(name)), name);
    assert.ok(isSoftware(adapter(name, true)), name);
  }
});
