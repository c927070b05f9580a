/**
 * The code behind a method of the user's own: its file and what that imports, as content without paths.
 *
 * Files of the user's are read with more patience than this project's (`runner/reach.ts`): in any layout, and where a text only looks
 * like an import, it counts as one.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { extname, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { importsOf, namesOf, type OutsideCode, parseSource } from "../runner/reach.ts";

/** The code of a file, and where it lies. */
export interface PluginCode extends OutsideCode {
  /** Hex sha256 of the file and of what it imports that is none of this project's, by absolute path. */
  readonly files: Readonly<Record<string, string>>;
}

/** This project's folder. */
const PROJECT = fileURLToPath(new URL("../", import.meta.url));

/** Rooms of this project: what lies in them is keyed by its place, and all else by its content. */
export const ROOMS: ReadonlySet<string> = new Set(
  ("telemetry files onnx recipes kernels hub checkpoints tokenizers datasets models tasks layers inference export runner report stages pipeline " +
    "server cli fuzz bench").split(" "),
);

/** Names of files that hold code. */
const CODE = /^\.[cm]?[jt]sx?$/;

/** Everything that stands between the keyword and the module, of an import or re-export. */
const STATEMENT = /\b(import|export)\s+(type\s+(?!from\b|,))?([\w$*{},\s]*?)\s*\bfrom\s*(["'])((?:(?!\4)[^\\\n])+)\4/g;
const CLAUSE = /^(?:[\w$]+\s*,?\s*)?(?:\*\s*as\s+[\w$]+|\*|\{[\w$\s,]*\})?$/;
/** Modules after `from` or `import`, modules that are loaded late, and files that lie beside. */
const MODULE = /\b(?:from|import)\s*(["'])((?:(?!\1)[^\\\n])+)\1/g;
const LATE = /\bimport\s*\(\s*(["'`])([^"'`$\n]+)\1\s*[,)]/g;
const BESIDE = /\bnew\s+URL\s*\(\s*(["'`])(\.[^"'`$\n]+)\1/g;
const ANY_LATE = /\bimport\s*\(/g;

/** Where code is looked up that a file imports. */
export interface PluginCodeOptions {
  /** Folder of this project; default: where it is. */
  readonly root?: string;
}

/**
 * Reads the code of a file.
 *
 * @param file absolute
 * @throws {RangeError} when it imports what cannot be followed: from the network, or by a name that is only known as it runs
 */
export function readPluginCode(file: string, { root = PROJECT }: PluginCodeOptions = {}): PluginCode {
  const files: Record<string, string> = {}, packages = new Set<string>(), hash = createHash("sha256");
  const reaches: (readonly [string, readonly string[]])[] = [];
  const visit = (path: string) => {
    if (Object.hasOwn(files, path)) return;
    const bytes = readFileSync(path);
    files[path] = createHash("sha256").update(bytes).digest("hex");
    if (!CODE.test(extname(path))) return void hash.update(`${files[path]}\0`);
    const { code } = parseSource(bytes.toString("utf8"), false);
    hash.update(`${code}\0`);
    for (const { target, names } of linksOf(code, path)) {
      const found = locate(target, path, root);
      if (found === undefined) continue;
      if ("name" in found) packages.add(found.name);
      else if (found.room !== undefined) reaches.push([found.room, names]);
      else visit(found.path);
    }
  };
  visit(file);
  return { files, reaches, packages: [...packages].sort(), hash: hash.digest("hex") };
}

interface Taken {
  readonly target: string;
  readonly names: readonly string[];
}

/** What a text imports; nothing of what it takes types of alone. */
function linksOf(code: string, path: string): Taken[] {
  const links: Taken[] = [], told = new Set<number>();
  for (const match of code.matchAll(STATEMENT)) {
    const [whole, , type, clause, , target] = match, at = match.index + whole.length;
    if (!CLAUSE.test(clause.trim())) continue;
    told.add(at);
    const names = type === undefined ? namesOf(clause).map(([theirs]) => theirs) : [];
    const bare = clause.replace(/[{}\s,]/g, "") === "";
    if (names.length > 0) links.push({ target, names });
    else if (bare && type === undefined) links.push({ target, names: ["*"] });
  }
  const all = (target: string) => void links.push({ target, names: ["*"] });
  for (const match of code.matchAll(MODULE)) if (!told.has(match.index + match[0].length)) all(match[2]);
  for (const [, , target] of code.matchAll(BESIDE)) all(target);
  const late = [...code.matchAll(LATE)];
  for (const [, , target] of late) all(target);
  if ([...code.matchAll(ANY_LATE)].length > late.length) {
    throw new RangeError(
      `${nameOf(path)} has an import() whose module is only known as it runs, so that keys cannot cover it; ` +
        "write the module's name between the quotes",
    );
  }
  return links;
}

/** Where an import leads; nowhere, where that is the runtime's own or not there. */
function locate(
  target: string,
  from: string,
  root: string,
): { readonly name: string } | { readonly path: string; readonly room?: string } | undefined {
  const names = importsOf(root);
  const url = urlOf(target, from, root);
  if (url === undefined) {
    const scheme = /^([a-z]+):/.exec(target)?.[1];
    if (scheme !== undefined && scheme !== "node") {
      throw new RangeError(
        `${nameOf(from)} imports "${target}", whose content keys cannot cover; it may import files of its own, ` +
          `pbs2p/…, node:… and the packages of this project (${
            Object.keys(names).filter((name) => !name.startsWith("pbs2p")).join(", ")
          })`,
      );
    }
    return Object.keys(names).some((name) => target === name || target.startsWith(`${name}/`))
      ? { name: target }
      : undefined;
  }
  const path = fileURLToPath(url);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
  const inside = relative(root, path).replaceAll("\\", "/");
  return inside === "mod.ts" || ROOMS.has(inside.split("/")[0]) ? { path, room: inside } : { path };
}

/** The file's address that an import leads to, by itself or by one of this project's names. */
function urlOf(target: string, from: string, root: string): URL | undefined {
  if (/^(\.{0,2}\/|file:)/.test(target)) return withoutQuery(new URL(target, pathToFileURL(from)));
  for (const [name, place] of Object.entries(importsOf(root))) {
    if (!place.startsWith("./")) continue;
    const rest = name === target
      ? ""
      : name.endsWith("/") && target.startsWith(name)
      ? target.slice(name.length)
      : undefined;
    if (rest !== undefined) return withoutQuery(new URL(place + rest, pathToFileURL(`${root}/`)));
  }
  return undefined;
}

function withoutQuery(url: URL): URL {
  [url.search, url.hash] = ["", ""];
  return url;
}

function nameOf(path: string): string {
  return path.split(/[\\/]/).at(-1) ?? path;
}
