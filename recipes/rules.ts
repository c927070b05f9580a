/** Rules between keys of a recipe, which no single key's schema can state. */
import type { Recipe } from "../stages/schema.ts";
import { nearest } from "./suggest.ts";

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

interface Rule {
  /** Paths the rule reads; where one of them is wrong in itself, the rule says nothing. */
  readonly reads: readonly string[];
  check(recipe: Recipe, blame: (...paths: readonly string[]) => string[]): readonly Broken[];
}

/**
 * Checks all rules.
 *
 * @param isStated whether the recipe says something at a path, or a default stands there
 * @param bad paths that are wrong in themselves
 */
export function checkRules(
  recipe: Recipe,
  isStated: (path: readonly string[]) => boolean = () => true,
  bad: readonly string[] = [],
): Broken[] {
  const within = (inner: string, outer: string) => inner === outer || inner.startsWith(`${outer}.`);
  const blame = (...paths: readonly string[]) => {
    const keys = paths.map((path) => path.split("."));
    return keys.find(isStated) ?? keys[0];
  };
  return rules
    .filter(({ reads }) => !reads.some((path) => bad.some((each) => within(each, path) || within(path, each))))
    .flatMap((rule) => rule.check(recipe, blame))
    .filter(({ severity, path }) => severity === "error" || isStated(path));
}

const keep = "stages.coarse-search.keep";
const of = "stages.coarse-search.of";
const spread = "stages.coarse-search.spread";
const groupSize = "stages.spbo.group_size";
const evaluations = "stages.evaluate.perplexity";

const rules: readonly Rule[] = [
  {
    reads: [keep, of],
    check({ stages: { "coarse-search": coarse } }, blame) {
      if (coarse.keep <= coarse.of) return [];
      return [error(blame(keep, of), `keep cannot be above of: ${coarse.keep} of every ${coarse.of}`, {
        allowed: `keep from 1 to ${coarse.of}`,
      })];
    },
  },
  {
    reads: [keep, of, spread, "stages.coarse-search.metric"],
    check({ stages: { "coarse-search": coarse } }, blame) {
      const [low, high] = [coarse.keep - coarse.spread, coarse.keep + coarse.spread];
      if (coarse.metric !== "lr" || coarse.keep > coarse.of || (low >= 1 && high <= coarse.of)) return [];
      const which = low < 1 ? `keep − spread is ${low}, below 1` : `keep + spread is ${high}, above of (${coarse.of})`;
      return [warning(blame(spread, keep, of), `${which}, so that blocks are clamped`, {
        note: `the mean over blocks will not be ${coarse.keep}; a spread of ${
          Math.max(0, Math.min(coarse.keep - 1, coarse.of - coarse.keep))
        } keeps it`,
      })];
    },
  },
  {
    reads: [of, groupSize, "stages.fine-search.type"],
    check({ stages }, blame) {
      const [width, every] = [stages.spbo.group_size, stages["coarse-search"].of];
      if (stages["fine-search"].type !== "semi-structured" || width % every === 0) return [];
      const below = Math.floor(width / every) * every;
      const near = below >= 8 ? `${below} or ${below + every}` : `${below + every}`;
      return [error(blame(groupSize, of), `group_size must be a multiple of of: ${width} is not one of ${every}`, {
        allowed: `group_size ${near}, or an of that divides ${width}`,
      })];
    },
  },
  {
    reads: [groupSize, "stages.spbo.salient_max", "stages.spbo.salient"],
    check({ stages: { spbo } }) {
      if (!spbo.salient || spbo.salient_max < spbo.group_size) return [];
      return [warning(["stages", "spbo", "salient_max"], `salient_max is clamped to ${spbo.group_size - 1}`, {
        note: `a group has ${spbo.group_size} columns, and one at least is not salient`,
      })];
    },
  },
  {
    reads: ["stages.spbo.split_search", "stages.spbo.split_points"],
    check({ stages: { spbo } }, blame) {
      if (spbo.split_search !== "doubled" || spbo.split_points === 2) return [];
      return [error(
        blame("stages.spbo.split_points", "stages.spbo.split_search"),
        `split_search doubled needs split_points 2: it is ${spbo.split_points}`,
        { note: "it sets the second threshold to twice the first" },
      )];
    },
  },
  {
    reads: ["stages.spbo.solver", "stages.spbo.resign"],
    check({ stages: { spbo } }) {
      if (spbo.solver !== "none" || spbo.resign === 0) return [];
      return [error(["stages", "spbo", "resign"], "resign needs a solver, and solver is none", {
        allowed: "resign 0, or solver alternate or joint",
      })];
    },
  },
  {
    reads: [evaluations],
    check({ stages: { evaluate } }) {
      const names = evaluate.perplexity.map(nameOf);
      return names.flatMap((name, index) => {
        if (names.indexOf(name) === index) return [];
        const path = [...evaluations.split("."), String(index)];
        if (typeof evaluate.perplexity[index] !== "string") path.push("name");
        return [error(path, `evaluation \`${name}\` is listed twice`, { note: "names are the keys of metrics.json" })];
      });
    },
  },
  {
    reads: ["expect", evaluations],
    check({ expect = {}, stages: { evaluate } }) {
      const names = evaluate.perplexity.map(nameOf);
      return Object.keys(expect).filter((name) => !names.includes(name)).map((name) =>
        error(["expect", name], `nothing named \`${name}\` is evaluated`, {
          isKey: true,
          allowed: names.length > 0
            ? [...new Set(names)].join(", ")
            : "nothing, as stages.evaluate.perplexity is empty",
          suggestion: nearest(name, names),
        })
      );
    },
  },
];

function nameOf(evaluation: Recipe["stages"]["evaluate"]["perplexity"][number]): string {
  return typeof evaluation === "string" ? evaluation : evaluation.name;
}

function error(path: readonly string[], message: string, more: Partial<Broken> = {}): Broken {
  return { severity: "error", path, message, ...more };
}

function warning(path: readonly string[], message: string, more: Partial<Broken> = {}): Broken {
  return { severity: "warning", path, message, ...more };
}
