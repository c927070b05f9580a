/** Rules between the stages of a recipe: what each needs must be made by exactly one other. */
import { type Broken, error, type Rule, type RuleView, warning } from "../recipes/language.ts";
import type { Role } from "./artifacts.ts";
import type { Stage } from "./planning.ts";

/** What a run is for: these need no taker. */
const RESULTS: readonly Role[] = ["packed", "perplexity"];

/** What a run cannot do without. */
const RESULT: Role = "packed";

type Part = Pick<Stage, "name" | "makes" | "needs" | "uses">;

/**
 * The rule: every role that a stage of the recipe needs is made by a stage of it, none by two, and a packed model comes of it. What
 * nothing takes is told.
 *
 * @param stages all there are
 */
export function rolesRule(stages: readonly Part[]): Rule {
  return {
    reads: ["stages"],
    partial: true,
    check(recipe) {
      const named = stages.filter(({ name }) => recipe.value(`stages.${name}`) !== undefined);
      return [...missing(stages, named, recipe), ...doubled(named), ...unused(named)];
    },
  };
}

function missing(stages: readonly Part[], named: readonly Part[], recipe: RuleView): Broken[] {
  const made = new Set(named.flatMap(({ makes }) => makes));
  const needed = new Map<Role, Part | undefined>(made.has(RESULT) ? [] : [[RESULT, undefined]]);
  for (const stage of named) {
    for (const role of stage.needs) if (!made.has(role) && !needed.has(role)) needed.set(role, stage);
  }
  return [...needed].map(([role, by]) => {
    const makers = stages.filter(({ makes }) => makes.includes(role)).map(({ name }) => name);
    const who = by === undefined ? "a run is for it" : `stages.${by.name} needs it`;
    const path = by === undefined ? recipe.blame("stages") : ["stages", by.name];
    return error(path, `no stage makes \`${role}\`: add ${makers.length > 1 ? "one of " : ""}${makers.join(", ")}`, {
      isKey: true,
      note: who,
    });
  });
}

function doubled(named: readonly Part[]): Broken[] {
  const makers = new Map<Role, string>();
  const broken: Broken[] = [];
  for (const { name, makes } of named) {
    for (const role of makes) {
      const other = makers.get(role);
      if (other === undefined) makers.set(role, name);
      else {
        broken.push(error(["stages", name], `stages.${other} and stages.${name} both make \`${role}\``, {
          isKey: true,
          allowed: "one of them",
        }));
      }
    }
  }
  return broken;
}

function unused(named: readonly Part[]): Broken[] {
  const taken = new Set<Role>([...RESULTS, ...named.flatMap(({ needs, uses = [] }) => [...needs, ...uses])]);
  return named.filter(({ makes }) => makes.length > 0 && !makes.some((role) => taken.has(role))).map((
    { name, makes },
  ) =>
    warning(["stages", name], `nothing takes the \`${makes.join(", ")}\` that stages.${name} makes`, { isKey: true })
  );
}
