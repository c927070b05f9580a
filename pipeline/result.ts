/** What a run leaves behind besides its journal and lock: the packed model, metrics.json and the report. */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { inspectPacked } from "../checkpoints/packed/bits.ts";
import { blockLinears } from "../models/tensors.ts";
import { buildMetrics, type Metrics, readEnvironment } from "../report/mod.ts";
import { JOURNAL, readJournal } from "../runner/journal.ts";
import type { FinishContext } from "../runner/stage.ts";
import { type Allocation, KEEP } from "../stages/coarse_search.ts";
import { type Perplexity, perplexityOf } from "../stages/evaluate.ts";
import { PACKED_MODEL, type PackedBlock, packedLayers } from "../stages/pack.ts";
import { deviceRecord, type Planning } from "../stages/planning.ts";

/**
 * Writes `model/`, `metrics.json` and `report.html` into the run's folder, whose journal and lock are there already.
 *
 * @throws {Error} when an artifact is gone or a number is not finite
 */
export async function writeResult(planning: Planning, context: FinishContext): Promise<void> {
  const folder = join(context.folder, "model");
  await mkdir(folder, { recursive: true });
  const model = await context.input(PACKED_MODEL);
  for (const file of model.files) await copyFile(await model.path(file), join(folder, file));
  const metrics = await measure(planning, context, folder);
  await writeFile(join(context.folder, "metrics.json"), `${JSON.stringify(metrics, null, 2)}\n`);
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
}

async function measure(
  planning: Planning,
  context: FinishContext,
  folder: string,
): Promise<Metrics> {
  const { spec, checkpoint, evaluations } = planning;
  const perplexity: Record<string, Metrics["perplexity"][string]> = {};
  for (const name of evaluations.keys()) {
    const read = async (variant: "original" | "compressed") =>
      (await context.input(perplexityOf(name, variant, spec))).value as Perplexity;
    const [original, compressed] = [await read("original"), await read("compressed")];
    const { tokens } = compressed;
    perplexity[name] = { original: original.perplexity, compressed: compressed.perplexity, tokens };
  }
  const { keep } = (await context.input(KEEP)).value as Allocation;
  const layerErrors: { name: string; error: number }[] = [];
  for (let block = 0; block < spec.blocks; block++) {
    const { errors } = (await context.input(packedLayers(block))).value as PackedBlock;
    for (const { name } of blockLinears(spec, block)) layerErrors.push({ name, error: errors[name] });
  }
  return buildMetrics({
    run: context.run,
    method: "pbs2p",
    model: checkpoint.label,
    device: deviceRecord(planning),
    perplexity,
    keep,
    layerErrors,
    packed: await inspectPacked(folder),
    originalBytes: checkpoint.bytes,
    seconds: context.seconds,
    peakMemory: context.peakMemory,
    steps: context.steps,
  });
}
