/**
 * Keys of a recipe that make a sweep of it, a list of points that differ in some values; and taking them off its tree.
 *
 * Not which points come of them (`sweep_points.ts`).
 */
import * as z from "zod";
import { type Problem, RecipeError } from "./diagnostics.ts";
import { type Entry, find, type Located } from "./located.ts";

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

/** A recipe's tree without these keys, and what stood there. */
export function takeSweepKeys(tree: Located): { readonly rest: Located; readonly entries: SweepEntries } {
  if (tree.kind !== "map") return { rest: tree, entries: {} };
  const isKey = (key: string) => Object.hasOwn(SweepKeys, key);
  const [own, rest] = [true, false].map((wanted) => [...tree.entries].filter(([key]) => isKey(key) === wanted));
  return { rest: { ...tree, entries: new Map(rest) }, entries: Object.fromEntries(own) };
}

/** Whether a recipe's tree is a sweep's. */
export function isSweep(tree: Located): boolean {
  return Object.keys(SweepKeys).some((key) => find(tree, [key]) !== undefined);
}

/**
 * Refuses a sweep where one recipe is wanted.
 *
 * @param problems what is wrong besides
 * @throws {RecipeError} when it is one
 */
export function refuseSweep(tree: Located, problems: readonly Problem[]): void {
  const key = [...MAKING, ...Object.keys(SweepKeys)].find((each) => find(tree, [each]) !== undefined);
  if (key === undefined) return;
  const found = find(tree, [key]), at = found?.key ?? found?.value.at;
  throw new RecipeError([...problems, {
    severity: "error",
    at,
    message: "this recipe is a sweep, and one recipe is wanted here",
    note: `\`deno task sweep ${at?.source.name}\` runs all of its points, and \`plan\` plans them`,
  }]);
}
