/** What a run or a sweep of a recipe would do, why, and what it would cost; no weights are read. */
import { pipeline, sharedPipeline } from "../pipeline/mod.ts";
import type { LoadedRecipe } from "../recipes/recipe.ts";
import type { LoadedSweep } from "../recipes/sweep.ts";
import { formatRanges } from "../report/numbers.ts";
import { groupSteps } from "../report/plan_groups.ts";
import { describePlace, STATES } from "../report/reasons.ts";
import { costOf, describeCost, lineOf } from "../report/sweep_cost.ts";
import { type ArtifactCache, makePlan, openCache } from "../runner/mod.ts";
import type { OpenOptions } from "../runner/stage.ts";
import { reachable, shareWork } from "../runner/sweep/sharing.ts";
import { surveySweep } from "../runner/sweep/survey.ts";
import type { Recipe } from "../stages/schema.ts";
import type { RecipePlan, SweepPlan } from "./recipe_schemas.ts";
import { redact } from "./redact.ts";

/** Where plans are made. */
export interface PlanPlaces {
  /** Folder of the cache; absolute. */
  readonly cache: string;
  /** Where kernels run. */
  readonly device: OpenOptions["device"];
}

/** The plan of a recipe. @throws {InputError} when its model or texts cannot be used */
export async function planRecipe(
  { recipe, sources, name }: LoadedRecipe<Recipe>,
  places: PlanPlaces,
): Promise<RecipePlan> {
  return await withCache(places, async ({ cache, open, warn, warnings }) => {
    const subject = await pipeline.open(recipe, { ...open, cache: cache.folder, hashes: cache.fileHashes });
    try {
      const { steps, totals: { run, cached, skip, seconds, memory, disk } } = await makePlan(subject, cache, {
        ...{ recipe, sources, warn },
      });
      const groups = groupSteps(steps).map(({ name, blocks, state, why, seconds }) => ({
        step: blocks.length > 0 ? `${name}[${formatRanges(blocks)}]` : name,
        ...{ state, words: STATES[state], seconds: state === "run" ? seconds : 0, steps: Math.max(1, blocks.length) },
        ...(why === undefined ? {} : { why }),
      }));
      const { model, method, device } = subject;
      return redact({
        ...{ recipe: name, model, method, device: describePlace(device), warnings, groups },
        totals: { run, cached, skip, seconds, memory, disk },
      });
    } finally {
      await subject.close();
    }
  });
}

/** The plan of a sweep, its points with what they share. @throws what stops each of its points alike */
export async function planSweep(
  { name, points }: Pick<LoadedSweep<Recipe>, "name" | "points">,
  places: PlanPlaces,
): Promise<SweepPlan> {
  await using pipeline = sharedPipeline();
  return await withCache(places, async ({ cache, open, warn, warnings }) => {
    const surveyed = await surveySweep(points, { pipeline, cache, open, warn });
    const opened = surveyed.flatMap(({ work }) => work ?? []);
    const { shares } = shareWork(opened, reachable(opened, cache, undefined));
    const shareOf = new Map(opened.map((work, at) => [work, shares[at]]));
    const [{ model, device }] = opened, totals = costOf(surveyed, shares);
    return redact({
      ...{ recipe: name, model, device: describePlace(device), warnings, totals, words: describeCost(totals) },
      points: surveyed.map((point) => {
        const { label, state, run = 0, rest = 0, seconds = 0, error } = lineOf(
          point,
          point.work && shareOf.get(point.work),
          false,
        );
        return { label, state, run, rest, seconds, ...(error === undefined ? {} : { error }) };
      }),
    });
  });
}

/** Opens the cache, and tells what is to be said of the plan, each thing once. */
async function withCache<T>(
  { cache: folder, device }: PlanPlaces,
  make: (made: {
    readonly cache: ArtifactCache;
    readonly open: Omit<OpenOptions, "cache" | "hashes">;
    readonly warn: (message: string) => void;
    readonly warnings: string[];
  }) => Promise<T>,
): Promise<T> {
  const cache = await openCache(folder), warnings: string[] = [];
  const warn = (message: string) => {
    if (!warnings.includes(message)) warnings.push(message);
  };
  try {
    return await make({ cache, open: { purpose: "plan", device, forward: "auto", warn }, warn, warnings });
  } finally {
    cache.close();
  }
}
