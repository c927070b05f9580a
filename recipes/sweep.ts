/**
 * Sweeps from disk: a recipe with `matrix` or `include` as the recipes of all its points.
 *
 * A point is the sweep's file without these keys, on top of what it extends, with the point's values and then `--set` laid over
 * it. Not the running of points, nor what recipes may say.
 */
import { basename, extname, resolve } from "node:path";
import type { Json } from "../files/json.ts";
import { type Diagnostic, type Problem, RecipeError, toDiagnostics } from "./diagnostics.ts";
import { fillEmptyMaps } from "./empty_maps.ts";
import { formsOf } from "./forms.ts";
import type { Recipe, RecipeLanguage } from "./language.ts";
import { type Entry, type Fault, find, type Located, type Overlay, overlay, plain, type Span } from "./located.ts";
import { finishRecipe, type LoadedRecipe, type LoadOptions, readChain, resolvePath } from "./recipe.ts";
import { readSettings } from "./settings.ts";
import { isSweep, takeSweepKeys } from "./sweep_keys.ts";
import { namePoints, type PointName } from "./sweep_labels.ts";
import { listPoints, type Setting, textOf } from "./sweep_points.ts";

/** One point of a sweep, an ordinary recipe. */
export interface LoadedPoint<R extends Recipe = Recipe> extends PointName {
  /** Plain values of the point by path; `extends` as it is written. */
  readonly values: Readonly<Record<string, Json>>;
  readonly recipe: R;
  /** As `LoadedRecipe.sources`. */
  readonly sources: LoadedRecipe<R>["sources"];
}

/** A sweep, complete and checked. */
export interface LoadedSweep<R extends Recipe = Recipe> {
  /** The sweep's name, or its file's. */
  readonly name: string;
  /** Paths in which points differ, as they are first named. */
  readonly axes: readonly string[];
  /** Of these, those that only repeat a point. */
  readonly repeats: readonly string[];
  readonly points: readonly LoadedPoint<R>[];
  /** The file, absolute. */
  readonly file: string;
  /** The file's text. */
  readonly text: string;
  readonly warnings: readonly Diagnostic[];
}

/** How a sweep is read. */
export interface SweepOptions extends LoadOptions {
  /** Points that are taken for meant; default: 10 000. */
  readonly most?: number;
}

/** Points that nobody writes down by hand and waits for. */
const MOST_POINTS = 10_000;

/**
 * Reads a sweep and everything that it and its points extend.
 *
 * @param language what recipes may say
 * @param path a YAML file
 * @returns undefined where the file is an ordinary recipe
 * @throws {RecipeError} with everything that is wrong at once, in the sweep or in any of its points
 */
export async function readSweep<R extends Recipe>(
  language: RecipeLanguage<R>,
  path: string,
  { set = [], cwd = Deno.cwd(), most = MOST_POINTS }: SweepOptions = {},
): Promise<LoadedSweep<R> | undefined> {
  const file = resolve(cwd, path);
  const problems: Problem[] = [];
  const forms = formsOf(language.schema);
  const root = await readChain(language, file, { cwd, forms, problems });
  if (!root || !isSweep(root.tree)) return undefined;
  const { rest, entries } = takeSweepKeys(root.tree);
  const found = listPoints(entries, { most, problems });
  const settings = readSettings(set, cwd);
  problems.push(...settings.problems);
  if (!found || problems.some(({ severity }) => severity === "error")) throw new RecipeError(problems);

  const bases = await readBases(found.points.flat(), { language, cwd, forms, rest, problems });
  if (problems.some(({ severity }) => severity === "error")) throw new RecipeError(problems);
  const names = namePoints(found);
  const states = ["model", "stages"].some((key) => isFrom(root.text, find(rest, [key])?.value));
  const said = new Said(problems, names);
  const points = found.points.map((settingsOf, at): LoadedPoint<R> | undefined => {
    const own: Problem[] = [];
    const complain = (fault: Fault) => own.push({ severity: "error", ...fault });
    const extended = settingsOf.find(({ path }) => path === "extends");
    let tree = extended ? bases.get(textOf(plain(extended.value)))! : rest;
    for (const setting of [...settingsOf.map(treeOf), settings.tree]) {
      if (setting) tree = overlay(tree, fillEmptyMaps(setting, language.schema), { forms, complain });
    }
    const pure = settingsOf.every(({ path }) => path === "extends") && settings.tree === undefined;
    const finished = finishRecipe(language, pure && !states ? tree : withoutForeignExpectations(tree, root.text), own);
    said.add(at, own);
    const values = Object.fromEntries(settingsOf.map(({ path, value }) => [path, plain(value) as Json]));
    return finished && { ...names[at], values, ...finished };
  });
  said.tell();
  if (problems.some(({ severity }) => severity === "error")) throw new RecipeError(problems);
  const complete = points.filter((point) => point !== undefined);
  const different = merge(complete, (entries.matrix ?? entries.include)?.key, problems);
  const name = find(rest, ["name"])?.value;
  return {
    name: name?.kind === "scalar" && isFrom(root.text, name) ? String(name.value) : basename(file, extname(file)),
    ...{ axes: found.axes, repeats: found.repeats, points: different, file, text: root.text },
    warnings: toDiagnostics(problems),
  };
}

/** The trees that points extend, with the sweep's own laid over them; by the texts of the values that name them. */
async function readBases(
  settings: readonly Setting[],
  { language, cwd, forms, rest, problems }: {
    readonly language: Pick<RecipeLanguage, "schema">;
    readonly cwd: string;
    readonly rest: Located;
    readonly problems: Problem[];
  } & Pick<Overlay, "forms">,
): Promise<Map<string, Located>> {
  const bases = new Map<string, Located>();
  const asked = settings.filter(({ path }) => path === "extends");
  const own = find(rest, ["extends"])?.key;
  if (own && asked.length > 0) {
    const message = "`extends` stands beside points that have an `extends` of their own";
    problems.push({ severity: "error", at: own, message, note: "extend it in the recipes that the points extend" });
    return bases;
  }
  const complain = (at: Span, message: string, more: Partial<Problem> = {}) =>
    problems.push({ severity: "error", at, message, ...more });
  for (const { value } of asked) {
    const name = textOf(plain(value));
    if (bases.has(name)) continue;
    bases.set(name, rest);
    if (value.kind !== "scalar" || typeof value.value !== "string" || value.value === "") {
      complain(value.at, "`extends` takes the path of a recipe");
      continue;
    }
    const file = resolvePath(value.value, value.at, problems);
    const base = file === undefined
      ? undefined
      : await readChain(language, file, { cwd, forms, problems, from: value });
    if (!base) continue;
    if (isSweep(base.tree)) complain(value.at, "this recipe is a sweep itself, which a point cannot be");
    else bases.set(name, overlay(base.tree, rest, { forms }));
  }
  return bases;
}

/** What a recipe is expected to give says nothing of one that sets other values: only what the sweep itself expects is left. */
function withoutForeignExpectations(tree: Located, text: string): Located {
  const expect = find(tree, ["expect"]);
  if (tree.kind !== "map" || expect?.value.kind !== "map" || !expect.key) return tree;
  const own = [...expect.value.entries].filter(([, { value }]) => isFrom(text, value));
  const entries = new Map(tree.entries);
  if (own.length === 0) entries.delete("expect");
  else entries.set("expect", { key: expect.key, value: { ...expect.value, entries: new Map(own) } });
  return { ...tree, entries };
}

/** Whether a value stands in the sweep's own text, or in an argument. */
function isFrom(text: string, value: Located | undefined): boolean {
  return value !== undefined && (value.at.source.kind !== "file" || value.at.source.text === text);
}

/** A setting as a tree to be laid over a recipe; each key where it stands in the path. */
function treeOf({ path, key, value }: Setting): Located | undefined {
  if (path === "extends") return undefined;
  const written = key.source.text.slice(key.start, key.end);
  // A path in quotes; one that an alias or a merge stands for has no keys to point at.
  const start = written === path ? key.start : written.slice(1, -1) === path ? key.start + 1 : undefined;
  let end = start === undefined ? key.end : start + path.length;
  let tree = value;
  for (const name of path.split(".").reverse()) {
    const at = start === undefined ? key : { ...key, start: end - name.length, end };
    const entry: Entry = { key: at, value: tree };
    tree = { kind: "map", entries: new Map([[name, entry]]), at: { ...at, end: Math.max(at.end, value.at.end) } };
    end -= name.length + 1;
  }
  return tree;
}

/** What is wrong with points, each thing once, and in which points it is. */
class Said {
  readonly #problems: Problem[];
  readonly #names: readonly PointName[];
  readonly #known = new Map<string, { readonly problem: Problem; readonly first: number; points: number }>();

  constructor(problems: Problem[], names: readonly PointName[]) {
    this.#problems = problems;
    this.#names = names;
  }

  add(point: number, problems: readonly Problem[]): void {
    for (const problem of problems) {
      const { severity, message, at } = problem;
      const key = JSON.stringify([severity, message, at?.source.name, at?.source.text.length, at?.start]);
      const known = this.#known.get(key);
      if (known) known.points++;
      else this.#known.set(key, { problem, first: point, points: 1 });
    }
  }

  /** Adds all of it to the sweep's problems; what is wrong in all points is wrong in the sweep. */
  tell(): void {
    for (const { problem, first, points } of this.#known.values()) {
      const [{ label }, all] = [this.#names[first], this.#names.length];
      const which = points === 1 ? `in point \`${label}\`` : `in ${points} of ${all} points, the first is \`${label}\``;
      const note = points === all ? problem.note : problem.note === undefined ? which : `${problem.note}; ${which}`;
      this.#problems.push({ ...problem, ...(note === undefined ? {} : { note }) });
    }
  }
}

/** Leaves out points that are the same as one before, and says so. */
function merge<R extends Recipe>(
  points: readonly LoadedPoint<R>[],
  at: Span | undefined,
  problems: Problem[],
): LoadedPoint<R>[] {
  const known = new Map<string, LoadedPoint<R>>();
  const twins: string[] = [];
  for (const point of points) {
    const { name: _name, description: _description, expect: _expect, ...same } = point.recipe as
      & Recipe
      & { readonly description?: string };
    const key = textOf(same);
    const twin = known.get(key);
    if (twin) twins.push(`\`${point.label}\` is \`${twin.label}\``);
    else known.set(key, point);
  }
  if (twins.length > 0) {
    const message = twins.length === 1
      ? "one point is the same as another, and is left out"
      : `${twins.length} points are the same as others, and are left out`;
    const more = twins.length > 5 ? ` and ${twins.length - 5} more` : "";
    problems.push({ severity: "warning", at, message, note: twins.slice(0, 5).join(", ") + more });
  }
  return [...known.values()];
}
