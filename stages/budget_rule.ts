/**
 * The rule between bits that coarse-search allocates, the method that is to keep to them, and what says how many weights are kept.
 *
 * Values that are those of a recipe without them say nothing: a complete recipe, such as a run's lock, has them all.
 */
import { type Broken, error, type Rule, type RuleView } from "../recipes/language.ts";
import type { Stage } from "./planning.ts";

const COARSE = "stages.coarse-search", FINE = "stages.fine-search";
const at = (key: string) => `${COARSE}.${key}`;
const [BITS, METRIC, SPREAD] = ["bits", "metric", "spread"].map(at);
const SAMPLES = "stages.calibrate.samples";

/** Where N of N:M is said, and what it is otherwise. */
export const KEPT = { keep: 4, of: 8 } as const;

type Method = Pick<Stage, "name" | "makes" | "budget" | "params">;

/**
 * The rule: coarse-search allocates bits to a method that has a budget of bits, and N of N:M to any other; never both.
 *
 * @param stages all there are
 */
export function budgetRule(stages: readonly Method[]): Rule {
  const methods = stages.filter(({ makes }) => makes.includes("quantized"));
  return {
    reads: [
      BITS,
      METRIC,
      SPREAD,
      SAMPLES,
      ...Object.keys(KEPT).map(at),
      ...methods.flatMap(({ budget }) => budget ?? []),
    ],
    partial: true,
    check(recipe) {
      if (recipe.value(COARSE) === undefined) return [];
      const method = methods.find(({ name }) => recipe.value(`stages.${name}`) !== undefined);
      return recipe.value(BITS) === undefined ? withoutBits(recipe, method) : withBits(recipe, method, methods);
    },
  };
}

function withBits(recipe: RuleView, method: Method | undefined, methods: readonly Method[]): Broken[] {
  const broken: Broken[] = [], bits = BITS.split(".");
  if (method && method.budget === undefined) {
    const able = methods.filter(({ budget }) => budget).map(({ name }) => name).join(", ");
    broken.push(error(bits, `bits cannot be allocated to \`${method.name}\`, which keeps to no budget of bits`, {
      allowed: `${at("keep")} and of with ${method.name}, or bits with a method that has a budget: ${able}`,
    }));
  }
  if (method?.budget !== undefined) {
    const own = recipe.value(method.budget);
    if (own !== usual(method, method.budget) && own !== recipe.value(BITS)) {
      broken.push(error(recipe.blame(method.budget), `bits are stated twice, here and in ${BITS}`, {
        allowed: "one of the two",
        note: `${BITS} is the mean over layers; without coarse-search ${method.budget} holds for each of them`,
      }));
    }
  }
  for (const key of countsKept(recipe)) {
    broken.push(error(at(key).split("."), `${key} counts weights that are kept, and ${BITS} allocates bits`, {
      allowed: "keep and of, or bits",
    }));
  }
  if (recipe.value(METRIC) === "ri") {
    broken.push(error(recipe.blame(METRIC), "metric `ri` says how many weights are kept, not how many bits they have", {
      allowed: "lr, sensitivity or none",
    }));
  }
  if (recipe.value(FINE) !== undefined) {
    broken.push(
      error(FINE.split("."), "fine-search prunes N of every M, and coarse-search allocates bits instead of an N", {
        isKey: true,
        allowed: `${at("keep")} and of with fine-search, or ${BITS} without`,
      }),
    );
  }
  const samples = recipe.value<number>(SAMPLES);
  if (recipe.value(METRIC) === "sensitivity" && samples !== undefined && samples < 2) {
    broken.push(
      error(recipe.blame(SAMPLES, METRIC), "metric `sensitivity` needs 2 samples: one to measure on, one to check on", {
        allowed: `${SAMPLES}: 2 or more`,
      }),
    );
  }
  return broken;
}

function withoutBits(recipe: RuleView, method: Method | undefined): Broken[] {
  if (method?.budget !== undefined) {
    const [kept] = countsKept(recipe);
    const message = `coarse-search says how many weights \`${method.name}\` keeps, which keeps to bits instead`;
    return [error(kept === undefined ? COARSE.split(".") : at(kept).split("."), message, {
      ...(kept === undefined ? { isKey: true } : {}),
      allowed: `${BITS}, in the place of ${method.budget}`,
      note: `without coarse-search ${method.budget} holds for all layers`,
    })];
  }
  const broken: Broken[] = [];
  if (recipe.value(METRIC) === "sensitivity") {
    broken.push(error(recipe.blame(METRIC), "metric `sensitivity` allocates bits, and there are none to allocate", {
      allowed: `${BITS}, or metric lr, ri or none`,
    }));
  }
  const spread = recipe.value<number>(SPREAD) ?? 0;
  if (!Number.isInteger(spread)) {
    broken.push(error(recipe.blame(SPREAD), `spread must be a whole number of weights: current value is ${spread}`, {
      allowed: `${Math.floor(spread)} or ${Math.ceil(spread)}`,
    }));
  }
  return broken;
}

/** Which of keep and of are not what they are otherwise. */
function countsKept(recipe: RuleView): string[] {
  return Object.entries(KEPT).filter(([key, otherwise]) => (recipe.value(at(key)) ?? otherwise) !== otherwise)
    .map(([key]) => key);
}

/** What a setting is where a recipe does not say it. */
function usual({ params }: Method, path: string): unknown {
  const defaults = params.safeParse({}).data;
  return (defaults as Readonly<Record<string, unknown>> | undefined)?.[path.slice(path.lastIndexOf(".") + 1)];
}
