/** The jobs of one block's layers, and which of the recipe's values their results depend on. */
import type { LayerSettings, MaskJob } from "../layers/job.ts";
import { hessianExponent } from "../layers/units.ts";
import type { LinearSpec } from "../models/spec.ts";
import type { ArtifactReader, Json, StepContext } from "../runner/stage.ts";
import { keepAllocation, type Roles } from "./artifacts.ts";
import { endsIn } from "./layer_names.ts";
import type { Moments, Statistics } from "./statistics.ts";

/** Where a block's layers are taken from. */
export interface BlockSources {
  readonly linears: readonly LinearSpec[];
  /** The block's tensors by canonical name; handed over. */
  readonly tensors: Readonly<Record<string, Float32Array>>;
  readonly statistics?: Statistics;
  /** Where there is no S: its diagonal by `LinearSpec.input`, as coarse-search stores it. */
  readonly diagonals?: ArtifactReader;
}

/** Jobs that are planned before there is anything to do. */
export interface PlannedJobs {
  /** Recipe paths that the results depend on. */
  readonly reads: readonly string[];
  /** The jobs of a block; settings come through the context, so that nothing that is not declared can matter. */
  make(sources: BlockSources, context: Pick<StepContext, "param">): Promise<MaskJob[]>;
}

/** Nothing is pruned, and nothing is fed back. */
const NOTHING: Pick<LayerSettings, "search" | "feedback"> = {
  search: { metric: "hessian", type: "none", seed: 0 },
  feedback: { mode: "none", damping: 0.01 },
};

/**
 * Plans jobs from what the recipe's stages hand on.
 *
 * @param purpose `search` only ranks weights; `quantize` does all
 */
export function layerJobs(roles: Partial<Roles>, purpose: "search" | "quantize"): PlannedJobs {
  const { statistics, ranks, feedback, quantized, packed } = roles, target = statistics?.target;
  const allocation = keepAllocation(roles);
  if (quantized === undefined) throw new Error("Cannot plan layers as no stage quantizes them");
  const searches = ranks !== undefined && (purpose === "search" || ranks.masks === undefined);
  const quantizes = purpose === "quantize";
  // Norms of inputs need no factor of a Hessian.
  const factors = quantizes || ranks?.inputs !== "original" || statistics?.original === true;
  // Bits that an allocation gives to layers stand in the place of the method's own.
  const own = quantizes ? quantized.reads.filter((path) => !isGiven(roles, path)) : quantized.groupReads;
  const reads = [
    ...(allocation && ranks ? [allocation.reads.of] : []),
    ...(searches ? ranks.reads : ranks?.typeReads ?? []),
    ...(feedback && factors ? [feedback.reads.damping] : []),
    ...(quantizes && feedback ? [feedback.reads.mode] : []),
    ...(quantizes && packed ? [packed.reads.scales] : []),
    ...own,
    ...(target ? Object.values(target.reads) : []),
  ];
  return {
    reads: [...new Set(reads)].sort(),
    async make({ linears, tensors, statistics, diagonals }, context) {
      const read = <T extends Json>(path: string, wanted: boolean, otherwise: T): T =>
        wanted && reads.includes(path) ? context.param<T>(path) : otherwise;
      const params = Object.fromEntries(
        own.map((path) => [path.split(".").at(-1) ?? "", context.param<Json>(path)] as const),
      );
      // What was not declared to be read stays at a value of its own, so that it cannot matter unseen.
      const settings: LayerSettings = {
        method: quantized.stage,
        ...(quantized.source ? { source: quantized.source } : {}),
        params,
        search: ranks
          ? { ...ranks.search, ...(searches ? {} : { metric: NOTHING.search.metric, seed: 0 }) }
          : NOTHING.search,
        feedback: {
          mode: read(feedback?.reads.mode ?? "", quantizes, NOTHING.feedback.mode),
          damping: read(feedback?.reads.damping ?? "", factors, NOTHING.feedback.damping),
        },
        scales: quantizes && packed ? context.param(packed.reads.scales) : "f32",
      };
      const of = allocation && ranks ? context.param<number>(allocation.reads.of) : 1;
      const towards = target && {
        share: context.param<number | "auto">(target.reads.share),
        damping: context.param<number | "auto">(target.reads.damping),
        skip: context.param<readonly string[]>(target.reads.skip),
      };
      const known = new Map<string, Moments>();
      const jobs: MaskJob[] = [];
      for (const { name, rows, cols, input } of linears) {
        const found: Partial<Moments> = known.get(input) ??
          (statistics ? await readMoments(statistics, { input, cols }) : {});
        const { upper, cross, residual, half, heldOut } = found;
        if (upper) known.set(input, { ...found, upper });
        const diagonal = diagonals && (await diagonals.read(`${input}.safetensors`)).diagonal.data as Float32Array;
        const moments = {
          ...(upper && { upper }),
          ...(diagonal && { diagonal }),
          ...(quantizes && heldOut && { heldOut }),
        };
        const job = { name, rows, cols, of, weight: tensors[`${name}.weight`], ...moments, settings };
        const moved = cross && towards && towards.share !== 0 && !towards.skip.some((end) => endsIn(name, end));
        const { share = 0, damping = 0 } = towards ?? {}, chosen = share === "auto" || damping === "auto";
        const parts = { ...(residual && { residual }), ...(chosen && half && { half }) };
        jobs.push(moved ? { ...job, propagation: { cross, share, damping, ...parts } } : job);
      }
      return jobs;
    },
  };
}

function isGiven({ allocation, quantized }: Partial<Roles>, path: string): boolean {
  return allocation?.kind === "bits" && path === quantized?.budget;
}

/**
 * H = (2/sequences)·XᵀX, as the lineage scales it, times the power of two that layers would bring it to (`layers/units.ts`): so the
 * layers that share it need no copies of their own. C is in the same units.
 */
async function readMoments(
  { sequences, moments }: Statistics,
  { input, cols }: Pick<LinearSpec, "input" | "cols">,
): Promise<Moments> {
  const found = await moments(input), { upper, cross, residual, half, heldOut } = found;
  const exponent = hessianExponent(upper, cols, 2 / sequences);
  if (Number.isNaN(exponent)) {
    throw new Error(
      `Cannot weigh errors as S of input "${input}", from stages.calibrate, must be finite: run it again`,
    );
  }
  const factor = 2 / sequences * 2 ** -exponent;
  for (const values of [upper, cross, residual, half?.upper, half?.cross, half?.residual, heldOut]) {
    if (values === undefined) continue;
    for (let i = 0; i < values.length; i++) values[i] *= factor;
  }
  return found;
}
