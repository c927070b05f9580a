/** What running steps share and planning never opens: the forward pass, the layer pool, the tokenizer, weights. */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import {
  type DatasetAccess,
  loadWindows,
  openTokenizer,
  type Tokenizer,
  type WindowOptions,
  type Windows,
} from "../datasets/mod.ts";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import { type Forward, openForward } from "../models/forward.ts";
import type { Provider } from "../models/provider.ts";
import type { ModelSpec } from "../models/spec.ts";
import { readTensors, resolveTensor, type TensorShapes } from "../checkpoints/read_tensors.ts";
import { blockLinears, blockShapes } from "../models/tensors.ts";
import type { Recipe } from "./schema.ts";
import type { ArtifactReader, StepContext } from "../runner/stage.ts";
import { openDeviceLayers } from "../layers/device_pool.ts";
import { type LayerPool, openLayerPool } from "../layers/pool.ts";
import { readPackedLayers } from "./pack.ts";
import { forwardSources, packSources, quantizeSources, sourceHash } from "./sources.ts";
import { tuningFile } from "../pipeline/tuning_file.ts";

/** Options of the tools. */
export interface ToolOptions {
  readonly recipe: Recipe;
  readonly checkpoint: Checkpoint;
  readonly spec: ModelSpec;
  /** `Device.kind` of the kernels. */
  readonly device: string;
  /** onnxruntime's execution provider. */
  readonly provider: Provider;
  /** See `OpenOptions`. */
  readonly debug: boolean;
  readonly access: Omit<DatasetAccess, "split">;
  readonly warn: (message: string) => void;
}

/** Opened on first use, closed together. */
export class Tools {
  /** Hashes of the code behind the numbers, by what uses it. */
  readonly sources: { readonly forward: string; readonly quantize: string; readonly pack: string };
  readonly warn: (message: string) => void;
  readonly #options: ToolOptions;
  #forward: Promise<Forward> | undefined;
  #pool: LayerPool | undefined;
  #tokenizer: Tokenizer | undefined;

  constructor(options: ToolOptions) {
    this.#options = options;
    this.sources = {
      forward: sourceHash(forwardSources()),
      quantize: sourceHash(quantizeSources(options.device)),
      pack: sourceHash(packSources(options.device)),
    };
    this.warn = options.warn;
  }

  /** The forward pass of this model. */
  forward(): Promise<Forward> {
    return this.#forward ??= openForward(this.#options.spec, { provider: this.#options.provider });
  }

  /** Workers that quantize layers. */
  pool(): LayerPool {
    const { device, debug, access: { hub } } = this.#options;
    return this.#pool ??= device === "webgpu"
      ? openDeviceLayers(() => openWebGpuDevice({ tuning: hub && tuningFile(hub.cache), apart: debug }))
      : openLayerPool({ memory: Deno.systemMemoryInfo().available / 2 });
  }

  /** Tensors of the original model, their shapes checked. */
  readonly weights = (shapes: TensorShapes): Promise<Record<string, Float32Array>> =>
    readTensors(this.#options.checkpoint, shapes);

  /** All tensors of one block of the original model. */
  blockWeights(block: number): Promise<Record<string, Float32Array>> {
    return this.weights(blockShapes(this.#options.spec, block));
  }

  /** All tensors of one block, its linears decoded from what was packed. */
  async compressedWeights(block: number, packed: ArtifactReader): Promise<Record<string, Float32Array>> {
    const linears = blockLinears(this.#options.spec, block);
    const packedNames = new Set(linears.map(({ name }) => `${name}.weight`));
    const others = new Map([...blockShapes(this.#options.spec, block)].filter(([name]) => !packedNames.has(name)));
    const weights = await this.weights(others);
    for await (const [name, encoded] of readPackedLayers(packed, linears)) {
      weights[`${name}.weight`] = await this.pool().decode(encoded);
    }
    return weights;
  }

  /** A linear's name as the checkpoint has it, without `.weight`. */
  stored(name: string): string {
    return resolveTensor(this.#options.checkpoint, `${name}.weight`).slice(0, -".weight".length);
  }

  /** The windows that the recipe calibrates on. */
  calibrationWindows({ signal }: Pick<StepContext, "signal">): Promise<Windows> {
    const { dataset, samples, length, seed } = this.#options.recipe.stages.calibrate;
    return loadWindows(dataset, { ...this.#common(signal), split: "calibration", samples, length, seed });
  }

  /** The windows that perplexity `name` is measured on. */
  evaluationWindows(name: string, { signal }: Pick<StepContext, "signal">): Promise<Windows> {
    const entry = evaluationsOf(this.#options.recipe).get(name);
    if (entry === undefined) throw new RangeError(`Cannot load text "${name}" as the recipe does not evaluate on it`);
    const { dataset, ...limits } = entry;
    return loadWindows(dataset, { ...this.#common(signal), split: "evaluation", seed: 0, ...limits });
  }

  /** Ends workers. */
  async close(): Promise<void> {
    this.#pool?.close();
    await (await this.#forward)?.close();
    this.#options.checkpoint.close();
  }

  #common(signal: AbortSignal) {
    const { checkpoint, spec, access } = this.#options;
    if (checkpoint.tokenizer !== undefined) this.#tokenizer ??= openTokenizer(checkpoint.tokenizer);
    return { ...access, signal, tokenizer: this.#tokenizer, vocab: spec.vocab, maxLength: spec.maxPositions };
  }
}

/** The texts of a recipe's evaluation, by their name in metrics.json. */
export function evaluationsOf(
  recipe: Recipe,
): ReadonlyMap<
  string,
  Pick<WindowOptions, "samples" | "length"> & { dataset: Recipe["stages"]["calibrate"]["dataset"] }
> {
  return new Map(recipe.stages.evaluate.perplexity.map((entry) => {
    if (typeof entry === "string") return [entry, { dataset: entry }];
    const { name, ...rest } = entry;
    return [name, rest];
  }));
}
