/** What a run leaves behind besides its journal and lock: the packed model, metrics.json and the report. */
import { copyFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { inspectPacked } from "../checkpoints/packed/bits.ts";
import { type Content, hashContent } from "../files/hash_content.ts";
import type { JsonRecord } from "../files/json.ts";
import { blockLinears, vocabularyTensors } from "../models/tensors.ts";
import { buildMetrics, type Metrics, readEnvironment, renderMetrics } from "../report/mod.ts";
import { JOURNAL, readJournal } from "../runner/journal.ts";
import { StepError } from "../runner/run_errors.ts";
import type { DeviceRecord, FinishContext, OutputRef } from "../runner/stage.ts";
import {
  type Allocation,
  type BitAllocation,
  keepAllocation,
  type PackedBlock,
  type Perplexity,
  type Roles,
  type TaskResult,
} from "../stages/artifacts.ts";
import type { Planning } from "../stages/planning.ts";
import type { Recipe } from "../stages/schema.ts";
import { outcomeFacts } from "./lock_record.ts";

/** What was compressed, and where. */
export interface ResultSubject {
  readonly checkpoint: Pick<Checkpoint, "label" | "bytes">;
  readonly device: DeviceRecord;
}

/**
 * Writes `model/`, `metrics.json` and `report.html` into the run's folder, whose journal and lock are there already.
 *
 * @returns what the lock says of it
 * @throws {Error} when an artifact is gone
 * @throws {StepError} once all is written that can be: a number is not in its range, or a perplexity could not be measured
 */
export async function writeResult(
  planning: Planning,
  context: FinishContext,
  subject: ResultSubject,
): Promise<JsonRecord> {
  const { packed } = planning.roles;
  if (packed === undefined) return {};
  const folder = join(context.folder, "model");
  await mkdir(folder, { recursive: true });
  const model = await context.input(packed.model);
  for (const file of model.files) await copyFile(await model.path(file), join(folder, file));
  const metrics = await measure(planning, context, { ...subject, folder, packed });
  // A failed run has whole metrics or none.
  const unfinished = join(context.folder, "metrics.json.part");
  await writeFile(unfinished, renderMetrics(metrics));
  await rename(unfinished, join(context.folder, "metrics.json"));
  // The charts' library loads for longer than the rest of a cached run takes.
  const { renderReport } = await import("../report/report.ts");
  const page = renderReport({
    metrics,
    recipe: context.recipe,
    lock: await readFile(join(context.folder, "recipe.lock.yaml"), "utf8"),
    events: readJournal(join(context.folder, JOURNAL)),
    environment: await readEnvironment(),
  });
  await writeFile(join(context.folder, "report.html"), page);
  await requireMeasured(planning, context);
  const files: Record<string, Content> = {};
  for (const file of model.files) files[file] = await hashContent(join(folder, file));
  return outcomeFacts(metrics, context.recipe as Recipe, files);
}

/** What `writeResult` reads besides the outputs of the targets. */
export function resultInputs({ spec, roles }: Planning): OutputRef[] {
  const { packed, allocation, ranks } = roles;
  if (packed === undefined) return [];
  const keep = keepAllocation(roles);
  return [
    ...Array.from({ length: spec.blocks }, (_, block) => packed.block(block)),
    ...(keep && ranks ? [keep.keep] : []),
    ...(allocation?.kind === "bits" ? [allocation.bits] : []),
  ];
}

/** @throws {StepError} a perplexity or a likelihood is no number, as outputs of the model are not finite */
async function requireMeasured(
  { roles: { perplexity, tasks, feedback } }: Planning,
  context: FinishContext,
): Promise<void> {
  const remedies = {
    original: "it overflows before anything is compressed: evaluate it elsewhere, or give a checkpoint that runs",
    compressed: `raise ${feedback?.reads.damping ?? "the method's damping"}, or calibrate on more text`,
  };
  for (const variant of ["original", "compressed"] as const) {
    const fail = (name: string, lost: string) => {
      throw new StepError(
        `Cannot measure ${name} on the ${variant} model: outputs of ${lost} are not finite; the packed model and its ` +
          `report are in the run's folder; ${remedies[variant]}`,
      );
    };
    for (const [name, of] of perplexity?.of ?? []) {
      const { lost } = (await context.input(of[variant])).value as Perplexity;
      if (lost !== undefined) fail(name, lost);
    }
    for (const [name, of] of tasks?.of ?? []) {
      const { lost } = (await context.input(of[variant])).value as TaskResult;
      if (lost !== undefined) fail(name, `question ${lost + 1}`);
    }
  }
}

type Divergence = NonNullable<Metrics["perplexity"][string]["divergence"]>;

async function measure(
  { spec, roles }: Planning,
  context: FinishContext,
  { checkpoint, device, folder, packed }: ResultSubject & {
    readonly folder: string;
    readonly packed: Roles["packed"];
  },
): Promise<Metrics> {
  const perplexity: Record<string, Metrics["perplexity"][string]> = {};
  for (const [name, { original, compressed, away, divergence }] of roles.perplexity?.of ?? []) {
    const before = (await context.input(original)).value as Perplexity;
    const after = (await context.input(compressed)).value as Perplexity;
    const [first, second] = [before, after].map(({ perplexity }) => Number(perplexity));
    const apart = divergence && (await context.input(divergence)).value as Divergence | null, errors: number[] = [];
    for (const ref of away) errors.push(Number((await context.input(ref)).value ?? NaN));
    perplexity[name] = {
      ...{ original: first, compressed: second, tokens: after.tokens },
      ...(apart ? { divergence: apart } : {}),
      ...(errors.length > 0 && errors.every(Number.isFinite) ? { block_errors: errors } : {}),
    };
  }
  const tasks: Record<string, Metrics["tasks"][string]> = {};
  for (const [name, { original, compressed }] of roles.tasks?.of ?? []) {
    const [before, after] = [await context.input(original), await context.input(compressed)]
      .map(({ value }) => value as TaskResult);
    const { items, cut, tokens } = after;
    tasks[name] = { ...accuracyOf(after), original: accuracyOf(before), items, cut, tokens };
  }
  const layerErrors: { name: string; error: number; heldOut?: number }[] = [];
  const moved: { name: string; share: number; damping: number }[] = [];
  for (let block = 0; block < spec.blocks; block++) {
    const { errors, heldOutErrors, propagation } = (await context.input(packed.block(block))).value as PackedBlock;
    for (const { name } of blockLinears(spec, block)) {
      const heldOut = heldOutErrors?.[name];
      layerErrors.push({ name, error: errors[name], ...(heldOut === undefined ? {} : { heldOut }) });
      const chosen = propagation?.[name];
      if (chosen) moved.push({ name, ...chosen });
    }
  }
  const allocation = keepAllocation(roles);
  const keep = allocation && roles.ranks
    ? ((await context.input(allocation.keep)).value as Allocation).keep
    : undefined;
  const bits = roles.allocation?.kind === "bits"
    ? allocated(spec, (await context.input(roles.allocation.bits)).value as BitAllocation)
    : undefined;
  return buildMetrics({
    run: context.run,
    method: roles.quantized?.method ?? "none",
    model: checkpoint.label,
    device,
    perplexity,
    tasks,
    ...(keep === undefined ? {} : { keep }),
    ...(bits === undefined ? {} : { allocation: bits }),
    layerErrors,
    ...(moved.length === 0 ? {} : { propagation: moved }),
    packed: await inspectPacked(folder, { apart: { ...vocabularyTensors(spec) } }),
    originalBytes: checkpoint.bytes,
    seconds: context.seconds,
    peakMemory: context.peakMemory,
    steps: context.steps,
  });
}

function accuracyOf({ acc, acc_norm }: TaskResult) {
  return {
    ...{ acc: acc.value, acc_stderr: acc.error },
    ...(acc_norm === undefined ? {} : { acc_norm: acc_norm.value, acc_norm_stderr: acc_norm.error }),
  };
}

/** Bits that were allocated, layer by layer and as the mean of each block. */
function allocated(spec: Planning["spec"], { bits, mean, check }: BitAllocation): Metrics["allocation"] {
  const linears = Array.from({ length: spec.blocks }, (_, block) => blockLinears(spec, block));
  const blocks = linears.map((layers) => {
    const weights = layers.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
    return layers.reduce((sum, { name, rows, cols }) => sum + rows * cols * bits[name], 0) / weights;
  });
  return {
    ...{ mean, blocks, layers: linears.flat().map(({ name }) => ({ name, bits: bits[name] })) },
    ...(check === undefined ? {} : { check }),
  };
}
