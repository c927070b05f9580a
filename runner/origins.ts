/** Where each value of a run's recipe was stated, kept beside its lock: a file and its line, `--set`, or the default. */
import { join } from "node:path";
import * as z from "zod";
import { existsSync } from "node:fs";
import { InputError } from "../files/input_error.ts";
import type { Sources } from "./explain.ts";
import { readSmallText } from "./journal.ts";

/** Name of the file in a run's folder. */
export const ORIGINS = "recipe.origins.json";

const Origins = z.record(
  z.string(),
  z.union([z.string(), z.object({ file: z.string(), line: z.int().min(1) })]),
);

/** By path (`stages.spbo.iterations`): a place in a file, or a word such as `default`. */
export type Origins = z.infer<typeof Origins>;

/** The file's text. */
export function renderOrigins(sources: Sources): string {
  const places = [...sources].map(([path, source]) =>
    [path, typeof source === "string" ? source : { file: source.file, line: source.line }] as const
  );
  return `${JSON.stringify(Object.fromEntries(places))}\n`;
}

/**
 * Reads where values were stated.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { ORIGINS, readOrigins, renderOrigins } from "./origins.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const origins = { seed: "default", "stages.spbo.resign": { file: "configs/bases/paper.yaml", line: 7 } };
 * await Deno.writeTextFile(`${folder}/${ORIGINS}`, renderOrigins(new Map(Object.entries(origins))));
 * assert.deepEqual(readOrigins(folder), origins);
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param folder the run's
 * @returns undefined where the run left none, as older ones
 * @throws {InputError} when it is damaged
 */
export function readOrigins(folder: string): Origins | undefined {
  const path = join(folder, ORIGINS);
  if (!existsSync(path)) return undefined;
  try {
    return Origins.parse(JSON.parse(readSmallText(path)));
  } catch (cause) {
    throw new InputError(`Cannot read ${path}: it does not say where values come from; run the recipe again`, {
      cause,
    });
  }
}
