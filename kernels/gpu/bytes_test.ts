import assert from "node:assert/strict";
import { bytesOfWords, gpuNarrow, gpuWiden, wordsOfBytes } from "./bytes.ts";
import { openWebGpuDevice } from "../webgpu.ts";
import { openGpuContext } from "./context.ts";
import { gpuTest } from "./webgpu_test_support.ts";

const LENGTHS = [1, 2, 3, 4, 5, 255, 256, 257, 4099];

gpuTest("gpuNarrow() undoes gpuWiden() for every length and in small windows", async (context) => {
  const small = await openGpuContext({ maxBindingSize: 1024 });
  try {
    for (const length of LENGTHS) {
      const bytes = Uint8Array.from({ length }, (_, i) => i * 37 % 256);
      for (const on of [context, small]) {
        const words = on.upload("u32", wordsOfBytes(bytes));
        const wide = gpuWiden(on, words, length), narrow = gpuNarrow(on, wide);
        const [bytesBack, wordsBack] = await on.download([wide, narrow]);
        assert.deepEqual(bytesBack, bytes, `${length} bytes`);
        assert.deepEqual(bytesOfWords(wordsBack, length), bytes, `${length} bytes in words`);
      }
    }
  } finally {
    small.destroy();
  }
});

gpuTest("a device's bytes come back as they went, and cost a byte each on the way", async () => {
  const sizes: number[] = [], { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    if (descriptor.usage & GPUBufferUsage.MAP_READ && descriptor.label === "download") sizes.push(descriptor.size);
    return createBuffer.call(this, descriptor);
  };
  const device = await openWebGpuDevice();
  try {
    const bytes = Uint8Array.from({ length: 4099 }, (_, i) => i * 37 % 256);
    const whole = device.upload("u8", bytes.slice()), odd = device.upload("u8", bytes.slice().subarray(1));
    const zeros = device.alloc("u8", 6), none = device.alloc("u8", 0);
    assert.deepEqual(await device.download([whole, odd, zeros, none]), [
      bytes,
      bytes.subarray(1),
      new Uint8Array(6),
      new Uint8Array(0),
    ]);
    assert.deepEqual(sizes, [4100, 4100, 8, 4]);
  } finally {
    GPUDevice.prototype.createBuffer = createBuffer;
    await device.destroy();
  }
});
