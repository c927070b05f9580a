/** One core of `pool.ts`: compresses one layer after the other on a CPU device of its own. */
/// <reference lib="deno.worker" />
import { openCpuDevice } from "../kernels/cpu.ts";
import type { Device } from "../kernels/device.ts";
import { under } from "../telemetry/spans.ts";
import { quantizeLayer, searchMasks } from "./layer.ts";
import type { LayerReply, LayerRequest } from "./pool_protocol.ts";

declare const self: DedicatedWorkerGlobalScope;

let device: Device | undefined;
/** Of the request in work. */
let stop: Int32Array | undefined;

self.onmessage = async ({ data }: MessageEvent<LayerRequest>) => {
  stop = data.stop;
  device ??= openCpuDevice({ threads: data.threads, stopped: () => stop !== undefined && Atomics.load(stop, 0) !== 0 });
  const opened = device, { reply, transfer } = await under(data.span, () => answer(opened, data));
  self.postMessage(reply, transfer);
};

async function answer(
  device: Device,
  request: LayerRequest,
): Promise<{ reply: LayerReply; transfer: Transferable[] }> {
  try {
    if (request.task === "search") {
      const result = await searchMasks(device, request.job);
      return { reply: { state: "searched", result }, transfer: buffers(result.ranks) };
    }
    const result = await quantizeLayer(device, request.job);
    return {
      reply: { state: "quantized", result },
      transfer: buffers(...Object.values(result.layer.arrays).map(({ data }) => data)),
    };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    const layer = `layer "${request.job.name}"`;
    const named = message.includes(layer) ? message : `Cannot compress ${layer}: ${message}`;
    return { reply: { state: "failed", name, message: named }, transfer: [] };
  }
}

function buffers(...arrays: readonly ArrayBufferView[]): ArrayBuffer[] {
  return arrays.map(({ buffer }) => buffer).filter((buffer) => buffer instanceof ArrayBuffer);
}
