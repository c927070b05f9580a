/** How fast this machine's devices multiply matrices, for people; a few seconds' work. */
import { availableParallelism } from "node:os";
import { openCpuDevice } from "../kernels/cpu.ts";
import { type Device, type KernelChoice, matrix } from "../kernels/device.ts";
import { gemm, type TuningStore } from "../kernels/matrix/ops.ts";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import { tuningFile } from "./tuning_file.ts";

/** One device's products of float32 matrices. */
export interface DeviceRate {
  /** 10⁹ floating-point operations a second, of products size × size × size. */
  readonly gflops: number;
  readonly size: number;
  /** What was chosen of several kernels. */
  readonly choices: readonly KernelChoice[];
}

/** Milliseconds that are timed at once, beside which waiting for the device is little. */
const TIMED = 60;

/** Software is asked for less, so that it answers in a second. */
const SIZES = { cpu: 1024, gpu: 2048, software: 512 } as const;

/** The CPU's rate with all its cores: onnxruntime's products. */
export async function measureCpu(): Promise<DeviceRate> {
  return await measure(openCpuDevice({ threads: availableParallelism() }), SIZES.cpu);
}

/**
 * The WebGPU adapter's rate.
 *
 * @param options `cache`: folder that remembers which kernels are fastest; a GPU is asked anew where nothing is
 *   remembered, software is not, as that takes up to a minute
 * @throws {Error} when no device opens, or it fails
 */
export async function measureWebGpu(
  { cache, software }: { readonly cache: string; readonly software: boolean },
): Promise<DeviceRate> {
  const tuning = tuningFile(cache);
  const device = software ? await openRemembered(tuning) : await openWebGpuDevice({ tuning });
  return await measure(device, software ? SIZES.software : SIZES.gpu);
}

/** Opens the device with what is remembered, and without any timing where nothing is. */
async function openRemembered(tuning: TuningStore): Promise<Device> {
  const nothing = new Error("Cannot open a device with remembered kernels as none are");
  const get = (key: string) => {
    const value = tuning.get(key);
    if (value === undefined) throw nothing;
    return value;
  };
  try {
    return await openWebGpuDevice({ tuning: { get, set: () => {} } });
  } catch (error) {
    if (error !== nothing) throw error;
    return await openWebGpuDevice();
  }
}

async function measure(device: Device, size: number): Promise<DeviceRate> {
  try {
    const make = () => matrix(device.upload("f32", new Float32Array(size * size).fill(0.5)), size, size);
    const [a, b, out] = [make(), make(), make()];
    const time = async (products: number) => {
      const start = performance.now();
      for (let i = 0; i < products; i++) device.run(gemm, out, a, b);
      await device.download([]);
      return performance.now() - start;
    };
    // The first one compiles.
    await time(1);
    const waiting = await time(0);
    const one = Math.max(0.1, await time(1) - waiting);
    const products = Math.min(200, Math.ceil(TIMED / one));
    const spent = Math.max(await time(products) - waiting, (products * one) / 10);
    return { gflops: (2 * size ** 3 * products) / spent / 1e6, size, choices: device.choices };
  } finally {
    await device.destroy();
  }
}
