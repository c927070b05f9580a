import assert from "node:assert/strict";
import { gpuTunedGemm, gpuTunedSyrk, tuneGemm, tuningKey } from "./gemm_tuning_webgpu.ts";
import { matrix } from "../device.ts";
import { directGemm } from "./gemm_wgsl.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

gpuTest("tuneGemm() times an adapter once, and again where the store holds something else", async (context) => {
  const stored = new Map<string, unknown>();
  const written: string[] = [];
  const store = {
    get: (key: string) => stored.get(key),
    set(key: string, value: unknown) {
      written.push(key);
      // As a file gives it back.
      stored.set(key, JSON.parse(JSON.stringify(value)));
    },
  };
  const first = await tuneGemm(context, store);
  assert.equal(written.length, 1);
  for (const { op, variant, gflops = 0 } of first.choices) assert.ok(gflops > 0, `${op}: ${variant}`);

  const again = await tuneGemm(context, store);
  assert.deepEqual(again.choices, first.choices);
  assert.equal(written.length, 1, "nothing is timed again");

  // The fastest of what is remembered is taken, whatever is fastest now.
  const [key] = written, rates = stored.get(key) as Record<string, Record<string, number>>;
  const names = Object.keys(rates.wide);
  stored.set(key, { ...rates, wide: Object.fromEntries(names.map((name, i) => [name, i + 1])) });
  assert.equal((await tuneGemm(context, store)).wide.name, names.at(-1));

  stored.set(key, { wide: rates.wide, narrow: { [names[0]]: "fast" } });
  const { download } = context;
  context.download = () => {
    context.download = download;
    return Promise.reject(new Error("This driver cannot compile it"));
  };
  const last = await tuneGemm(context, store);
  assert.equal(written.length, 2, "foreign content is replaced");
  assert.notEqual(last.wide.name, names[0], "what fails is not chosen");
  assert.equal((stored.get(key) as typeof rates).wide[names[0]], 0);

  stored.clear();
  context.download = () => Promise.reject(new Error("The device was lost"));
  await assert.rejects(tuneGemm(context, store), /lost/);
  assert.equal(stored.size, 0);
});

gpuTest("tuneGemm() without a store times nothing", async (context) => {
  const { wide, narrow, choices } = await tuneGemm(context);
  assert.equal(wide, narrow);
  assert.deepEqual(choices, [{ op: "gemm", variant: wide.name }]);
  assert.equal(context.dispatches, 0);
});

Deno.test("tuningKey() changes with the adapter and with the shaders", () => {
  const adapter = { vendor: "4318", architecture: "", device: "7", description: "a GPU" };
  const variants = [directGemm(8, 8, 64)], key = tuningKey(adapter, variants);
  assert.equal(tuningKey({ ...adapter }, [directGemm(8, 8, 64)]), key);
  for (const name of ["vendor", "architecture", "device", "description"] as const) {
    assert.notEqual(tuningKey({ ...adapter, [name]: "other" }, variants), key);
  }
  assert.notEqual(tuningKey(adapter, [directGemm(8, 8, 32)]), key);
});

gpuTest("gpuTunedGemm() and gpuTunedSyrk() refuse a context for which nothing was chosen", async (context) => {
  const a = matrix(context.upload("f32", Float32Array.of(1, 2, 3, 4)), 2, 2),
    out = matrix(context.scratch("f32", 4), 2, 2);
  assert.throws(() => gpuTunedGemm(context, out, a, a), /call tuneGemm\(\) first/);
  assert.throws(() => gpuTunedSyrk(context, out, a), /call tuneGemm\(\) first/);
  await tuneGemm(context);
  gpuTunedGemm(context, out, a, a);
  assert.deepEqual([...(await context.download([out.buffer]))[0]], [7, 10, 15, 22]);
});
