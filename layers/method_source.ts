/**
 * Methods from files that are none of this project's: loaded once in each thread, and held against the content that keys cover.
 *
 * Not what such files may be, nor how they are found (`pipeline/plugins.ts`).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { dirname } from "node:path/posix";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { MethodSource } from "./job.ts";
import type { AnyMethod } from "./methods/method.ts";

const loaded = new Map<string, readonly AnyMethod[]>();

/**
 * Loads a source's methods into this thread, so that `findMethod` finds them.
 *
 * @throws {Error} when a file of it has changed since the run began, or its module fails
 */
export async function loadMethods(source: MethodSource): Promise<readonly AnyMethod[]> {
  const known = loaded.get(source.url);
  if (known !== undefined) return known;
  const module: Readonly<Record<string, unknown>> = await import(source.url);
  for (const [file, hash] of Object.entries(source.files)) {
    if (createHash("sha256").update(readFileSync(file)).digest("hex") === hash) continue;
    throw new Error(
      `Cannot use ${
        nameIn(source, file)
      } as it has changed since the run began: the same command goes on with what it is now`,
    );
  }
  const methods = Object.values(module).filter(looksLikeMethod);
  loaded.set(source.url, methods);
  return methods;
}

/** Whether what a module exports is meant to be a method, right or wrong (`pipeline/check_method.ts`). */
export function looksLikeMethod(value: unknown): value is AnyMethod {
  return typeof value === "object" && value !== null && "params" in value && ("open" in value || "whole" in value);
}

/** Methods of a source that this thread has loaded. */
export function methodsOf({ url }: MethodSource): readonly AnyMethod[] {
  return loaded.get(url) ?? [];
}

/** An error with the place in a source's files where it comes from, if that is there, behind its message. */
export function withPlace(error: unknown, source: MethodSource): unknown {
  if (!(error instanceof Error)) return error;
  const urls = new Map(Object.keys(source.files).map((file) => [pathToFileURL(file).href, file]));
  for (const [, url, line, column] of error.stack?.matchAll(/(file:\/\/[^\s()]+?):(\d+):(\d+)/g) ?? []) {
    const file = urls.get(url);
    if (file === undefined) continue;
    error.message = `${error.message} (${nameIn(source, file)}:${line}:${column})`;
    break;
  }
  return error;
}

/** A file of a source as people see it. */
function nameIn({ url }: MethodSource, file: string): string {
  return relative(dirname(fileURLToPath(url)), file).replaceAll("\\", "/");
}
