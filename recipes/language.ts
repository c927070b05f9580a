/**
 * What recipes may say: a schema and the rules between its keys, handed to everything here by whoever knows the stages.
 *
 * Keys that hold paths are marked in the schema with `.meta({ path: true })`: they are relative to the file that states them.
 */
import type * as z from "zod";
import type { Fault, Span } from "./located.ts";

/** A complete recipe, as far as all recipes are alike. */
export interface Recipe {
  readonly extends?: string | readonly string[];
  /** Files of code that say more of what a recipe may say. */
  readonly use?: readonly string[];
  /** For people and run folders. */
  readonly name?: string;
  readonly description?: string;
  /** What is compressed. */
  readonly model: unknown;
  /** Settings of each stage that the recipe names. */
  readonly stages: Readonly<Record<string, unknown>>;
  /** What a run must meet, by the name of the evaluation. */
  readonly expect?: Readonly<Record<string, Expectation>>;
}

/** A number that a run must meet. */
export interface Expectation {
  readonly value: number;
  /** Relative tolerance. */
  readonly within: number;
}

/** Schema and rules of recipes; the schema of all stages is under its key `stages`. */
export interface RecipeLanguage<R extends Recipe = Recipe> {
  readonly schema: z.ZodObject & z.ZodType<R>;
  readonly rules: readonly Rule[];
  /**
   * What recipes may say that use some files of code; default: the same as all others.
   *
   * @param complain is told why a file cannot be used, and what was thrown there
   */
  withUsed?(files: readonly UsedFile[], complain: (fault: Fault, cause?: unknown) => void): Promise<RecipeLanguage<R>>;
}

/** Where a recipe came from. */
export type Origin = "local" | "hub";

/** A file of code that a recipe names under `use`. */
export interface UsedFile {
  /** Absolute. */
  readonly file: string;
  readonly at: Span;
  /** Of the recipe that names it. */
  readonly origin: Origin;
}

/** A rule that is broken, at the key to change. */
export interface Broken {
  readonly severity: "error" | "warning";
  readonly path: readonly string[];
  /** Whether the key itself is wrong, rather than its value. */
  readonly isKey?: boolean;
  readonly message: string;
  readonly allowed?: string;
  readonly suggestion?: string;
  readonly note?: string;
}

/** What a rule sees of a recipe. */
export interface RuleView {
  /**
   * The value at a path, defaults filled in; undefined where the recipe has none. The caller names the type that the
   * schema gives this path.
   */
  value<T>(path: string): T | undefined;
  /** The first of some paths at which the recipe says something, else the first, as keys. */
  blame(...paths: readonly string[]): string[];
}

/** A rule between keys, which no single key's schema can state. */
export interface Rule {
  /** Paths the rule reads; where one of them is wrong in itself, the rule says nothing. */
  readonly reads: readonly string[];
  /** Whether the rule has something to say where the recipe leaves out what it reads; default: it then says nothing. */
  readonly partial?: boolean;
  check(recipe: RuleView): readonly Broken[];
}

/** A broken rule that forbids the recipe. */
export function error(path: readonly string[], message: string, more: Partial<Broken> = {}): Broken {
  return { severity: "error", path, message, ...more };
}

/** A broken rule that is told, and no more. */
export function warning(path: readonly string[], message: string, more: Partial<Broken> = {}): Broken {
  return { severity: "warning", path, message, ...more };
}
