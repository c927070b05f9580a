/**
 * The files of a recipe: the one that is asked for, those it extends, and what they name under `use`.
 *
 * Not the merging of `--set` nor the checking of what comes of it (`recipe.ts`).
 */
import { dirname, relative, resolve } from "node:path";
import { expandHome } from "../files/home.ts";
import type { Problem } from "./diagnostics.ts";
import { fillEmptyMaps } from "./empty_maps.ts";
import type { Origin, UsedFile } from "./language.ts";
import { type Entry, find, type Located, type Overlay, overlay, type Source, type Span } from "./located.ts";
import { readText, type Refusal } from "./read_text.ts";
import { readYaml } from "./read_yaml.ts";

/** A recipe's file as it was read. */
export interface RecipeFile {
  /** Absolute. */
  readonly file: string;
  readonly text: string;
  readonly tree: Located;
  /** What it extends; later ones override earlier ones. */
  readonly bases: readonly RecipeFile[];
}

/** Gives a recipe's text, or says why there is none. */
export type ReadRecipe = (file: string) => Promise<{ readonly text: string } | Refusal>;

/** How files are read. */
export interface FilesOptions {
  /** The folder that names in messages are shown relative to. */
  readonly cwd: string;
  /** Is told what is wrong. */
  readonly problems: Problem[];
  /** Reads a file, absolute; default: from disk, whichever it is. */
  readonly read?: ReadRecipe;
  /** Where the file is asked for. */
  readonly asked?: Span;
  /** Whether the file is a run's lock, and its `recipe` is meant. */
  readonly locked?: boolean;
}

/** Recipes that may extend one another. */
const MOST_FILES = 32;

/** The line of a run's lock at which its recipe ends. */
const AFTER_RECIPE = "lock:";

/** The key of lists that add up: what a base uses, those that extend it use too. */
const USE = "use";

/**
 * Reads a recipe's file and all that it extends, each file once.
 *
 * @param file absolute
 * @returns undefined, and a problem, where there is no recipe in it; bases of which that is so are left out
 */
export async function readFiles(file: string, options: FilesOptions): Promise<RecipeFile | undefined> {
  return await readOne(file, { ...options, above: [], known: new Map() });
}

interface Reading extends FilesOptions {
  /** Files that lead here, the first asked for first. */
  readonly above: readonly string[];
  readonly known: Map<string, RecipeFile | undefined>;
}

async function readOne(file: string, reading: Reading): Promise<RecipeFile | undefined> {
  const { cwd, problems, above, known, asked, read: readFrom, locked = false } = reading;
  const complain = (message: string, more: Partial<Problem> = {}) =>
    void problems.push({ severity: "error", message, at: asked, ...more });
  if (above.includes(file)) {
    const loop = [...above.slice(above.indexOf(file)), file];
    return complain("recipes extend one another in a circle", {
      note: loop.map((each) => showPath(each, cwd)).join(" → "),
    });
  }
  if (known.has(file)) return known.get(file);
  if (known.size === MOST_FILES) return complain(`more than ${MOST_FILES} recipes extend one another`);
  known.set(file, undefined);
  const read = readFrom ? await readFrom(file) : await readText(file, locked ? { before: AFTER_RECIPE } : {});
  if ("reason" in read) {
    const { reason, similar, note } = read;
    const suggestion = similar === undefined ? undefined : showPath(resolve(dirname(file), similar), cwd);
    return complain(`cannot read recipe \`${showPath(file, cwd)}\`: ${reason}`, { suggestion, note });
  }
  const source: Source = { kind: "file", name: showPath(file, cwd), folder: dirname(file), text: read.text };
  const { tree: whole, faults } = readYaml(source);
  problems.push(...faults.map((fault) => ({ severity: "error" as const, ...fault })));
  const tree = whole && locked ? find(whole, ["recipe"])?.value : whole;
  if (whole && !tree) complain(`\`${source.name}\` has no \`recipe\`, so it is no lock of a run`);
  if (!tree) return undefined;
  const bases: RecipeFile[] = [];
  for (const { text, at } of textsOf(find(tree, ["extends"])?.value)) {
    const target = resolvePath(text, at, problems);
    const base = target === undefined
      ? undefined
      : await readOne(target, { ...reading, above: [...above, file], asked: at, locked: false });
    if (base) bases.push(base);
  }
  const found: RecipeFile = { file, text: read.text, tree, bases };
  known.set(file, found);
  return found;
}

/**
 * One tree of a file and all that it extends, without what they use. A base that several files extend counts once, at its first place: so
 * what one of them changes of it, the next does not change back.
 *
 * @param schema of whole recipes
 */
export function mergeFiles(file: RecipeFile, schema: unknown, forms: Overlay["forms"]): Located {
  return lineOf(file).map(({ tree }) => fillEmptyMaps(withoutKeys(tree, [USE]), schema))
    .reduce((under, over) => overlay(under, over, { forms }));
}

/**
 * Files of code that a recipe and its bases use, bases first.
 *
 * What a recipe of the hub extends is its author's choice, wherever that lies: so all that is reached only through it counts as the hub's,
 * while a recipe of this machine may extend one of the hub and use code of its own.
 *
 * @param originOf where a recipe's file came from
 */
export function listUsed(
  file: RecipeFile,
  { originOf, problems }: { readonly originOf: (file: string) => Origin; readonly problems: Problem[] },
): UsedFile[] {
  const local = new Set<RecipeFile>();
  const visit = (each: RecipeFile) => {
    if (local.has(each) || originOf(each.file) === "hub") return;
    local.add(each);
    each.bases.forEach(visit);
  };
  visit(file);
  return lineOf(file).flatMap((each) => usedBy(each.tree, local.has(each) ? "local" : "hub", problems));
}

/** Files of code that one text uses. */
export function usedBy(tree: Located, origin: Origin, problems: Problem[]): UsedFile[] {
  const list = find(tree, [USE])?.value;
  if (list?.kind !== "list") return [];
  return textsOf(list).flatMap(({ text, at }) => {
    const file = resolvePath(text, at, problems);
    return file === undefined ? [] : [{ file, at, origin }];
  });
}

/** A tree with the list of what all its texts use, each file once; what is no list of texts is left as it stands. */
export function withUsed(tree: Located, texts: readonly Located[]): Located {
  const found = texts.flatMap((text) => tree.kind === "map" && text.kind === "map" ? text.entries.get(USE) ?? [] : []);
  const last = found.at(-1);
  if (tree.kind !== "map" || last === undefined) return tree;
  const wrong = found.find(({ value }) => value.kind !== "list");
  const seen = new Set<string>();
  const items = found.flatMap(({ value }) => value.kind === "list" ? value.items : []).filter((item) => {
    if (item.kind !== "scalar" || typeof item.value !== "string") return true;
    const file = resolve(item.at.source.folder, item.value);
    return !seen.has(file) && seen.add(file);
  });
  const entry: Entry = wrong ?? { key: last.key, value: { kind: "list", items, at: last.value.at } };
  return { ...tree, entries: new Map([...tree.entries, [USE, entry]]) };
}

/** A file and all that it extends, each once, bases before those that extend them. */
export function lineOf(file: RecipeFile): RecipeFile[] {
  const line = new Set<RecipeFile>();
  const visit = (each: RecipeFile) => {
    if (line.has(each)) return;
    each.bases.forEach(visit);
    line.add(each);
  };
  visit(file);
  return [...line];
}

/** A map without some of its keys. */
export function withoutKeys(tree: Located, keys: readonly string[]): Located {
  if (tree.kind !== "map") return tree;
  return { ...tree, entries: new Map([...tree.entries].filter(([key]) => !keys.includes(key))) };
}

/** A path as people see it: relative where that is shorter. */
export function showPath(file: string, cwd: string): string {
  const short = relative(cwd, file);
  return (short !== "" && short.length < file.length ? short : file).replaceAll("\\", "/");
}

/** A path as a recipe states it, made absolute. @returns undefined, and a problem, where it begins with an unknown home */
export function resolvePath(path: string, at: Span, problems: Problem[]): string | undefined {
  try {
    return resolve(at.source.folder, expandHome(path));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const [message, note] = error.message.split("; ");
    problems.push({ severity: "error", at, message: message.replace(/^C/, "c"), note });
    return undefined;
  }
}

/** Texts of a list, or the one that stands in its place. */
function textsOf(tree: Located | undefined): { readonly text: string; readonly at: Span }[] {
  if (tree?.kind === "list") return tree.items.flatMap(textsOf);
  return tree?.kind === "scalar" && typeof tree.value === "string" ? [{ text: tree.value, at: tree.at }] : [];
}
