/**
 * The inputs that a lock names, found on this machine: where the lock says they lie, in folders beside it, or where the user says; and
 * taken for them only if their content is what the lock says. What differs otherwise, such as versions, is told.
 */
import { existsSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { type FileHashes, hashFile, inMemoryHashes } from "../files/file_hashes.ts";
import { formatBytes } from "../files/format_bytes.ts";
import { InputError } from "../files/input_error.ts";
import { mapPaths } from "../recipes/paths.ts";
import { canonicalJson } from "../runner/keys.ts";
import { RecipeSchema } from "../stages/schema.ts";
import type { Recipe } from "../stages/schema.ts";
import { type InputFile, type LockedInputs, taskText } from "./lock_record.ts";
import { PROJECT } from "./shareable_path.ts";

/** Where inputs are looked for. */
export interface InputPlaces {
  /** The lock's folder. */
  readonly folder: string;
  /** Other folders that may hold what the lock names; default: this project's. */
  readonly roots?: readonly string[];
  /** The model's folder or file, where the user names it; absolute. */
  readonly model?: string;
  /** Texts' files by the texts' names, where the user names them; absolute. */
  readonly data?: ReadonlyMap<string, string>;
  /** Memo of content hashes. */
  readonly hashes?: FileHashes;
  /** Whether files are known by their content, or, as planning reads no weights, by name and size alone. Default: true. */
  readonly read?: boolean;
  /** Recipe paths that something else than the lock states: they stay as they are. */
  readonly foreign?: (path: string) => boolean;
}

/** Most folders and files that are looked at for one input. */
const MOST_LOOKS = 64;

/**
 * A lock's recipe, its paths replaced by those of this machine.
 *
 * @param recipe of the lock, its paths absolute as `loadRecipe` makes them
 * @throws {InputError} saying which file with which content is wanted, and how to name it
 */
export async function findInputs(recipe: Recipe, inputs: LockedInputs, places: InputPlaces): Promise<Recipe> {
  const { foreign = () => false, data = new Map() } = places;
  const texts = new Set(inputs.files.map(({ of }) => of).filter((name) => name !== "model"));
  const stray = [...data.keys()].find((name) => !texts.has(name));
  if (stray !== undefined) {
    throw new InputError(
      `Cannot take a file for the text "${stray}": the lock reads no such file; its texts in files are ${
        [...texts].join(", ") || "none"
      }`,
    );
  }
  if (places.model !== undefined && !("path" in recipe.model)) {
    throw new InputError(
      `Cannot take ${places.model} for the model: the lock names one of the hub, ${inputs.model.label}`,
    );
  }
  const wanted: { readonly path: string; readonly key: string; readonly of: string }[] = [];
  mapPaths(recipe, RecipeSchema, (path, keys) => {
    const of = keys[0] === "model" ? "model" : textOf(recipe, keys);
    // Code lies where the recipe says: it was loaded to read the recipe.
    if (keys[0] !== "use" && !foreign(keys.join("."))) wanted.push({ path, key: keys.join("."), of });
    return path;
  });
  const found = new Map<string, string>();
  for (const { path, key, of } of wanted) {
    if (key === "model.config") found.set(key, findDescription(path, places));
    else found.set(key, await findInput(path, inputs.files.filter((file) => file.of === of), { ...places, of }));
  }
  return mapPaths(recipe, RecipeSchema, (path, keys) => found.get(keys.join(".")) ?? path);
}

/**
 * Holds what was opened against the lock: weights, config and tokenizer of the model, and every text.
 *
 * @param now what a lock of what was opened says
 * @throws {InputError} naming the first input that has another content
 */
export function checkInputs(locked: LockedInputs, now: LockedInputs): void {
  const model = "the folder of the same revision (--model)";
  if (locked.model.weights !== now.model.weights) throw other(`the model ${now.model.label}`, `give ${model}`);
  for (const part of ["config", "tokenizer", "generation"] as const) {
    const before = locked.model[part];
    if (before !== undefined && before !== now.model[part]) {
      throw other(`${PART_NAMES[part]} of the model ${now.model.label}`, `give ${model}`);
    }
  }
  for (const name of Object.keys(locked.texts)) {
    if (now.texts[name] === undefined) throw other(`the text ${name}`, "the recipe reads no such text");
  }
  checkTexts(locked, now);
}

/** As `checkInputs`, of the texts alone that were opened. */
export function checkTexts(locked: LockedInputs, now: LockedInputs): void {
  for (const [name, identity] of Object.entries(now.texts)) {
    const before = locked.texts[name];
    if (before !== undefined && canonicalJson(before) === canonicalJson(identity)) continue;
    throw other(`the text ${name}`, "give the same file (--data), or the dataset at the same revision");
  }
}

function other(what: string, remedy: string): InputError {
  return new InputError(`Cannot check this lock: ${what} is not the one that the run had; ${remedy}`);
}

const PART_NAMES = { config: "config.json", tokenizer: "the tokenizer", generation: "generation_config.json" } as const;

/** What else is not as it was: versions, code and device, a line each. */
export function otherVersions(locked: LockedInputs, now: LockedInputs): string[] {
  const lines: string[] = [];
  const tell = (what: string, before: string | undefined, after: string | undefined) => {
    if (before !== undefined && before !== after) lines.push(`${what} ${before} then, ${after} now`);
  };
  tell("pbs2p", locked.pbs2p, now.pbs2p);
  tell("Deno", locked.deno, now.deno);
  const packages = Object.entries(locked.packages ?? {}).filter(([name, version]) => now.packages?.[name] !== version);
  if (packages.length > 0) {
    const each = packages.map(([name, version]) => `${name} ${version} (now ${now.packages?.[name] ?? "none"})`);
    lines.push(`packages then: ${each.join(", ")}`);
  }
  const parts = Object.keys(locked.code).filter((part) => locked.code[part] !== now.code[part]);
  const code = [...new Set(parts.map((part) => part.split(" ")[0]))];
  if (code.length > 0) lines.push(`other code in ${code.join(", ")}`);
  const place = ({ device: { kind, name } }: LockedInputs) => `${kind} (${name})`;
  tell("device", place(locked), place(now));
  tell("forward passes on", locked.device.forward?.provider, now.device.forward?.provider);
  return lines;
}

/** Name of the text that a recipe's path leads to. */
function textOf({ stages }: Recipe, [, stage, list, index]: readonly string[]): string {
  if (stage === "evaluate" && list === "tasks") {
    const entry = stages.evaluate?.tasks[Number(index)];
    return taskText(typeof entry === "object" ? entry.name : `${entry}`);
  }
  if (stage !== "evaluate" || list !== "perplexity") return "calibration";
  const entry = stages.evaluate?.perplexity[Number(index)];
  return typeof entry === "object" ? entry.name : `${entry}`;
}

/** A path of this machine that has the content of the files of one input. */
async function findInput(
  path: string,
  files: readonly InputFile[],
  places: InputPlaces & { readonly of: string },
): Promise<string> {
  const { of, model, data, folder } = places;
  const given = of === "model" ? model : data?.get(of);
  if (given === undefined && files.length === 0) return path;
  const tried = given === undefined ? candidates(path, places) : [given];
  let near: string | undefined;
  for (const candidate of tried) {
    if (!existsSync(candidate)) continue;
    const wrong = await firstWrong(candidate, files, places);
    if (wrong === undefined) return candidate;
    // A folder where no such file is says nothing, unless the user has named it.
    if (given !== undefined || !wrong.missing) near ??= wrong.why;
  }
  const [first, ...more] = files;
  const rest = more.length === 0 ? "" : `, and ${more.length} more`;
  const what = of === "model" ? `of the model` : `of the text ${of}`;
  const option = of === "model" ? "--model PATH" : `--data ${of}=PATH`;
  const wanted = first === undefined
    ? basename(path)
    : `${first.name} ${what} (${formatBytes(first.bytes)}, ${first.bytes} bytes, sha256 ${first.sha256}${rest})`;
  const why = near ??
    (given === undefined
      ? `it is neither at ${
        showFrom(folder, path)
      } nor in or beside the lock's folder, nor in the working or the project's one`
      : `${given} is not there`);
  throw new InputError(`Cannot find ${wanted}: ${why}; name it with ${option}`);
}

/** What of an input's files is not there, or is another, in words. @returns undefined where all are the same */
async function firstWrong(
  candidate: string,
  files: readonly InputFile[],
  { of, hashes = inMemoryHashes(), read = true }: InputPlaces & { readonly of: string },
): Promise<{ readonly why: string; readonly missing: boolean } | undefined> {
  const isFolder = statSync(candidate).isDirectory(), wrong = (why: string, missing = false) => ({ why, missing });
  if (of !== "model" && isFolder) return wrong(`${candidate} is a folder`, true);
  const placed = files.map((file) => ({
    ...file,
    // A file that is all there is may have any name; shards lie side by side.
    path: isFolder ? join(candidate, file.name) : files.length > 1 ? join(dirname(candidate), file.name) : candidate,
  }));
  // All sizes are known before the first file is hashed.
  for (const { path, name, bytes } of placed) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return wrong(`${candidate} has no ${name}`, true);
    if (found.size !== bytes) return wrong(`${path} has ${found.size} bytes`);
  }
  for (const { path, sha256 } of read ? placed : []) {
    const found = await hashFile(path, hashes);
    if (found !== sha256) return wrong(`${path} has sha256 ${found}`);
  }
  return undefined;
}

/** The folder with config.json, where it is not the weights'; its content is compared once it is read. */
function findDescription(path: string, places: InputPlaces): string {
  const { model } = places;
  const found = candidates(path, places).find((each) => existsSync(join(each, "config.json")));
  if (found !== undefined) return found;
  if (model !== undefined && existsSync(join(model, "config.json"))) return model;
  throw new InputError(
    `Cannot find the folder with config.json and the tokenizer, ${
      basename(path)
    }: it is not beside the lock; put it there, or those ` +
      "files into the folder that --model names",
  );
}

/** The path itself, then all its ends under the folders where it may be. */
function candidates(path: string, { folder, roots = [PROJECT] }: InputPlaces): string[] {
  const names = relative(folder, path).split(/[\\/]/).filter((name) => name !== "..");
  const ends = names.map((_, at) => names.slice(at).join("/"));
  // The folder itself too: a recipe may lie in its model's.
  const all = [
    path,
    ...[folder, dirname(folder), ...roots].flatMap((root) => [...ends, "."].map((end) => resolve(root, end))),
  ];
  return [...new Set(all)].slice(0, MOST_LOOKS);
}

function showFrom(folder: string, path: string): string {
  return relative(folder, path).replaceAll("\\", "/");
}
