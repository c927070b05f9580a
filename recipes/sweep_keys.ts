/**
 * Keys of a recipe that make a sweep of it, a list of points that differ in some values; and taking them off its tree.
 *
 * Not which points come of them (`sweep_points.ts`).
 */
import * as z from "zod";
import { type Problem, RecipeError } from "./diagnostics.ts";
import { type Entry, find, type Located, overlay } from "./located.ts";
import { withoutKeys } from "./recipe_files.ts";

const paths = () => z.record(z.string(), z.unknown());

/** The keys, for the schema of recipes; what they may say is checked where points are made of it. */
export const SweepKeys = {
  matrix: z.record(z.string(), z.array(z.unknown())).optional().describe(
    "Makes a sweep: a list of values for each path, such as `stages.NAME.key: [4, 5, 6]`, and a point for " +
      "each combination; `extends` may be such a path",
  ),
  include: z.array(paths()).optional().describe(
    "More points of a sweep: maps of paths to a value, or to a list of values; a path may name a whole stage",
  ),
  exclude: z.array(paths()).optional().describe(
    "Points of the matrix that are left out: those with all values of one of these maps; a list stands for any of its values",
  ),
  repeats: z.array(z.string()).optional().describe(
    "Paths of the matrix that only repeat a point, such as a seed: results are shown as means over them",
  ),
};

/** One of these keys. */
export type SweepKey = keyof typeof SweepKeys;

/** The keys that make points. */
const MAKING = ["matrix", "include"] as const;

/** Parts of a sweep, each where its file has it. */
export type SweepEntries = Readonly<Partial<Record<SweepKey, Entry>>>;

/** What stands at these keys in the files of a sweep, each over those before it; maps are merged, lists replaced. */
export function sweepKeysOf(trees: readonly Located[]): SweepEntries {
  const entries = new Map<string, Entry>();
  for (const tree of trees) {
    for (const key of Object.keys(SweepKeys)) {
      const entry = tree.kind === "map" ? tree.entries.get(key) : undefined;
      if (!entry) continue;
      const before = entries.get(key);
      entries.set(key, before ? { key: entry.key, value: overlay(before.value, entry.value) } : entry);
    }
  }
  return Object.fromEntries(entries);
}

/** A recipe's tree without these keys. */
export function withoutSweepKeys(tree: Located): Located {
  return withoutKeys(tree, Object.keys(SweepKeys));
}

/** Whether a recipe's tree is a sweep's. */
export function isSweep(tree: Located): boolean {
  return Object.keys(SweepKeys).some((key) => find(tree, [key]) !== undefined);
}

/**
 * Refuses a sweep where one recipe is wanted.
 *
 * @param trees of the recipe's files
 * @param problems what is wrong besides
 * @throws {RecipeError} when one of them is of a sweep
 */
export function refuseSweep(trees: readonly Located[], problems: readonly Problem[]): void {
  const keys = [...MAKING, ...Object.keys(SweepKeys)];
  const at = trees.flatMap((tree) => keys.flatMap((key) => find(tree, [key])?.key ?? [])).at(0);
  if (at === undefined) return;
  throw new RecipeError([...problems, {
    severity: "error",
    at,
    message: "this recipe is a sweep, and one recipe is wanted here",
    note: `\`deno task sweep ${at.source.name}\` runs all of its points, and \`plan\` plans them`,
  }]);
}
