/** The GPU that `layers.ts` and `packing.ts` compute on, where a run's device is one. */
import { openWebGpuDevice, type WebGpuDeviceOptions } from "../../kernels/webgpu.ts";
import { type SharedDevice, shareDevice } from "../../layers/shared_device.ts";

/** One WebGPU device for all, opened on first use. */
export function shareGpu(options: WebGpuDeviceOptions): SharedDevice {
  return shareDevice(() => openWebGpuDevice(options));
}
