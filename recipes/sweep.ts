/**
 * Sweeps from disk: a recipe with `matrix` or `include` as the recipes of all its points.
 *
 * A point is the sweep's file without these keys, on top of what it extends, with the point's values and then `--set` laid over
 * it. Not the running of points, nor what recipes may say.
 */
import { basename, extname, resolve } from "node:path";
import type { Json } from "../files/json.ts";
import { type Diagnostic, type Problem, RecipeError, toDiagnostics } from "./diagnostics.ts";
import type { Recipe, RecipeLanguage } from "./language.ts";
import { type Entry, find, type Located, plain, type Span } from "./located.ts";
import { completeRecipe, type LoadedRecipe, type LoadOptions } from "./recipe.ts";
import { type FilesOptions, lineOf, readFiles, type RecipeFile, resolvePath } from "./recipe_files.ts";
import { readSettings } from "./settings.ts";
import { isSweep, sweepKeysOf, withoutSweepKeys } from "./sweep_keys.ts";
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
  options: SweepOptions = {},
): Promise<LoadedSweep<R> | undefined> {
  const { set = [], cwd = Deno.cwd(), with: over = [], most = MOST_POINTS, read } = options;
  const file = resolve(cwd, path);
  const problems: Problem[] = [];
  const reading = { cwd, problems, ...(read === undefined ? {} : { read }) };
  const root = await readFiles(file, reading);
  if (!root || !lineOf(root).some(({ tree }) => isSweep(tree))) return undefined;
  const tops = await Promise.all(over.map((each) => readFiles(resolve(cwd, each), reading)));
  const layers = tops.filter((top) => top !== undefined);
  const entries = sweepKeysOf([root, ...layers].flatMap(lineOf).map(({ tree }) => tree));
  const found = listPoints(entries, { most, problems });
  const settings = readSettings(set, cwd);
  problems.push(...settings.problems);
  stopAtErrors(problems);
  if (!found) throw new RecipeError(problems);

  const bases = await readBases(found.points.flat(), { root, reading });
  stopAtErrors(problems);
  const names = namePoints(found);
  const states = [settings.tree, ...layers, ...["model", "stages"].map((key) => find(root.tree, [key]))]
    .some((each) => each !== undefined);
  const said = new Said(problems, names);
  const points: LoadedPoint<R>[] = [];
  const spoken = rememberCode(language);
  for (const [at, own] of found.points.entries()) {
    const wrong: Problem[] = [];
    const extended = own.find(({ path }) => path === "extends");
    const pure = !states && own.every(({ path }) => path === "extends");
    const made = await completeRecipe(spoken, {
      ...{ base: bases.get(extended ? keyOf(extended.value) : "")!, layers },
      settings: [...own.flatMap((each) => treeOf(each) ?? []), ...settings.tree ? [settings.tree] : []],
      without: (tree) => withoutSweepKeys(pure ? tree : withoutForeignExpectations(tree, [root, ...layers])),
    }, { ...options, problems: wrong });
    said.add(at, wrong);
    const values = Object.fromEntries(own.map(({ path, value }) => [path, plain(value) as Json]));
    if (made) points.push({ ...names[at], values, recipe: made.recipe, sources: made.sources });
  }
  said.tell();
  stopAtErrors(problems);
  const name = find(root.tree, ["name"])?.value;
  const different = merge(points, (entries.matrix ?? entries.include)?.key, problems);
  const own = name?.kind === "scalar" ? String(name.value) : basename(file, extname(file));
  return {
    name: [own, ...layers.map((layer) => basename(layer.file, extname(layer.file)))].join(" with "),
    ...{ axes: found.axes, repeats: found.repeats, points: different, file, text: root.text },
    warnings: toDiagnostics(problems),
  };
}

function stopAtErrors(problems: readonly Problem[]): void {
  if (problems.some(({ severity }) => severity === "error")) throw new RecipeError(problems);
}

/** What a value names that stands for paths. */
function keyOf(value: Located): string {
  return textOf([value.at.source.folder, plain(value)]);
}

/** The sweep's file on top of what points extend, by the values that name it; and, by an empty text, as it is for all others. */
async function readBases(
  settings: readonly Setting[],
  { root, reading }: { readonly root: RecipeFile; readonly reading: FilesOptions },
): Promise<Map<string, RecipeFile>> {
  const { problems } = reading;
  const bases = new Map([["", root]]);
  const complain = (at: Span, message: string, more: Partial<Problem> = {}) =>
    problems.push({ severity: "error", at, message, ...more });
  const asked = settings.filter(({ path }) => path === "extends");
  // What a sweep extends that is itself one has its points; other recipes would have to choose their place among those of the points.
  const beside = lineOf(root).find(({ tree, bases }) =>
    isSweep(tree) && bases.some((base) => !lineOf(base).some(({ tree }) => isSweep(tree)))
  );
  const own = beside && find(beside.tree, ["extends"])?.key;
  if (own && asked.length > 0) {
    const message = "`extends` stands beside points that have an `extends` of their own";
    complain(own, message, { note: "let the recipes extend it that the points extend" });
    return bases;
  }
  for (const { value } of asked) {
    const name = keyOf(value);
    if (bases.has(name)) continue;
    bases.set(name, root);
    const texts = value.kind === "list" ? value.items : [value];
    const extended: RecipeFile[] = [];
    for (const { at, ...each } of texts) {
      if (each.kind !== "scalar" || typeof each.value !== "string" || each.value === "") {
        complain(at, "`extends` takes the path of a recipe");
        continue;
      }
      const file = resolvePath(each.value, at, problems);
      const base = file === undefined ? undefined : await readFiles(file, { ...reading, asked: at });
      if (!base) continue;
      if (lineOf(base).some(({ tree }) => isSweep(tree))) {
        complain(at, "this recipe is a sweep itself, which a point cannot be");
      } else extended.push(base);
    }
    bases.set(name, { ...root, bases: [...extended, ...root.bases] });
  }
  return bases;
}

/** A language that loads each set of files of code once. */
function rememberCode<R extends Recipe>(language: RecipeLanguage<R>): RecipeLanguage<R> {
  const { withUsed } = language;
  if (!withUsed) return language;
  type Complaint = Parameters<Parameters<typeof withUsed>[1]>;
  const known = new Map<string, { readonly full: Promise<RecipeLanguage<R>>; readonly faults: Complaint[] }>();
  const load = (files: Parameters<typeof withUsed>[0]) => {
    const faults: Complaint[] = [];
    return { full: withUsed(files, (...fault) => void faults.push(fault)), faults };
  };
  return {
    ...language,
    async withUsed(files, complain) {
      const key = JSON.stringify(files.map(({ file }) => file));
      const loaded = known.get(key) ?? load(files);
      known.set(key, loaded);
      const full = await loaded.full;
      // Each point is told, as what is not known in it means nothing then.
      for (const fault of loaded.faults) complain(...fault);
      return full;
    },
  };
}

/**
 * What a recipe is expected to give says nothing of one that sets other values: only what the sweep itself expects is left, or what is
 * laid on top of it.
 */
function withoutForeignExpectations(tree: Located, files: readonly RecipeFile[]): Located {
  const expect = find(tree, ["expect"]);
  if (tree.kind !== "map" || expect?.value.kind !== "map" || !expect.key) return tree;
  const texts = files.map(({ text }) => text);
  const own = [...expect.value.entries].filter(([, { value }]) => texts.includes(value.at.source.text));
  const entries = new Map(tree.entries);
  if (own.length === 0) entries.delete("expect");
  else entries.set("expect", { key: expect.key, value: { ...expect.value, entries: new Map(own) } });
  return { ...tree, entries };
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
