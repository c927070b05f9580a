/** Which devices kernels and forward passes run on, and why; nothing falls back in silence. */
import { availableParallelism, cpus } from "node:os";
import { InputError } from "../files/input_error.ts";
import {
  chooseProvider,
  type KernelDevice,
  largestArray,
  openProviderProbes,
  type ProviderChoice,
  type WantedProvider,
} from "../models/provider.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { OpenOptions } from "../runner/stage.ts";

/** The device of a run; no device is opened for it, so that planning chooses as running does. */
export interface DeviceChoice extends KernelDevice {
  /** What it is, for people and records. */
  readonly name: string;
  readonly why: string;
}

/** What is asked of an adapter here. */
export interface AdapterFacts {
  readonly info: Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description" | "isFallbackAdapter">;
  readonly limits: Pick<GPUSupportedLimits, "maxStorageBufferBindingSize">;
}

/** Where adapters come from; null where there is none. */
export type AdapterSource = () => Promise<AdapterFacts | null>;

/** Names of adapters that only play a GPU on the processor, as drivers give them. */
const SOFTWARE = /llvmpipe|lavapipe|softpipe|swiftshader|basic render driver|\bwarp\b|software (rasterizer|renderer)/i;

const REMEDY =
  "install a driver (Linux: the vendor's, or Vulkan in software by mesa-vulkan-drivers), or use --device cpu";

/** The adapter that the WebGPU device takes. @throws whatever the driver does */
export async function requestAdapter(): Promise<GPUAdapter | null> {
  return await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }) ?? null;
}

/** Whether an adapter only plays a GPU on the processor: by its own word, or by its name. */
export function isSoftware({ info }: Pick<AdapterFacts, "info">): boolean {
  return info.isFallbackAdapter || SOFTWARE.test(`${info.description} ${info.device} ${info.vendor}`);
}

/** What an adapter is called; numbers stand where a driver gives no words. */
export function adapterName({ info: { description, device, vendor } }: Pick<AdapterFacts, "info">): string {
  return description || device || vendor || "unnamed adapter";
}

/**
 * Chooses the device: `auto` takes WebGPU where an adapter is no software, and the CPU everywhere else.
 *
 * @param source by default the machine's
 * @throws {InputError} webgpu is asked for and there is no adapter
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { chooseDevice } from "./device.ts";
 *
 * const { kind, why } = await chooseDevice("auto", () => Promise.resolve(null));
 * assert.deepEqual([kind, why], ["cpu", "auto: no WebGPU adapter was found"]);
 * ```
 */
export async function chooseDevice(
  wanted: OpenOptions["device"],
  source: AdapterSource = requestAdapter,
): Promise<DeviceChoice> {
  if (wanted === "cpu") return cpu("asked for with --device cpu");
  let adapter: AdapterFacts | null;
  try {
    adapter = await source();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (wanted === "auto") return cpu(`auto: WebGPU gives no adapter (${reason})`);
    throw new InputError(`Cannot run on webgpu as it gives no adapter (${reason}): ${REMEDY}`, { cause: error });
  }
  if (wanted === "auto") {
    if (!adapter) return cpu("auto: no WebGPU adapter was found");
    const name = adapterName(adapter);
    if (isSoftware(adapter)) {
      return cpu(`auto: the WebGPU adapter found, ${name}, is software; --device webgpu takes it all the same`);
    }
    const why = "auto: a WebGPU adapter that is no software was found";
    return { kind: "webgpu", software: false, bindable: adapter.limits.maxStorageBufferBindingSize, name, why };
  }
  if (!adapter) throw new InputError(`Cannot run on webgpu as no adapter was found: ${REMEDY}`);
  const [software, why] = [isSoftware(adapter), "asked for with --device webgpu"];
  return {
    ...{ kind: "webgpu", software, bindable: adapter.limits.maxStorageBufferBindingSize, name: adapterName(adapter) },
    why: software ? `${why}; the adapter is software` : why,
  };
}

/**
 * Chooses what a model's forward passes run on. Providers are tried in a worker, for planning as for running: which one
 * computes is part of the keys.
 *
 * @param options `wanted` (auto), and the tokens of the longest window
 * @throws {InputError} the provider asked for cannot be used
 */
export async function chooseForward(
  spec: ModelSpec,
  device: KernelDevice,
  { wanted = "auto", length }: { readonly wanted?: WantedProvider; readonly length: number },
): Promise<ProviderChoice> {
  const probes = openProviderProbes(spec);
  try {
    return await chooseProvider(wanted, { device, probes, largest: largestArray(spec, length) });
  } finally {
    await probes.close();
  }
}

function cpu(why: string): DeviceChoice {
  const name = `${cpus()[0]?.model.trim() || "CPU"}, ${availableParallelism()} threads`;
  return { kind: "cpu", software: false, name, why };
}
