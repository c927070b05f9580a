/**
 * Methods of the user's own: files that a recipe names under `use`, loaded, checked and made stages of that recipe.
 *
 * Not where their code ends (`plugin_code.ts`), nor what a method must be (`check_method.ts`).
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, extname, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import type { JsonRecord } from "../files/json.ts";
import type { MethodSource } from "../layers/job.ts";
import { loadMethods, looksLikeMethod } from "../layers/method_source.ts";
import type { AnyMethod } from "../layers/methods/method.ts";
import type { RecipeLanguage, UsedFile } from "../recipes/language.ts";
import { nearest } from "../recipes/suggest.ts";
import { stages, stagesWith } from "../stages/mod.ts";
import type { Stage } from "../stages/planning.ts";
import { methodStage } from "../stages/quantize.ts";
import { languageWith, type Recipe } from "../stages/schema.ts";
import { checkMethod } from "./check_method.ts";
import { type PluginCode, readPluginCode, ROOMS } from "./plugin_code.ts";

/** A file of methods. */
export interface Plugin {
  /** Absolute. */
  readonly file: string;
  readonly methods: readonly AnyMethod[];
  readonly code: PluginCode;
  readonly source: MethodSource;
}

/** Why a file cannot be used. */
class PluginError extends Error {
  override readonly name = "PluginError";
  readonly note: string | undefined;

  constructor(message: string, { note, ...options }: ErrorOptions & { readonly note?: string } = {}) {
    super(message, options);
    this.note = note;
  }
}

const ENDINGS = [".ts", ".mts", ".js", ".mjs"];

/** This project's folder. */
const PROJECT = new URL("../", import.meta.url).href;

/** Each file is read and run once in a process, so that keys and code agree whatever happens to it meanwhile. */
const known = new Map<string, Plugin>();

/** What is known of the file that brings a method. */
export function pluginOf({ url }: MethodSource): Plugin | undefined {
  return known.get(fileURLToPath(url));
}

/** What a run's lock says of a file: its methods, and the content of its code; the recipe beside it says where the file lies. */
export function recordOf(file: string): JsonRecord {
  const { methods = [], code } = known.get(file) ?? {}, folder = dirname(file);
  const files = Object.entries(code?.files ?? {}).map((
    [path, hash],
  ) => [relative(folder, path).replaceAll("\\", "/"), hash]);
  return { methods: methods.map(({ name }) => name), code: code?.hash ?? null, files: Object.fromEntries(files) };
}

/**
 * The stages of a recipe: this project's, and those of the files that it uses.
 *
 * @throws {Error} when one of them cannot be used
 */
export async function stagesOf({ use = [] }: Pick<Recipe, "use">): Promise<readonly Stage[]> {
  if (use.length === 0) return stages;
  return stagesWith((await Promise.all(use.map(openPlugin))).flatMap(stagesOfPlugin));
}

/** What recipes may say that use some files; see `RecipeLanguage.withUsed`. */
export const withUsed: NonNullable<RecipeLanguage<Recipe>["withUsed"]> = async (files, complain) => {
  const taken = new Map(stages.map(({ name }) => [name, "this project's own"]));
  const added: Stage[] = [], seen = new Set<string>();
  let open = false;
  const refuse = (
    at: UsedFile["at"],
    message: string,
    more: { readonly note?: string; readonly cause?: unknown } = {},
  ) => {
    const { cause, note } = more;
    complain({ at, message, ...(note === undefined ? {} : { note }) }, cause);
    open = true;
  };
  for (const { file, at } of files) {
    if (seen.has(file)) continue;
    seen.add(file);
    try {
      for (const stage of stagesOfPlugin(await openPlugin(file))) {
        const other = taken.get(stage.name);
        if (other === undefined) {
          taken.set(stage.name, `that of \`${basename(file)}\``);
          added.push(stage);
        } else {
          refuse(at, `\`${basename(file)}\` has a method named \`${stage.name}\`, and there is a stage of that name`, {
            note: `the other is ${other}: give this one another \`name\``,
          });
        }
      }
    } catch (error) {
      if (!(error instanceof PluginError)) throw error;
      refuse(at, error.message, error);
    }
  }
  return languageWith(stagesWith(added), { open });
};

function stagesOfPlugin({ methods, source }: Plugin): Stage[] {
  return methods.map((method) => methodStage(method, source));
}

/**
 * Reads, runs and checks a file.
 *
 * @param file absolute
 * @throws {PluginError} when it cannot be used
 */
async function openPlugin(file: string): Promise<Plugin> {
  const before = known.get(file);
  if (before) return before;
  const name = basename(file), url = pathToFileURL(file).href;
  checkFile(file);
  const code = readCode(file);
  const source: MethodSource = { url, files: code.files };
  let exported: Readonly<Record<string, unknown>>;
  try {
    await loadMethods(source);
    exported = await import(url);
  } catch (cause) {
    throw explainFailure(cause, file);
  }
  const methods = [...new Set(Object.values(exported))].filter(looksLikeMethod);
  if (methods.length === 0) {
    const names = Object.keys(exported).join(", ");
    throw new PluginError(`\`${name}\` exports no method`, {
      note:
        `a method is an object with name, label, summary, params, needs, format, reads, groupSize and open; it exports ${
          names || "nothing"
        }`,
    });
  }
  for (const method of methods) {
    const wrong = check(method, file);
    if (wrong === undefined) continue;
    const [exportedAs] = Object.entries(exported).find(([, value]) => value === method) ?? [""];
    throw new PluginError(`\`${exportedAs}\` of \`${name}\` is no method`, { note: wrong });
  }
  const plugin: Plugin = { file, methods, code, source };
  known.set(file, plugin);
  return plugin;
}

/** @throws {PluginError} when it is no file of code */
function checkFile(file: string): void {
  const name = basename(file), found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) {
    const names = namesIn(dirname(file));
    const meant = names && nearest(name, names.filter((each) => ENDINGS.includes(extname(each))));
    throw new PluginError(`cannot use \`${name}\`: there is no such file${names ? "" : ", nor its folder"}`, {
      ...(meant === undefined ? {} : { note: `there is \`${meant}\`` }),
    });
  }
  if (!found.isFile()) throw new PluginError(`cannot use \`${name}\`: it is no file`);
  if (!ENDINGS.includes(extname(file))) {
    throw new PluginError(`cannot use \`${name}\`: its name must end in ${ENDINGS.join(", ")}`);
  }
}

function namesIn(folder: string): readonly string[] | undefined {
  try {
    return readdirSync(folder);
  } catch {
    return undefined;
  }
}

/** @throws {PluginError} when it imports what keys cannot cover, or cannot be read */
function readCode(file: string): PluginCode {
  try {
    return readPluginCode(file);
  } catch (cause) {
    const [message, note] = cause instanceof Error ? cause.message.split("; ") : [String(cause)];
    throw new PluginError(`cannot use \`${basename(file)}\`: ${message}`, { note, cause });
  }
}

/** A method's own functions may fail when it is looked at. */
function check(method: object, file: string): string | undefined {
  try {
    return checkMethod(method);
  } catch (cause) {
    throw explainFailure(cause, file);
  }
}

/** The user's own mistake, with its place. */
function explainFailure(cause: unknown, file: string): PluginError {
  const { name, message, stack = "" } = cause instanceof Error ? cause : new Error(String(cause));
  const text = stripVTControlCharacters(`${message}\n${stack}`), [first] = text.split("\n");
  const said = shorten(first, file).replace(/\.$/, "") || "nothing is said";
  // The runtime's own sentences say what they are.
  const kind = /^(SyntaxError: |Module not found|Import ")/.test(first) ? "" : `${name}: `;
  const place = [...text.matchAll(/(file:\/\/[^\s()]+?):(\d+):(\d+)/g)].find(([, url]) => !isOurs(url));
  return new PluginError(`cannot load \`${basename(file)}\`: ${kind}${said}`, {
    note: place ? describePlace(place, file) : undefined,
    cause,
  });
}

/** Whether a module is of this project's rooms, whose places say nothing to the user. */
function isOurs(url: string): boolean {
  return url.startsWith(PROJECT) && ROOMS.has(url.slice(PROJECT.length).split("/")[0]);
}

function describePlace([, url, line, column]: readonly string[], file: string): string {
  const path = fileURLToPath(url);
  let text = "";
  try {
    text = readFileSync(path, "utf8").split("\n")[Number(line) - 1]?.trim() ?? "";
  } catch {
    // The place alone says enough.
  }
  return `at ${relative(dirname(file), path).replaceAll("\\", "/")}:${line}:${column}${text === "" ? "" : `: ${text}`}`;
}

/** Files' addresses in a sentence, as people see them. */
function shorten(sentence: string, file: string): string {
  return sentence.replaceAll(
    /"?(file:\/\/[^\s"]+)"?/g,
    (_, url) => `\`${relative(dirname(file), fileURLToPath(url)).replaceAll("\\", "/")}\``,
  );
}
