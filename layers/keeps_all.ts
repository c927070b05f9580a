/** What holds of methods that keep every weight: nothing may choose what to prune. */
import { error, type Rule } from "../recipes/language.ts";
import type { MethodLayer } from "./methods/method.ts";

/** The rule of such a method, which has a `group_size`. */
export function keepsAllRule(path: (key: string) => string): Rule {
  const type = "stages.fine-search.type", own = path("group_size"), name = own.split(".")[1];
  return {
    reads: [type, own],
    check({ value, blame }) {
      if (value(type) === "none") return [];
      return [error(blame(type), `${name} prunes nothing, and fine-search does`, {
        allowed: "a recipe without fine-search, or its type none",
      })];
    },
  };
}

/** @throws {RangeError} when a layer is to be pruned all the same */
export function requireAll({ job: { name, settings: { method } }, pruned }: Pick<MethodLayer, "job" | "pruned">): void {
  if (pruned > 0) throw new RangeError(`Cannot compress layer "${name}" as ${method} prunes nothing: N must be M`);
}
