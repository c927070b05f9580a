/**
 * Which way to multiply matrices is fastest on an adapter: timed once, then remembered.
 *
 * All ways give the same bits, so the choice changes seconds and nothing else.
 */
import { createHash } from "node:crypto";
import { type KernelChoice, type Matrix, matrix } from "../device.ts";
import type { GemmOptions, SyrkOptions } from "./gemm.ts";
import pack from "./gemm_pack.wgsl" with { type: "text" };
import packVectors from "./gemm_pack_vectors.wgsl" with { type: "text" };
import { GEMM_VARIANTS, gpuGemm, gpuSyrk } from "./gemm_webgpu.ts";
import { directGemm, type GemmVariant, sharingGemm, tiledGemm } from "./gemm_wgsl.ts";
import type { WebGpuContext } from "../gpu/context.ts";
import type { GpuContext } from "../gpu/op.ts";

/** Where choices are remembered; values are plain JSON. */
export interface TuningStore {
  /** What was set, by whomever; undefined where nothing is. */
  get(key: string): unknown;
  set(key: string, value: unknown): void;
}

/** The ways to multiply that a device uses. */
export interface GemmTuning {
  /** For products of many rows and columns. */
  readonly wide: GemmVariant;
  /** For those of at most `NARROW` rows or columns. */
  readonly narrow: GemmVariant;
  /** The same for people, with rates where they were measured. */
  readonly choices: readonly KernelChoice[];
}

/** Rows or columns of out up to which a product is narrow: the group size of most recipes. */
const NARROW = 128;

/** A product that is timed. */
interface Sample {
  readonly rows: number;
  readonly cols: number;
  readonly inner: number;
}

/** GFLOP/s by variant; 0 where it failed. */
type Rates = Readonly<Record<string, number>>;

const CLASSES = ["wide", "narrow"] as const;

/** Software devices are hundreds of times slower than GPUs, so they are asked for less. */
const SAMPLES: Readonly<Record<"software" | "gpu", Readonly<Record<typeof CLASSES[number], Sample>>>> = {
  software: { wide: { rows: 512, cols: 512, inner: 256 }, narrow: { rows: 768, cols: 128, inner: 256 } },
  gpu: { wide: { rows: 2048, cols: 2048, inner: 512 }, narrow: { rows: 4096, cols: 128, inner: 1024 } },
};

/** Candidates: those that may win. Compiling one takes a second or two on software devices. */
const CANDIDATES: Readonly<Record<keyof typeof SAMPLES, readonly GemmVariant[]>> = {
  software: [GEMM_VARIANTS.software, directGemm(16, 16, 64), directGemm(32, 16, 128), sharingGemm(), tiledGemm(64)],
  gpu: [GEMM_VARIANTS.gpu, tiledGemm(32), tiledGemm(128), directGemm(8, 8, 64), directGemm(16, 16, 64)],
};

/** Milliseconds of products that are timed together, so that what a download waits for is small beside them. */
const TIMED = 20;

/** Most products of one timing. */
const MOST_PRODUCTS = 2000;

/** What was chosen for each context. */
const tunings = new WeakMap<GpuContext, GemmTuning>();

/**
 * Chooses the ways to multiply on a context, for `gpuTunedGemm` and `gpuTunedSyrk`.
 *
 * @param store where the choice is remembered; without one nothing is timed, and the kind of adapter decides
 * @throws {Error} what the last candidate failed with, when all of them fail
 */
export async function tuneGemm(context: WebGpuContext, store?: TuningStore): Promise<GemmTuning> {
  const tuning = await choose(context, store);
  tunings.set(context, tuning);
  return tuning;
}

async function choose(context: WebGpuContext, store: TuningStore | undefined): Promise<GemmTuning> {
  const kind = context.info.isFallbackAdapter ? "software" : "gpu";
  const fallback = GEMM_VARIANTS[kind];
  if (!store) return { wide: fallback, narrow: fallback, choices: [{ op: "gemm", variant: fallback.name }] };
  const { maxComputeInvocationsPerWorkgroup: threads, maxComputeWorkgroupStorageSize: memory } = context.limits;
  const candidates = CANDIDATES[kind].filter((variant) =>
    variant.threads <= threads && variant.memory <= memory && (context.sharing || !variant.sharing)
  );
  const key = tuningKey(context.info, candidates);
  let rates = asRates(store.get(key), candidates);
  if (!rates) {
    const measured = { wide: {} as Rates, narrow: {} as Rates };
    for (const shape of CLASSES) measured[shape] = await timeAll(context, candidates, SAMPLES[kind][shape]);
    rates = measured;
    store.set(key, rates);
  }
  const wide = fastest(candidates, rates.wide), narrow = fastest(candidates, rates.narrow);
  const choice = (op: string, variant: GemmVariant, rates: Rates) =>
    ({ op, variant: variant.name, gflops: rates[variant.name] }) satisfies KernelChoice;
  return {
    wide,
    narrow,
    choices: [choice("gemm", wide, rates.wide), choice(`gemm of up to ${NARROW}`, narrow, rates.narrow)],
  };
}

/**
 * `gpuGemm` in the way chosen by `tuneGemm` for this context.
 *
 * @throws {Error} when none was chosen
 */
export function gpuTunedGemm(context: GpuContext, out: Matrix, a: Matrix, b: Matrix, options?: GemmOptions): void {
  gpuGemm(context, out, a, b, { ...options, variant: chosen(context, Math.min(out.rows, out.cols)) });
}

/**
 * `gpuSyrk` in the way chosen by `tuneGemm` for this context.
 *
 * @throws {Error} when none was chosen
 */
export function gpuTunedSyrk(context: GpuContext, out: Matrix, a: Matrix, options?: SyrkOptions): void {
  gpuSyrk(context, out, a, { ...options, variant: chosen(context, out.rows) });
}

function chosen(context: GpuContext, side: number): GemmVariant {
  const tuning = tunings.get(context);
  if (!tuning) throw new Error("Cannot multiply matrices as no way to do so was chosen: call tuneGemm() first");
  return side <= NARROW ? tuning.narrow : tuning.wide;
}

/** Under what a choice is remembered: the adapter, the browser engine that drives it, and the shaders. */
export function tuningKey(
  { vendor, architecture, device, description }: Pick<
    GPUAdapterInfo,
    "vendor" | "architecture" | "device" | "description"
  >,
  candidates: readonly GemmVariant[],
): string {
  const shaders = createHash("sha256");
  for (const code of [pack, packVectors, JSON.stringify(SAMPLES), ...candidates.map(({ code }) => code)]) {
    shaders.update(code);
  }
  return JSON.stringify([
    vendor,
    architecture,
    device,
    description,
    `deno ${Deno.version.deno}`,
    shaders.digest("hex"),
  ]);
}

async function timeAll(context: WebGpuContext, variants: readonly GemmVariant[], sample: Sample): Promise<Rates> {
  const { rows, cols, inner } = sample;
  const make = (rows: number, cols: number) => matrix(context.scratch("f32", rows * cols), rows, cols);
  const out = make(rows, cols), a = make(rows, inner), b = make(inner, cols);
  const time = async (variant: GemmVariant, products: number) => {
    const start = performance.now();
    for (let i = 0; i < products; i++) gpuGemm(context, out, a, b, { variant });
    await context.download([]);
    return performance.now() - start;
  };
  const rate = async (variant: GemmVariant) => {
    // The first one compiles.
    await time(variant, 1);
    const empty = await time(variant, 0), one = Math.max(0.01, await time(variant, 1) - empty);
    const products = Math.min(MOST_PRODUCTS, Math.ceil(TIMED / one));
    const times = [await time(variant, products), await time(variant, products), await time(variant, products)];
    const median = times.sort((x, y) => x - y)[1];
    const seconds = Math.max(median - empty, median / 10) / 1000;
    return Math.round(2 * rows * cols * inner * products / seconds / 1e7) / 100;
  };
  const rates: Record<string, number> = {};
  let failure: unknown;
  for (const variant of variants) {
    try {
      rates[variant.name] = await rate(variant);
    } catch (error) {
      // What a driver cannot compile or run is not chosen.
      rates[variant.name] = 0;
      failure = error;
    }
  }
  if (variants.every(({ name }) => rates[name] === 0)) throw failure;
  for (const { buffer } of [out, a, b]) context.release(buffer);
  return rates;
}

/** What a store holds, unless it is not what `tuneGemm` put there. */
function asRates(
  value: unknown,
  candidates: readonly GemmVariant[],
): Readonly<Record<typeof CLASSES[number], Rates>> | undefined {
  const rates = (shape: string): Rates | undefined => {
    const found: unknown = typeof value === "object" && value !== null ? Reflect.get(value, shape) : undefined;
    if (typeof found !== "object" || found === null) return undefined;
    const entries = candidates.map(({ name }) => [name, Reflect.get(found, name)] as const);
    return entries.every(([, rate]) => typeof rate === "number" && rate >= 0) ? Object.fromEntries(entries) : undefined;
  };
  const wide = rates("wide"), narrow = rates("narrow");
  return wide && narrow && { wide, narrow };
}

function fastest(variants: readonly GemmVariant[], rates: Rates): GemmVariant {
  return variants.reduce((best, variant) => rates[variant.name] > rates[best.name] ? variant : best);
}
