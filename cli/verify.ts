/** `verify`: makes a run again from its lock, or measures its packed model again, and says whether the same came of it. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { openPacked, type PackedCheckpoint } from "../checkpoints/packed/open.ts";
import { lockedMetrics } from "../pipeline/lock_record.ts";
import { RunComparison, type StepVerdict } from "../pipeline/run_comparison.ts";
import { checkFiles, checkMetrics } from "../pipeline/verdict.ts";
import type { LoadedRecipe } from "../recipes/recipe.ts";
import { formatSeconds } from "../report/numbers.ts";
import { wrapText } from "../report/text_table.ts";
import { LOCK } from "../runner/journal.ts";
import { executeRun, makePlan, openCache, type Plan, type RunEvent } from "../runner/mod.ts";
import type { Recipe } from "../stages/schema.ts";
import { UsageError } from "./exit_codes.ts";
import { fetchTarget, HUB_TARGET, hubTarget, placeOfModel } from "./hub_access.ts";
import { listenForInterruption } from "./interruption.ts";
import { checkOpened, deviceOf, inputOptions, loadLocked, settle } from "./locks.ts";
import {
  cacheOption,
  type CommandContext,
  deviceOption,
  forwardOption,
  openSubject,
  runsOption,
  withOutputOptions,
} from "./options.ts";
import { cacheFolder } from "./places.ts";
import { readMetrics, watchOutput } from "./run.ts";
import type { Terminal } from "./terminal.ts";
import { type Claim, lookAt, openClaim, tellStopped, type VerifyOptions, type VerifyPlaces } from "./verify_claim.ts";
import { holdScratch, scratchFolder } from "./verify_scratch.ts";
import { measureAgain } from "./verify_measure.ts";
import { conclude, describeStep, type Verification } from "./verify_words.ts";

const MORE =
  "All steps are made again in a cache of their own (in `verify` of the cache's folder), which is removed in the end; what an interrupted verify has made is used by the next. " +
  "Bit-identical: every tensor that is kept, the packed files and all measures are the same. Within tolerance: something differs, but " +
  "perplexities, bits and the mean layer error are as near as the lock's `tolerance` says: what the recipe expects, or 1 % (5 % for the error). " +
  "With --json each step is a line of JSON (type step) and the last line is the verdict (type verdict). " +
  "Exit codes: 0 bit-identical, 11 within tolerance, 12 different, 3 it cannot be verified as an input is missing or another.";

/** The command. */
export function verifyCommand(context: CommandContext): Command {
  const command = withOutputOptions(new Command("verify"))
    .description(
      "make a run again from its lock, and say whether it is bit-identical, within tolerance, or where it first differs",
    )
    .argument("<run>", `a recipe.lock.yaml, a run's folder, a run's id, \`last\`, or ${HUB_TARGET}`)
    .option("--evaluate-only", "measure the packed model of a run's folder again, and make nothing")
    .option("--first", "stop at the first step that differs")
    .option("--cached", "take what the cache has: such steps are compared, but not made again, and prove nothing")
    .option("--keep", "keep what was made, and say where it is")
    .option("--allow-plugins", "run the code that the lock names under `use`")
    .addOption(deviceOption("auto: the CPU where the lock's run was on it, else as for run"))
    .addOption(forwardOption("auto", "auto: the CPU where the lock's run was on it, else as for run"))
    .addOption(cacheOption())
    .addOption(runsOption())
    .addHelpText("after", () => `\n${wrapText(MORE, context.terminal({}).width).join("\n")}`)
    .action(async (target: string, options: VerifyOptions) =>
      context.exit(await verify(target, options, context.terminal(options)))
    );
  for (const option of inputOptions()) command.addOption(option);
  return command;
}

/** @returns the exit code */
async function verify(target: string, options: VerifyOptions, terminal: Terminal): Promise<number> {
  const interruption = listenForInterruption({
    onFirst: () => terminal.note("\nStopping after what can be stopped; Ctrl-C again stops at once."),
  });
  const wanted = hubTarget(target);
  const known = await openCache(cacheFolder(options.cache));
  try {
    // What its files should be is told by the verdict.
    const pulled = wanted && await fetchTarget(target, wanted, { known, check: false }, terminal);
    if (pulled !== undefined && pulled.kind !== "run") {
      throw new UsageError(`Cannot verify "${target}": it has no ${LOCK}, so nothing says how it was made`);
    }
    return await verifyClaim(openClaim(pulled?.folder ?? target, options), options, { known, terminal, interruption });
  } finally {
    known.close();
    interruption.stop();
  }
}

async function verifyClaim(
  claim: Claim,
  options: VerifyOptions,
  around: Pick<VerifyPlaces, "known" | "terminal" | "interruption">,
): Promise<number> {
  const { known, terminal } = around;
  const spoilt = await lookAt(claim);
  if (spoilt !== undefined) return conclude(spoilt, options, terminal);
  const loaded = await loadLocked(claim, options.allowPlugins ? { allowPlugins: true } : {});
  const own = !options.cached, scratch = scratchOf(claim, options);
  const resumed = existsSync(join(scratch, "cache"));
  const held = holdScratch(scratch);
  if (held === undefined) {
    throw new UsageError("Cannot verify this lock now, as another process does; wait for its end, or end it");
  }
  const cache = own ? await openCache(join(scratch, "cache"), { size: Infinity }) : known;
  let found: Verification | number, useless = false;
  try {
    const places: VerifyPlaces = { ...around, claim, cache, scratch, resumed, own };
    found = await (options.evaluateOnly ? measureAgain : makeAgain)(loaded, options, places);
  } catch (error) {
    // Nothing was made yet: a run that fails or is interrupted is no exception.
    useless = !resumed;
    throw error;
  } finally {
    if (own) cache.close();
    held.close();
    if (useless) await Deno.remove(scratch, { recursive: true }).catch(() => {});
  }
  if (typeof found === "number") return found;
  if (options.keep) return conclude({ ...found, kept: scratch }, options, terminal);
  await Deno.remove(scratch, { recursive: true });
  return conclude(found, options, terminal);
}

/** A folder that the same command finds again. */
function scratchOf(
  { file }: Claim,
  { evaluateOnly = false, cached = false, cache, device, forward }: VerifyOptions,
): string {
  const what = JSON.stringify([evaluateOnly, cached, device, forward]);
  const id = createHash("sha256").update(readFileSync(file)).update(what).digest("hex").slice(0, 32);
  return join(scratchFolder(cacheFolder(cache)), id);
}

/** Runs the recipe. @returns what came of it, or the exit code of a run that did not end */
async function makeAgain(
  loaded: LoadedRecipe<Recipe>,
  options: VerifyOptions,
  places: VerifyPlaces,
): Promise<Verification | number> {
  const { claim, cache, known, scratch, own, terminal, interruption } = places, began = performance.now();
  const { data } = options, hashes = known.fileHashes;
  const model = await placeOfModel(options.model, claim.inputs, { known }, terminal);
  const recipe = await settle(loaded, claim, { model, data, hashes, purpose: "run" });
  const opening = { purpose: "run", cache: known, ...deviceOf(options, claim.inputs) } as const;
  const subject = await openSubject(recipe, opening, terminal);
  let packed: PackedCheckpoint | undefined;
  try {
    const notes = await checkOpened(subject, claim, terminal);
    if (existsSync(join(claim.folder, "model"))) packed = await openPacked(join(claim.folder, "model"));
    const plan = await makePlan(subject, cache, { recipe }), executed = new Map<string, number>();
    const stop = new AbortController(), tell = stepTeller(options, terminal);
    const comparison = new RunComparison({
      ...{ steps: claim.lock.outcome?.steps ?? {}, graph: plan.graph, cache, originals: { cache: known, packed } },
      onVerdict(verdict) {
        tell(verdict, executed.get(verdict.step));
        if (options.first && verdict.verdict === "different") stop.abort();
      },
    });
    if (!options.json) introduce(claim, plan, places);
    const output = watchOutput((event: RunEvent) => {
      if (event.type === "warning") terminal.note(`warning: ${event.message}`);
      if (event.type !== "step-finished") return;
      if (event.reused !== true) executed.set(event.step, event.seconds);
      comparison.ended(event.step);
    }, terminal);
    interruption.defer();
    const result = await executeRun(plan, subject, {
      ...{ cache, recipe, name: loaded.name, runsDir: join(scratch, "runs"), onEvent: output.onEvent },
      signal: AbortSignal.any([interruption.signal, output.signal, stop.signal]),
    });
    await comparison.settled();
    output.check();
    const finished = result.outcome === "finished";
    if (!finished && !stop.signal.aborted) return tellStopped(result, terminal);
    const steps = finished ? await comparison.finish() : comparison.verdicts;
    const metrics = finished ? checkMetrics(claim.outcome, lockedMetrics(await readMetrics(result.folder))) : [];
    const there = plan.graph.size - plan.totals.run;
    return {
      ...{ run: claim.label, mode: "made again", notes, steps, metrics },
      missing: finished ? comparison.missing : [],
      ...own ? { made: executed.size + there, cached: 0 } : { made: executed.size, cached: there },
      files: finished ? await checkFiles(claim.outcome.model, join(result.folder, "model")) : [],
      seconds: (performance.now() - began) / 1000,
      stoppedEarly: !finished,
    };
  } finally {
    packed?.close();
    await subject.close();
  }
}

function introduce({ label, inputs: { model, device } }: Claim, { totals, graph }: Plan, places: VerifyPlaces): void {
  const { own, resumed, terminal } = places, there = graph.size - totals.run;
  const lines = [
    `Verifying ${label}: ${model.label}, made on ${device.kind} (${device.name})`,
    `${totals.run} steps to make again` +
    (there === 0
      ? ""
      : own && resumed
      ? `; ${there} were made by the verify that was interrupted`
      : `; ${there} are in the cache, and prove nothing`) +
    (totals.run === 0 ? "" : `, about ${formatSeconds(totals.seconds)}`),
  ];
  for (const line of lines) for (const each of wrapText(line, terminal.width, "  ")) terminal.line(each);
}

/** Says how steps compare, the first that differs in full; those that were not made are told only where they differ. */
function stepTeller({ json = false }: VerifyOptions, terminal: Terminal) {
  let differed = false;
  return (verdict: StepVerdict, seconds: number | undefined): void => {
    if (json) return terminal.line(JSON.stringify({ type: "step", ...verdict, made: seconds !== undefined }));
    const { step, verdict: how, differing } = verdict;
    if (how !== "different" && seconds === undefined) return;
    const took = seconds === undefined ? "from the cache" : formatSeconds(seconds);
    const words = how === "same"
      ? "same"
      : how === "unrecorded"
      ? "made"
      : differed
      ? `differs too, in ${differing}`
      : `differs: ${describeStep(verdict).slice(step.length + 2)}`;
    differed ||= how === "different";
    for (const line of wrapText(`${step}  ${took}  ${words}`, terminal.width, "    ")) terminal.line(line);
  };
}
