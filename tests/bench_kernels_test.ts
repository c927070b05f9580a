/** `task bench kernels` as it is called. */
import assert from "node:assert/strict";
import { runTask } from "./command_line_test_support.ts";

// A backend that this system has none of: there is no adapter, whatever drivers are installed.
const NO_ADAPTER = { env: { DENO_WEBGPU_BACKEND: Deno.build.os === "darwin" ? "dx12" : "metal" } };

Deno.test("bench kernels measures the CPU where there is no adapter, and says why", async () => {
  const { code, out } = await runTask("bench", ["kernels", "--op", "rank", "--json"], NO_ADAPTER);
  assert.equal(code, 0);
  const { size, devices, absent, goals } = JSON.parse(out);
  assert.equal(size, "quick");
  assert.match(absent, /no adapter was found/);
  assert.deepEqual(goals, []);
  assert.deepEqual(devices.map(({ kind }: { kind: string }) => kind), ["cpu"]);
  const rows: readonly { readonly op: string; readonly ofLimit: number; readonly ofMatMul?: number }[] =
    devices[0].rows;
  assert.deepEqual(rows.map(({ op }) => op), ["gemm", "copy", "copy", "rank"]);
  assert.ok(rows.every(({ ofLimit }) => ofLimit > 0 && ofLimit <= 1));
  assert.ok(rows[0].ofMatMul);
});

Deno.test("bench kernels --device webgpu ends with 3 where there is no adapter, an unknown operation with 2", async () => {
  const missing = await runTask("bench", ["kernels", "--device", "webgpu"], NO_ADAPTER);
  assert.deepEqual([missing.code, missing.out], [3, ""]);
  assert.match(missing.err, /no adapter was found/);
  const unknown = await runTask("bench", ["kernels", "--op", "rnak"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /Cannot measure operation "rnak": did you mean rank\?/);
});
