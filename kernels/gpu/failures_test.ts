/** Failures that only a GPU has, provoked underneath a context: they name the kernels, and what can be done. */
import assert from "node:assert/strict";
import { matrix } from "../device_buffer.ts";
import { openWebGpuDevice } from "../webgpu.ts";
import { type GpuContextOptions, openGpuContext, type WebGpuContext } from "./context.ts";
import { gpuTest, withGpu } from "./webgpu_test_support.ts";
import { gemm, power } from "../matrix/ops.ts";

const CODE = `
  @group(0) @binding(0) var<storage, read_write> x: array<f32>;
  @compute @workgroup_size(1) fn main() { x[0] += 1.0; }`;

/** Runs kernels of these names in turn, `times` each; of the one called "broken" the memory is gone. */
async function runBroken(names: readonly string[], times: number, options: GpuContextOptions = {}): Promise<string> {
  const create = GPUDevice.prototype.createBuffer, buffers: GPUBuffer[] = [];
  const context = await openGpuContext(options);
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = create.call(this, descriptor);
    buffers.push(buffer);
    return buffer;
  };
  try {
    const broken = context.upload("f32", new Float32Array(4)), whole = context.upload("f32", new Float32Array(4));
    for (const name of names) {
      const buffer = name === "broken" ? broken : whole;
      if (name === "broken") buffers[0].destroy();
      for (let i = 0; i < times; i++) context.run({ name, code: CODE }, [{ buffer, access: "read_write" }], [], [1]);
    }
    return await messageOf(context.download([]));
  } finally {
    GPUDevice.prototype.createBuffer = create;
    context.destroy();
  }
}

async function messageOf(failing: Promise<unknown>): Promise<string> {
  try {
    await failing;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return assert.fail("It did not fail");
}

gpuTest("an error names the kernels of its batch, none of those before and after", async () => {
  const message = await runBroken(["before", "broken", "after"], 128);
  assert.match(message, /^Cannot run "broken" on the WebGPU device: .*destroyed/s);
  assert.doesNotMatch(message, /before|after/);
});

gpuTest("an error names all kernels of its batch, or one where dispatches are sent apart", async () => {
  assert.match(await runBroken(["before", "broken", "after"], 1), /^Cannot run "before", "broken", "after" on/);
  assert.match(
    await runBroken(["before", "broken"], 1, { apart: true }),
    /^Cannot run "broken" on the WebGPU device: /,
  );
});

gpuTest("a context can be used again after an error", async (context) => {
  const wrong = { name: "wrong", code: "@compute @workgroup_size(1) fn main() { return 1; }" };
  context.run(wrong, [], [], [1]);
  assert.match(await messageOf(context.download([])), /^Cannot compile the WebGPU kernel "wrong": /);
  assert.deepEqual(await increments(context, 3), Float32Array.of(3));
});

async function increments(context: WebGpuContext, times: number): Promise<Float32Array> {
  const x = context.upload("f32", new Float32Array(1));
  for (let i = 0; i < times; i++) {
    context.run({ name: "more", code: CODE }, [{ buffer: x, access: "read_write" }], [], [1]);
  }
  return (await context.download([x]))[0];
}

gpuTest(
  "a lost device fails every download from then on, by the kernels and with advice; destroy() is safe",
  async () => {
    const { opened: context, gpu } = await withGpu(openGpuContext);
    assert.deepEqual(await increments(context, 200), Float32Array.of(200));
    const x = context.upload("f32", new Float32Array(1));
    for (let i = 0; i < 300; i++) {
      context.run({ name: i < 150 ? "early" : "late", code: CODE }, [{ buffer: x, access: "read_write" }], [], [1]);
      if (i === 200) gpu.destroy();
    }
    const wanted =
      /^Cannot finish "early", "late" as the WebGPU device was lost \(destroyed: .+\): run it again; .*"cpu"$/;
    assert.match(await messageOf(context.download([x])), wanted);
    assert.match(await messageOf(increments(context, 1)), wanted);
    assert.match(await messageOf(context.download([context.scratch("u8", 5)])), wanted);
    context.release(context.upload("u8", new Uint8Array(3)));
    context.destroy();
    context.destroy();
  },
);

gpuTest("a device that is lost between operations fails the download, and goes on failing", async () => {
  const { opened: device, gpu } = await withGpu(openWebGpuDevice);
  const a = matrix(device.upload("f32", Float32Array.of(1, 2, 3, 4)), 2, 2), out = matrix(device.alloc("f32", 4), 2, 2);
  device.run(gemm, out, a, a);
  gpu.destroy();
  device.run(power, out, out, 2);
  await assert.rejects(device.download([out.buffer]), /^Error: Cannot finish .*"gemm".* as the WebGPU device was lost/);
  device.run(power, out, a, 2);
  await assert.rejects(device.download([]), /the WebGPU device was lost/);
  await device.destroy();
  await device.destroy();
});

gpuTest("destroy() fails the downloads that are waited for", async () => {
  const context = await openGpuContext(), waiting = messageOf(increments(context, 5));
  context.destroy();
  assert.equal(await waiting, 'Cannot finish "more" as the WebGPU device was closed');
});
