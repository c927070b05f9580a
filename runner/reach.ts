/**
 * What code reaches: the files that a module needs to run, found by following its imports, and one hash of them. A step's
 * key covers the hash of what its code reaches, so that a mended file re-makes what came from it, and nothing else.
 *
 * Imports of types alone change no result and are not followed. A *door* (a file of nothing but `export … from`) is seen
 * through: only what is taken by name is followed. A *list* (an array of all methods, say, of which a recipe takes one) is
 * replaced by the entries that were chosen.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";

/** One import or re-export of a file. */
export interface Link {
  /** As written: a path from this file, or a package's name. */
  readonly target: string;
  /** Names that are taken and no types: the target's name, and the name here; `*` stands for all, `default` for the default. */
  readonly names: readonly (readonly [theirs: string, ours: string])[];
  readonly exported: boolean;
  /** Whether only types are taken. */
  readonly typeOnly: boolean;
  /** How a module is loaded when it is not imported at the top. */
  readonly late?: "import" | "worker";
}

/** A source file, as far as its imports go. */
export interface SourceFile {
  /** Without comments on lines of their own and without empty lines. */
  readonly code: string;
  readonly links: readonly Link[];
  /** Whether it holds nothing but re-exports. */
  readonly door: boolean;
}

/** Code that lies elsewhere, as far as it matters here. */
export interface OutsideCode {
  /** Of its own text. */
  readonly hash: string;
  /** Files of the project that it imports, and the names that it takes of each. */
  readonly reaches: readonly (readonly [path: string, names: readonly string[]])[];
  /** Names of packages that it imports. */
  readonly packages: readonly string[];
}

/** What is followed. */
export interface ReachOptions {
  /** Folder that all paths are relative to; default: this project. */
  readonly root?: string;
  /** Files that are not entered. */
  readonly skip?: (path: string) => boolean;
  /** Lists, and the files, or the code that lies elsewhere, that stand for each of them. */
  readonly chosen?: Readonly<Record<string, readonly (string | OutsideCode)[]>>;
}

/** What was found. */
export interface Reach {
  /** Files relative to the root, sorted. */
  readonly files: readonly string[];
  /** Packages with their pinned versions, sorted. */
  readonly packages: readonly string[];
  /** Hex sha256 of the code of all files, and of the packages' versions. */
  readonly hash: string;
}

/** This project's folder. */
const PROJECT = fileURLToPath(new URL("../", import.meta.url));

/** Everything between the keyword and the module, of an import or re-export at the beginning of a line. */
const STATEMENT = /^(import|export)\s+(type\s+)?([^;"'()=]*?)\s*from\s+"([^"]+)"(?:\s+with\s+\{[^}]*\})?;$/gm;
const SIDE_EFFECT = /^import\s+"([^"]+)";$/gm;
/** Modules that are loaded late, and workers. */
const LATE = /\bimport\(\s*"([^"]+)"/g;
const WORKER = /\bnew URL\(\s*"(\.[^"]+\.(?:ts|wgsl))"/g;

/**
 * Finds all files that some files reach.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { reachOf } from "./reach.ts";
 *
 * const { files } = reachOf(["runner/keys.ts"]);
 * assert.deepEqual(files, ["runner/keys.ts"]);
 * ```
 * @param roots paths relative to the root
 * @throws {Error} when a file is missing, or a door does not have what is taken from it
 */
export function reachOf(roots: readonly string[], options: ReachOptions = {}): Reach {
  const { root = PROJECT, skip = () => false, chosen = {} } = options;
  const files = new Set<string>(),
    packages = new Set<string>(),
    routes = new Set<string>(),
    outside = new Set<string>();
  const seen = new Set<string>();
  const open: (readonly [path: string, names: readonly string[]])[] = roots.map((path) => [path, ["*"]]);
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [path, names] = next;
    if (skip(path)) continue;
    if (Object.hasOwn(chosen, path)) {
      for (const entry of chosen[path]) {
        if (typeof entry === "string") open.push([entry, ["*"]]);
        else {
          outside.add(entry.hash);
          open.push(...entry.reaches);
          for (const name of entry.packages) packages.add(pinned(root, name));
        }
      }
      continue;
    }
    const file = readSource(root, path);
    for (const name of file.door ? names : ["*"]) {
      if (seen.has(`${path} ${name}`)) continue;
      seen.add(`${path} ${name}`);
      if (!file.door) files.add(path);
      for (const link of file.links) {
        const taken = file.door
          ? throughDoor(file.links, link, name)
          : link.typeOnly
          ? []
          : link.names.map(([theirs]) => theirs);
        if (taken.length === 0 && !(link.names.length === 0 && !link.typeOnly)) continue;
        const target = resolve(path, link.target);
        if (target === undefined) packages.add(pinned(root, link.target));
        else {
          open.push([target, taken]);
          if (file.door) routes.add(`${path} ${name} ${target} ${taken.join()}`);
        }
      }
      if (file.door && name !== "*" && !file.links.some((link) => has(link, name))) {
        throw new Error(`Cannot follow "${name}" as ${path} does not export it`);
      }
    }
  }
  packages.delete("");
  const sorted = [...files].sort();
  const hash = createHash("sha256");
  for (const path of sorted) hash.update(`${path}\0${readSource(root, path).code}\0`);
  for (const line of [...packages, ...routes, ...outside].sort()) hash.update(`${line}\0`);
  return { files: sorted, packages: [...packages].sort(), hash: hash.digest("hex") };
}

const sources = new Map<string, SourceFile>();

/**
 * Reads a file's imports; each is read once in a process.
 *
 * @throws {Error} when there is no such file
 */
export function readSource(root: string, path: string): SourceFile {
  const full = join(root, path);
  const known = sources.get(full);
  if (known) return known;
  if (!existsSync(full)) throw new Error(`Cannot follow imports to ${path} as there is no such file`);
  const source = parseSource(readFileSync(full, "utf8"), path.endsWith(".ts"));
  sources.set(full, source);
  return source;
}

/**
 * The imports of a source text, as `deno fmt` lays it out: statements begin a line.
 *
 * @param followed false for shaders, which import nothing
 */
export function parseSource(text: string, followed = true): SourceFile {
  const code = withoutComments(text);
  if (!followed) return { code, links: [], door: false };
  const links: Link[] = [];
  for (const [, keyword, type, clause, target] of code.matchAll(STATEMENT)) {
    const names = namesOf(clause);
    const typeOnly = type !== undefined || (names.length === 0 && clause.trim() !== "");
    links.push({ target, names: typeOnly ? [] : names, exported: keyword === "export", typeOnly });
  }
  for (const [, target] of code.matchAll(SIDE_EFFECT)) links.push(all(target));
  for (const [, target] of code.matchAll(LATE)) links.push({ ...all(target), late: "import" });
  for (const [, target] of code.matchAll(WORKER)) links.push({ ...all(target), late: "worker" });
  const rest = code.replace(STATEMENT, "").trim();
  return { code, links, door: rest === "" && links.length > 0 && links.every(({ exported }) => exported) };
}

/** A file of the project that an import leads to; undefined for packages and what the runtime has. */
export function resolve(from: string, target: string): string | undefined {
  return target.startsWith(".") ? posix.normalize(posix.join(posix.dirname(from), target)) : undefined;
}

function all(target: string): Link {
  return { target, names: [["*", "*"]], exported: false, typeOnly: false };
}

/** Names in `{ a, b as c, type D }`, `* as e` or `f`, types left out. */
export function namesOf(clause: string): [string, string][] {
  const names: [string, string][] = [];
  const braces = /\{([^}]*)\}/.exec(clause);
  for (const part of braces?.[1].split(",") ?? []) {
    const words = part.trim().split(/\s+/);
    if (words[0] === "" || words[0] === "type" && words.length > 1 && words[1] !== "as") continue;
    names.push([words[0], words[2] ?? words[0]]);
  }
  for (const part of clause.replace(/\{[^}]*\}/, "").split(",").map((each) => each.trim()).filter(Boolean)) {
    const star = /^\*(?:\s+as\s+(\w+))?$/.exec(part);
    names.push(star ? ["*", star[1] ?? "*"] : ["default", part]);
  }
  return names;
}

/** What is taken of one link when a door is asked for a name; `export *` yields to an export of that very name. */
function throughDoor(links: readonly Link[], link: Link, name: string): string[] {
  if (link.typeOnly) return [];
  if (name === "*") return link.names.map(([theirs]) => theirs);
  const explicit = links.some(({ names, typeOnly }) => !typeOnly && names.some(([, ours]) => ours === name));
  return link.names.flatMap(([theirs, ours]) => ours === name ? [theirs] : ours === "*" && !explicit ? [name] : []);
}

function has({ names, typeOnly }: Link, name: string): boolean {
  return !typeOnly && names.some(([, ours]) => ours === name || ours === "*");
}

/**
 * The code, where comments that fill lines and empty lines do not count. What stands behind code does, and so does every
 * line of a template literal, whatever it looks like.
 */
function withoutComments(text: string): string {
  const kept: string[] = [];
  let [inComment, inTemplate] = [false, false];
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (inTemplate) {
      kept.push(line);
      inTemplate = !flips(line);
    } else if (inComment || trimmed.startsWith("/*")) {
      const end = trimmed.indexOf("*/", inComment ? 0 : 2);
      inComment = end < 0;
      const rest = inComment ? "" : trimmed.slice(end + 2).trim();
      if (rest !== "") kept.push(rest);
    } else if (trimmed !== "" && !trimmed.startsWith("//")) {
      kept.push(line.trimEnd());
      inTemplate = flips(line.replace(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/g, ""));
    }
  }
  return kept.join("\n");
}

/** Whether a template literal begins in a line and does not end there, or the other way round. */
function flips(line: string): boolean {
  return line.replace(/\\./g, "").split("`").length % 2 === 0;
}

/** What deno.json pins a package to; nothing for what belongs to the runtime. */
function pinned(root: string, specifier: string): string {
  if (specifier.startsWith("node:")) return "";
  const imports = importsOf(root);
  const name = Object.keys(imports).find((each) => specifier === each || specifier.startsWith(`${each}/`));
  return name === undefined ? specifier : imports[name];
}

const pins = new Map<string, Readonly<Record<string, string>>>();

/** What deno.json makes of names in imports. */
export function importsOf(root: string): Readonly<Record<string, string>> {
  let found = pins.get(root);
  if (!found) pins.set(root, found = JSON.parse(readFileSync(join(root, "deno.json"), "utf8")).imports ?? {});
  return found ?? {};
}
