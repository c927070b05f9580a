/** Checks the rules between keys of a recipe; which rules there are, is for those to say who know the stages. */
import type { Broken, Rule, RuleView } from "./language.ts";

/** What of a recipe is to be checked. */
export interface CheckOptions {
  /** Whether the recipe says something at a path, or a default stands there. */
  readonly isStated?: (path: readonly string[]) => boolean;
  /** Paths that are wrong in themselves. */
  readonly bad?: readonly string[];
}

/**
 * Checks all rules.
 *
 * @param recipe a recipe with its defaults, or what is right of it
 * @returns what is broken; warnings only where the recipe states the value
 */
export function checkRules(
  recipe: unknown,
  rules: readonly Rule[],
  { isStated = () => true, bad = [] }: CheckOptions = {},
): Broken[] {
  const within = (inner: string, outer: string) => inner === outer || inner.startsWith(`${outer}.`);
  const view: RuleView = {
    value: <T>(path: string) => valueAt(recipe, path.split(".")) as T | undefined,
    blame: (...paths) => {
      const keys = paths.map((path) => path.split("."));
      return keys.find(isStated) ?? keys[0];
    },
  };
  return rules
    .filter(({ reads }) => !reads.some((path) => bad.some((each) => within(each, path) || within(path, each))))
    .filter(({ reads, partial }) => partial || reads.every((path) => view.value(path) !== undefined))
    .flatMap((rule) => rule.check(view))
    .filter(({ severity, path }) => severity === "error" || isStated(path));
}

function valueAt(value: unknown, [key, ...rest]: readonly string[]): unknown {
  if (key === undefined) return value;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return valueAt((value as Readonly<Record<string, unknown>>)[key], rest);
}
