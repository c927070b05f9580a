/** `verify --evaluate-only`: measures the packed model of a run's folder again, by itself. */
import { join } from "node:path";
import { checkTexts } from "../pipeline/locked_inputs.ts";
import { type LockedMetrics, taskText } from "../pipeline/lock_record.ts";
import { openMeasurement } from "../pipeline/measure_packed.ts";
import { checkFiles, checkMetrics } from "../pipeline/verdict.ts";
import type { LoadedRecipe } from "../recipes/recipe.ts";
import { formatSeconds } from "../report/numbers.ts";
import { wrapText } from "../report/text_table.ts";
import { executeRun, makePlan, type RunEvent } from "../runner/mod.ts";
import type { OutputRef } from "../runner/stage.ts";
import type { Perplexity, TaskResult } from "../stages/artifacts.ts";
import type { Recipe } from "../stages/schema.ts";
import { debugging } from "./exit_codes.ts";
import { deviceOf, inputsNow, settle } from "./locks.ts";
import { throttled } from "./options.ts";
import { watchOutput } from "./run.ts";
import { tellStopped, type VerifyOptions, type VerifyPlaces } from "./verify_claim.ts";
import type { Verification } from "./verify_words.ts";

/** @returns what came of it, or the exit code of a run that did not end */
export async function measureAgain(
  loaded: LoadedRecipe<Recipe>,
  options: VerifyOptions,
  { claim, cache, known, scratch, terminal, interruption }: VerifyPlaces,
): Promise<Verification | number> {
  const began = performance.now(), folder = join(claim.folder, "model");
  const { evaluate } = loaded.recipe.stages, { data } = options;
  // Neither the original model nor the calibration text is needed, so neither is looked for.
  const alone: Recipe = { model: { path: folder }, stages: evaluate === undefined ? {} : { evaluate } };
  const nameOf = (each: string | { readonly name: string }) => typeof each === "string" ? each : each.name;
  const read = new Set([
    ...evaluate?.perplexity.map(nameOf) ?? [],
    ...evaluate?.tasks.map((task) => taskText(nameOf(task))) ?? [],
  ]);
  const inputs = { ...claim.inputs, files: claim.inputs.files.filter(({ of }) => read.has(of)) };
  const recipe = await settle({ ...loaded, recipe: alone }, { ...claim, inputs }, {
    ...{ data, hashes: known.fileHashes, purpose: "run" },
  });
  const measurement = await openMeasurement(recipe, folder, {
    ...{ purpose: "run", cache: known.folder, hashes: known.fileHashes, debug: debugging() },
    ...deviceOf(options, claim.inputs),
    warn: (message) => terminal.note(`warning: ${message}`),
    progress: throttled((message) => terminal.note(message)),
  });
  const { subject } = measurement;
  try {
    checkTexts(claim.inputs, await inputsNow(subject));
    const plan = await makePlan(subject, cache, { recipe: measurement.recipe });
    if (!options.json) {
      const text = `Measuring the packed model of ${claim.label} again: ${plan.totals.run} steps`;
      for (const line of wrapText(text, terminal.width, "  ")) terminal.line(line);
    }
    const output = watchOutput((event: RunEvent) => {
      if (event.type !== "step-finished") return;
      // The decoded weights stand in an original's place.
      const step = event.step.replace(".original[", ".compressed[");
      if (options.json) terminal.line(JSON.stringify({ type: "measured", step, seconds: event.seconds }));
      else terminal.line(`${step}  ${formatSeconds(event.seconds)}`);
    }, terminal);
    interruption.defer();
    const result = await executeRun(plan, subject, {
      ...{ cache, recipe: measurement.recipe, name: loaded.name, runsDir: join(scratch, "runs") },
      onEvent: output.onEvent,
      signal: AbortSignal.any([interruption.signal, output.signal]),
    });
    output.check();
    if (result.outcome !== "finished") return tellStopped(result, terminal);
    const valueOf = <T>(of: ReadonlyMap<string, OutputRef>, name: string): T | undefined => {
      const { step, output } = of.get(name) ?? {};
      const key = step === undefined || output === undefined ? undefined : plan.graph.get(step)?.outputs[output];
      return key === undefined ? undefined : cache.read(key).value as T;
    };
    const metrics = claim.outcome.metrics ?? NONE, { losses, scores } = measurement;
    const perplexity = Object.entries(metrics.perplexity).map(([name, before]) => [name, {
      ...before,
      compressed: Number(valueOf<Perplexity>(losses, name)?.perplexity ?? NaN),
    }]);
    const tasks = Object.entries(metrics.tasks ?? {}).map(([name, before]) => {
      const { acc, acc_norm } = valueOf<TaskResult>(scores, name) ?? {};
      const compressed = { acc: acc?.value ?? NaN, ...(acc_norm === undefined ? {} : { acc_norm: acc_norm.value }) };
      return [name, { ...before, compressed }];
    });
    const checks = checkMetrics(claim.outcome, {
      ...metrics,
      ...{ perplexity: Object.fromEntries(perplexity), tasks: Object.fromEntries(tasks) },
    });
    return {
      ...{ run: claim.label, mode: "measured again", steps: [], missing: [], notes: [], stoppedEarly: false },
      ...{ made: plan.totals.run, cached: 0 },
      files: await checkFiles(claim.outcome.model, folder),
      metrics: checks.filter(({ name }) => name.endsWith(" after")),
      seconds: (performance.now() - began) / 1000,
    };
  } finally {
    await subject.close();
  }
}

const NONE: LockedMetrics = {
  perplexity: {},
  bits: { nominal: 0, stored: 0, model: 0 },
  layer_error: 0,
};
