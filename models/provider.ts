/** Which of onnxruntime's execution providers the forward pass runs on, and why; nothing falls back in silence. */
import { InputError } from "../files/input_error.ts";
import type { ProbeResult, Provider } from "./forward_protocol.ts";
import type { ModelSpec } from "./spec.ts";
import { blockShapes, headShapes } from "./tensors.ts";
import { Channel } from "./worker_channel.ts";

export type { ProbeResult, Provider } from "./forward_protocol.ts";

/** Providers by preference; the cpu's is always there. */
export const PROVIDERS: readonly Provider[] = ["webgpu", "cuda", "coreml", "dml", "cpu"];

/** What is asked for: a provider, or the one that follows from the kernels' device. */
export type WantedProvider = Provider | "auto";

/** The provider of a forward pass. */
export interface ProviderChoice {
  readonly provider: Provider;
  /** For people and records. */
  readonly why: string;
}

/** What a provider is chosen by. */
export interface ProviderScene {
  readonly device: KernelDevice;
  readonly probes: ProviderProbes;
  /** Bytes of the largest array (`largestArray`): what a binding cannot hold would fail hours into a run. */
  readonly largest?: number;
}

/** Tries providers. */
export interface ProviderProbes {
  /** Names that this build of onnxruntime knows. */
  listed(): Promise<readonly string[]>;
  /** Runs a small model of one's kind on a provider and on the cpu. */
  probe(provider: Provider): Promise<ProbeResult>;
  /** Ends the worker, where one was needed. */
  close(): Promise<void>;
}

/** Where the kernels run, as far as it matters here. */
export interface KernelDevice {
  readonly kind: "cpu" | "webgpu";
  /** Whether the adapter only plays a GPU on the processor. */
  readonly software: boolean;
  /** Bytes of a binding, where a WebGPU adapter was looked at. */
  readonly bindable?: number;
}

/**
 * Largest relative difference from the cpu's results. Measured on SwiftShader: 1e-6; TF32 and float16 round every factor
 * of a product by up to 2⁻¹¹, 5e-4.
 */
const PROBE_TOLERANCE = 2e-5;

/**
 * Bytes of the largest array that onnxruntime gets or makes: weights, or the attention scores of one window.
 *
 * @param length tokens of a window
 */
export function largestArray(spec: ModelSpec, length: number): number {
  const weights = [...blockShapes(spec, 0).values(), ...headShapes(spec).values()];
  const values = [spec.heads * length * length, ...weights.map((shape) => shape.reduce((a, b) => a * b, 1))];
  return 4 * Math.max(...values);
}

/** Probes for a model, in a worker that starts with the first of them; each provider is tried once. */
export function openProviderProbes(spec: ModelSpec): ProviderProbes {
  let channel: Channel | undefined;
  const open = () =>
    channel ??= new Channel(new Worker(new URL("./forward_worker.ts", import.meta.url), { type: "module" }));
  const results = new Map<Provider, Promise<ProbeResult>>();
  return {
    listed: () => open().call("providers", {}),
    probe: (provider) => {
      const result = results.get(provider) ?? open().call("probe", { spec, provider });
      results.set(provider, result);
      return result;
    },
    close: async () => await channel?.close(),
  };
}

/**
 * Chooses the provider.
 *
 * `auto` takes the first that opens and agrees with the cpu where the kernels run on a GPU, and the cpu everywhere else.
 *
 * @throws {InputError} the provider asked for cannot be used
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { chooseProvider } from "./provider.ts";
 *
 * const probes = {
 *   listed: () => Promise.resolve(["cpu", "webgpu"]),
 *   probe: () => Promise.resolve({ difference: 1e-7 }),
 *   close: () => Promise.resolve(),
 * };
 * const device = { kind: "webgpu", software: false } as const;
 * assert.equal((await chooseProvider("auto", { device, probes })).provider, "webgpu");
 * ```
 */
export async function chooseProvider(
  wanted: WantedProvider,
  { device, probes, largest = 0 }: ProviderScene,
): Promise<ProviderChoice> {
  const problemOf = async (provider: Provider) => {
    const { bindable = Infinity } = device;
    if (provider !== "webgpu" || largest <= bindable) return await problemWith(provider, probes);
    return `the model's largest array has ${largest} bytes, and the adapter binds ${bindable} at most`;
  };
  if (wanted === "cpu") return { provider: "cpu", why: "asked for with --forward cpu" };
  if (wanted !== "auto") {
    const problem = await problemOf(wanted);
    if (problem === undefined) return { provider: wanted, why: `asked for with --forward ${wanted}` };
    throw new InputError(
      `Cannot run forward passes on onnxruntime's ${wanted} provider: ${problem}; use --forward cpu or --forward auto`,
    );
  }
  if (device.kind === "cpu") return { provider: "cpu", why: "auto: the kernels run on the CPU too" };
  if (device.software) {
    return { provider: "cpu", why: "auto: the WebGPU adapter is software, which onnxruntime's cpu provider outruns" };
  }
  const listed = await probes.listed();
  const problems: string[] = [];
  for (const provider of PROVIDERS) {
    if (provider === "cpu" || !listed.includes(provider)) continue;
    const problem = await problemOf(provider);
    const before = problems.length > 0 ? `; before it, ${problems.join("; ")}` : "";
    if (problem === undefined) return { provider, why: `auto: it opens and agrees with the cpu provider${before}` };
    problems.push(`${provider}: ${problem}`);
  }
  const none = "this build of onnxruntime has no other";
  return { provider: "cpu", why: `auto: ${problems.length > 0 ? problems.join("; ") : none}` };
}

/** Why a provider cannot be used; undefined where it can. */
export async function problemWith(provider: Provider, probes: ProviderProbes): Promise<string | undefined> {
  const listed = await probes.listed();
  if (!listed.includes(provider)) {
    return `this build of onnxruntime has no such provider (it has ${listed.join(", ")})`;
  }
  const result = await probes.probe(provider);
  if ("failure" in result) return `it does not open (${result.failure})`;
  if (result.difference <= PROBE_TOLERANCE) return undefined;
  const cuda = provider === "cuda" ? "; NVIDIA_TF32_OVERRIDE=0 makes CUDA compute in float32" : "";
  return `its results are off by ${result.difference.toPrecision(2)} of the cpu's, ${PROBE_TOLERANCE} at most${cuda}`;
}
