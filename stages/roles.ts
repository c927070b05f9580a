/** Rules between the stages of a recipe: what each needs must be made by exactly one other. */
import { type Broken, error, type Rule, type RuleView, warning } from "../recipes/language.ts";
import type { Role } from "./artifacts.ts";
import type { Stage } from "./planning.ts";

/** What a run is for: these need no taker. */
const RESULTS: readonly Role[] = ["packed", "perplexity", "tasks"];

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
      const broken = [...missing(stages, named, recipe), ...doubled(named)];
      // What is still to be added may take it.
      return broken.length > 0 ? broken : unused(stages, named);
    },
  };
}

function missing(stages: readonly Part[], named: readonly Part[], recipe: RuleView): Broken[] {
  const told = new Set<Role>(named.flatMap(({ makes }) => makes));
  const needed = [...named.flatMap(({ needs }) => needs), RESULT];
  return needed.flatMap((role) => {
    if (told.has(role)) return [];
    const makers = stages.filter(({ makes }) => makes.includes(role));
    const add = addFor(role, stages, told);
    // The first that comes after the makers is where one looks for what is missing before it.
    const takers = named.filter(({ needs }) => needs.includes(role));
    const taker = takers.find((each) => makers.every((maker) => stages.indexOf(maker) < stages.indexOf(each))) ??
      takers[0];
    return error(
      taker ? ["stages", taker.name] : recipe.blame("stages"),
      `no stage makes \`${role}\`: add ${list(add)}`,
      {
        isKey: true,
        note: takers.length > 0
          ? `${list(takers.map(({ name }) => `stages.${name}`))} ${takers.length > 1 ? "need" : "needs"} it`
          : "every run ends in it",
      },
    );
  });
}

/** What makes a role, after what makes what that needs in its turn; all of it is then told. */
function addFor(role: Role, stages: readonly Part[], told: Set<Role>): string[] {
  told.add(role);
  const makers = stages.filter(({ makes }) => makes.includes(role));
  if (makers.length !== 1) return [`one of ${makers.map(({ name }) => name).join(", ")}`];
  const [{ name, needs }] = makers;
  return [...needs.filter((each) => !told.has(each)).flatMap((each) => addFor(each, stages, told)), name];
}

function list(words: readonly string[]): string {
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}` : words.join();
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

function unused(stages: readonly Part[], named: readonly Part[]): Broken[] {
  const takes = ({ needs, uses = [] }: Part) => [...needs, ...uses];
  const taken = new Set<Role>([...RESULTS, ...named.flatMap(takes)]);
  return named.filter(({ makes }) => makes.length > 0 && !makes.some((role) => taken.has(role))).map(
    ({ name, makes }) => {
      const takers = stages.filter((each) => takes(each).some((role) => makes.includes(role)));
      return warning(["stages", name], `nothing takes the \`${makes.join(", ")}\` that stages.${name} makes`, {
        isKey: true,
        ...(takers.length > 0 ? { note: `${list(takers.map((each) => each.name))} would` } : {}),
      });
    },
  );
}
