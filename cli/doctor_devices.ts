/** What `doctor` says of devices: the WebGPU adapter, rates, onnxruntime's providers, and what `auto` makes of them. */
import { modelSpec, openProviderProbes, problemWith, type ProviderProbes, PROVIDERS } from "../models/mod.ts";
import { chooseProvider } from "../models/provider.ts";
import { adapterName, chooseDevice, isSoftware, requestAdapter } from "../pipeline/device.ts";
import { type DeviceRate, measureCpu, measureWebGpu } from "../pipeline/device_rates.ts";
import { formatBytes } from "../report/numbers.ts";
import type { Finding } from "./finding.ts";

/** What is looked at. */
export interface DeviceExamination {
  /** Folder of the cache, where it is remembered which kernels are fastest. */
  readonly cache: string;
  /** Whether matrix products are timed. */
  readonly measure: boolean;
}

/** Features that some kernel uses or could use. */
const FEATURES: readonly GPUFeatureName[] = ["shader-f16", "timestamp-query", "subgroups"];

/** A small LLaMA, for what providers are tried with where no model is named. */
const MODEL = {
  ...{ model_type: "llama", hidden_size: 256, intermediate_size: 512, num_hidden_layers: 1 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 64 },
};

/** Looks at the devices. */
export async function examineDevices({ cache, measure }: DeviceExamination): Promise<Finding[]> {
  const source = once(requestAdapter);
  const probes = openProviderProbes(modelSpec(MODEL));
  try {
    // Providers first: onnxruntime says on the terminal what it cannot open, unless its first user wants it quiet.
    const providers = await examineProviders(probes);
    const adapter = await examineAdapter(source);
    const rates = measure ? [await examineRates(cache, source)] : [];
    return [adapter, ...rates, providers, await examineChoice(source, probes)];
  } finally {
    await probes.close();
  }
}

async function examineAdapter(source: () => Promise<GPUAdapter | null>): Promise<Finding> {
  const name = "WebGPU";
  let adapter: GPUAdapter | null;
  try {
    adapter = await source();
  } catch (error) {
    return { name, value: `no adapter (${messageOf(error)})`, advice: REMEDY };
  }
  if (!adapter) return { name, value: "no adapter", advice: REMEDY };
  const { info, limits } = adapter;
  const { vendor, architecture, device, subgroupMinSize: least, subgroupMaxSize: most } = info;
  const software = isSoftware(adapter);
  const features = FEATURES.filter((feature) => adapter.features.has(feature));
  const named = Object.entries({ vendor, architecture, device }).filter(([, value]) => value !== "");
  const facts = {
    ...{ vendor, architecture, device, description: info.description, fallback: info.isFallbackAdapter, software },
    limits: {
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxBufferSize: limits.maxBufferSize,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    },
    features: [...adapter.features].sort(),
    subgroups: [least, most],
  };
  return {
    name,
    value: `${adapterName(adapter)}, ${software ? "software" : "a GPU"}`,
    lines: [
      named.map(([what, value]) => `${what} ${value}`).join(", "),
      `${formatBytes(limits.maxStorageBufferBindingSize)} a binding, ${formatBytes(limits.maxBufferSize)} a buffer, ` +
      `${
        formatBytes(limits.maxComputeWorkgroupStorageSize)
      } and ${limits.maxComputeInvocationsPerWorkgroup} invocations ` +
      `a workgroup`,
      `${features.join(", ") || `none of ${FEATURES.join(", ")}`}; subgroups of ${
        least === most ? least : `${least} to ${most}`
      }`,
    ].filter((line) => line !== ""),
    facts,
    ...(software ? { advice: "auto leaves software alone; a GPU's own driver makes it one that counts" } : {}),
  };
}

const REMEDY = Deno.build.os === "linux"
  ? "the CPU does it all; for a GPU install its vendor's Vulkan driver, for one in software mesa-vulkan-drivers"
  : "the CPU does it all; for a GPU install its vendor's driver";

async function examineRates(cache: string, source: () => Promise<GPUAdapter | null>): Promise<Finding> {
  const cpu = await measureCpu();
  const lines: string[] = [];
  let webgpu: DeviceRate | { readonly failure: string } | undefined;
  const adapter = await source().catch(() => null);
  if (adapter) {
    try {
      webgpu = await measureWebGpu({ cache, software: isSoftware(adapter) });
      lines.push(`webgpu ${rateLine(webgpu)}`);
      for (const { op, variant, gflops } of webgpu.choices) {
        lines.push(
          `${op}: ${variant}${
            gflops === undefined ? ", not timed before the first run" : `, ${rate(gflops)} when chosen`
          }`,
        );
      }
    } catch (error) {
      webgpu = { failure: messageOf(error) };
      lines.push(`webgpu fails: ${webgpu.failure}`);
    }
  }
  const failed = webgpu !== undefined && "failure" in webgpu;
  return {
    name: "Products",
    value: `cpu ${rateLine(cpu)}`,
    lines,
    facts: { cpu: { ...cpu }, ...(webgpu ? { webgpu } : {}) },
    ...(failed ? { advice: "use --device cpu until the adapter's driver is repaired or replaced" } : {}),
  };
}

async function examineProviders(probes: ProviderProbes): Promise<Finding> {
  const listed = await probes.listed();
  const facts = [];
  for (const provider of PROVIDERS.filter((provider) => listed.includes(provider))) {
    const problem = await problemWith(provider, probes);
    facts.push({ provider, usable: problem === undefined, ...(problem === undefined ? {} : { problem }) });
  }
  const usable = facts.filter(({ usable }) => usable).map(({ provider }) => provider);
  return {
    name: "Forward",
    value: `onnxruntime's providers that open and are right: ${usable.join(", ") || "none"}`,
    lines: facts.flatMap(({ provider, problem }) => problem === undefined ? [] : [`${provider}: ${problem}`]),
    facts,
  };
}

async function examineChoice(source: () => Promise<GPUAdapter | null>, probes: ProviderProbes): Promise<Finding> {
  const device = await chooseDevice("auto", source);
  const forward = await chooseProvider("auto", { device, probes });
  return {
    name: "Auto",
    value: `kernels on ${device.kind}, forward passes on ${forward.provider}`,
    lines: [device.why, forward.why].map((why) => why.replace(/^auto: /, "")),
    facts: { device: { ...device }, forward },
  };
}

function rateLine({ gflops, size }: DeviceRate): string {
  return `${rate(gflops)}, ${size}³`;
}

function rate(gflops: number): string {
  return gflops >= 1000 ? `${(gflops / 1000).toFixed(1)} TFLOP/s` : `${gflops.toPrecision(3)} GFLOP/s`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The same promise at every call. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => made ??= make();
}
