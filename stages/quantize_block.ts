/** The step of a method at one block, all statistics of which are there: its layers are independent of each other. */
import type { LayerContent } from "../checkpoints/packed/format.ts";
import type { ChosenPropagation, LayerJob, LayerResult } from "../layers/job.ts";
import type { LayerPool } from "../layers/pool_protocol.ts";
import type { LinearSpec } from "../models/spec.ts";
import { blockLinears, linearWeights } from "../models/tensors.ts";
import type { ArtifactReader, ArtifactWriter, Step, StepContext } from "../runner/stage.ts";
import { type Allocation, type BitAllocation, keepAllocation, type QuantizedBlock, type Roles } from "./artifacts.ts";
import { type BlockSources, layerJobs, type PlannedJobs } from "./layer_jobs.ts";
import type { Planning } from "./planning.ts";
import { storedStatistics } from "./statistics.ts";

/** Which step. */
export interface QuantizedStep {
  /** The method's name, which is the stage's. */
  readonly name: string;
  readonly statistics: Roles["statistics"];
  readonly block: number;
}

/** What the steps of a method have in common. */
export interface QuantizeFrame {
  readonly step: Omit<Step, "code" | "run">;
  readonly linears: readonly LinearSpec[];
  /** Begins the block's work. */
  begin(context: StepContext): Promise<QuantizingBlock>;
}

/** A block on its way. */
export interface QuantizingBlock {
  /**
   * Quantizes some layers and writes what comes of them.
   *
   * @param pool what quantizes
   * @param sources of these layers; tensors are handed over
   */
  quantize(pool: LayerPool, sources: BlockSources): Promise<readonly LayerResult[]>;
  /** How many layers are done. */
  done(): number;
  /** Ends the block. */
  finish(): void;
}

/** The step where all statistics are there. */
export function quantizeBlock(planning: Planning, which: QuantizedStep): Step {
  const { tools, code } = planning.use(import.meta.url, ["weights", "layers"]);
  const { step, linears, begin } = quantizeFrame(planning, which);
  return {
    ...step,
    code,
    async run(context) {
      const block = await begin(context);
      const tensors = await tools.weights.block(which.block);
      const statistics = storedStatistics(await context.input("statistics"));
      await block.quantize(tools.layers(), { linears, tensors, statistics });
      block.finish();
    },
  };
}

/** All of a step but what it runs. */
export function quantizeFrame(planning: Planning, { name, statistics, block }: QuantizedStep): QuantizeFrame {
  const { spec, identities, device, roles: { allocation: given, ranks, feedback } } = planning;
  const allocation = keepAllocation(planning.roles);
  const planned = layerJobs(planning.roles, "quantize");
  const weights = linearWeights(spec), linears = blockLinears(spec, block);
  const prunes = allocation !== undefined && ranks !== undefined, masks = prunes && ranks.masks !== undefined;
  // What layers do in the name of a stage that the recipe lacks, such as H's factor, is the method's own.
  const absent = [...(ranks ? [] : ["fine-search"]), ...(feedback ? [] : ["compensate"])];
  return {
    linears,
    step: {
      id: `${name}[${block}]`,
      stage: name,
      block,
      reads: planned.reads,
      facts: { weights: identities.blocks[block], device },
      inputs: {
        statistics: statistics.block(block),
        ...(prunes ? { keep: allocation.keep } : {}),
        ...(given?.kind === "bits" ? { bits: given.bits } : {}),
        ...(prunes && ranks.masks ? { masks: ranks.masks(block) } : {}),
      },
      outputs: { quantized: { retain: "transient", bytes: 1.4 * weights } },
      estimate: {
        seconds: weights / 2e6,
        memory: 14 * weights + 12 * Math.max(...linears.map(({ cols }) => cols)) ** 2,
      },
    },
    async begin(context) {
      const keep = prunes ? ((await context.input("keep")).value as Allocation).keep[block] : undefined;
      const bits = given?.kind === "bits" ? ((await context.input("bits")).value as BitAllocation).bits : undefined;
      return beginBlock(context, {
        ...{ planned, keep, bits, name, absent, total: linears.length },
        masks: masks ? await context.input("masks") : undefined,
        writer: context.output("quantized"),
      });
    },
  };
}

/** What a block is begun with. */
interface Beginning {
  readonly planned: PlannedJobs;
  /** N of N:M; undefined where nothing is pruned. */
  readonly keep: number | undefined;
  /** Bits a weight by layer; undefined where the method's own hold for all. */
  readonly bits: BitAllocation["bits"] | undefined;
  readonly masks: ArtifactReader | undefined;
  readonly name: string;
  /** Stages that the recipe lacks. */
  readonly absent: readonly string[];
  /** Layers of the block. */
  readonly total: number;
  readonly writer: ArtifactWriter;
}

function beginBlock(
  context: StepContext,
  { planned, keep, bits, masks, name, absent, total, writer }: Beginning,
): QuantizingBlock {
  const layers: Record<string, Omit<LayerContent, "arrays">> = {};
  const errors: Record<string, number> = {}, heldOutErrors: Record<string, number> = {};
  const propagation: Record<string, ChosenPropagation> = {};
  let done = 0;
  return {
    async quantize(pool, sources) {
      const jobs: LayerJob[] = [];
      for (const job of await planned.make(sources, context)) {
        const given = masks && (await masks.read(`${job.name}.safetensors`)).ranks.data as Uint8Array;
        jobs.push({
          ...job,
          keep: keep ?? 1,
          ...(given ? { ranks: given } : {}),
          ...(bits ? { bits: bits[job.name] } : {}),
        });
      }
      const writing: Promise<void>[] = [];
      const results = await pool.quantize(jobs, {
        signal: context.signal,
        // Written while the others are quantized.
        onLayer({ name, layer: { arrays } }) {
          const written = writer.write(`${name}.safetensors`, arrays);
          written.catch(() => {});
          writing.push(written);
          context.progress(++done, total, name);
        },
      });
      await Promise.all(writing);
      for (const result of results) {
        const { name: layer, layer: { arrays: _written, ...rest }, error, heldOutError, propagation: chosen } = result;
        layers[layer] = rest;
        errors[layer] = error;
        if (chosen) propagation[layer] = chosen;
        if (heldOutError !== undefined) heldOutErrors[layer] = heldOutError;
        for (const [stage, spent] of Object.entries(result.seconds)) {
          context.spent(absent.includes(stage) ? name : stage, spent / pool.workers);
        }
      }
      return results;
    },
    done: () => done,
    finish() {
      const made: QuantizedBlock = { layers, errors, ...any({ heldOutErrors }), ...any({ propagation }) };
      writer.value(made);
      context.measure({ ...(keep === undefined ? {} : { keep }), errors });
    },
  };
}

/** A record of records, without those that hold nothing. */
function any<R extends Readonly<Record<string, object>>>(records: R): Partial<R> {
  return Object.fromEntries(Object.entries(records).filter(([, record]) => Object.keys(record).length > 0)) as Partial<
    R
  >;
}
