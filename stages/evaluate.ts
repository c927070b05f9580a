/**
 * evaluate: the original model beside the decoded packed file, block by block: perplexity and divergence on texts (`evaluate_text.ts`),
 * and zero-shot tasks (`evaluate_tasks.ts`).
 *
 * Perplexity is exp of the mean over windows of the mean next-token loss inside a window. One that is not finite is a result like any
 * other: the steps go on, and tell the first part of the model whose outputs are not finite.
 */
import * as z from "zod";
import type { ModelSpec } from "../models/spec.ts";
import { error, type Rule } from "../recipes/language.ts";
import { nearest } from "../recipes/suggest.ts";
import { count } from "../recipes/words.ts";
import { tasks } from "../tasks/mod.ts";
import { Dataset, TEXTS } from "./dataset_schema.ts";
import { scoresOf, taskSteps } from "./evaluate_tasks.ts";
import { comparisonOf, lossOf, textSteps } from "./evaluate_text.ts";
import type { Stage } from "./planning.ts";
import type { TaskRequest } from "./tools/tasks.ts";
import type { TextRequest } from "./tools/text.ts";

/** Text to measure perplexity on. */
const Evaluation = z.union([
  z.enum(TEXTS),
  z.strictObject({
    name: z.string().regex(/^[a-z0-9-]+$/, "small letters, digits and hyphens only").describe("Name in metrics.json"),
    dataset: Dataset.describe("Text or token windows to measure on"),
    samples: count(1, 1_000_000).optional().describe("At most so many windows; default: all the protocol has"),
    length: count(2, 1_048_576).optional().describe("Tokens per window; default 2048 or the model's maximum"),
  }),
]);
type Evaluation = z.infer<typeof Evaluation>;

/** A zero-shot task. */
const names = tasks.map(({ name }) => name);
const Asked = z.union([
  z.enum(names),
  z.strictObject({
    name: z.enum(names).describe("The task"),
    data: z.string().min(1).meta({ path: true }).optional().describe(
      "A .parquet, .jsonl or .json file in the dataset's own form, relative to the recipe; default: the dataset on the hub",
    ),
    limit: count(1, 10_000_000).optional().describe(
      "Ask only so many of the first questions; default: `limit` of the stage",
    ),
  }),
]);
type Asked = z.infer<typeof Asked>;

const Params = z.strictObject({
  perplexity: z.array(Evaluation).default(["wikitext2"]).describe("Texts to measure, on the packed model"),
  divergence: z.boolean().default(true).describe(
    "Compare the packed model's next tokens with the original's on these texts (KL divergence), and hidden states after each block",
  ),
  tasks: z.array(Asked).default([]).describe("Zero-shot tasks to ask both models, as lm-evaluation-harness does"),
  limit: count(1, 10_000_000).optional().describe("Ask only so many of the first questions of each task; default: all"),
  fewshot: z.literal(0, "tasks are asked without examples (zero-shot): only 0 is there").default(0).describe(
    "Examples before each question: none",
  ),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type EvaluateParams = Params;

const NAME = "evaluate";
const EVALUATIONS = `stages.${NAME}.perplexity`;
const TASKS = `stages.${NAME}.tasks`;

const rules: readonly Rule[] = [
  {
    reads: [EVALUATIONS],
    check({ value }) {
      const evaluations = value<readonly Evaluation[]>(EVALUATIONS) ?? [], names = evaluations.map(nameOf);
      return names.flatMap((name, index) => {
        if (names.indexOf(name) === index) return [];
        const path = [...EVALUATIONS.split("."), String(index)];
        if (typeof evaluations[index] !== "string") path.push("name");
        return [error(path, `evaluation \`${name}\` is listed twice`, { note: "names are the keys of metrics.json" })];
      });
    },
  },
  {
    reads: [TASKS],
    check({ value }) {
      const asked = value<readonly Asked[]>(TASKS) ?? [], names = asked.map(nameOf);
      return names.flatMap((name, index) => {
        if (names.indexOf(name) === index) return [];
        const path = [...TASKS.split("."), String(index)];
        if (typeof asked[index] !== "string") path.push("name");
        return [error(path, `task \`${name}\` is listed twice`, { note: "names are the keys of metrics.json" })];
      });
    },
  },
  {
    reads: ["expect", EVALUATIONS],
    partial: true,
    check({ value }) {
      const names = (value<readonly Evaluation[]>(EVALUATIONS) ?? []).map(nameOf);
      return Object.keys(value<object>("expect") ?? {}).filter((name) => !names.includes(name)).map((name) =>
        error(["expect", name], `nothing named \`${name}\` is evaluated`, {
          isKey: true,
          allowed: names.length > 0 ? [...new Set(names)].join(", ") : `nothing, as ${EVALUATIONS} is empty`,
          suggestion: nearest(name, names),
        })
      );
    },
  },
];

/** The stage; see the file's head. */
export const evaluate: Stage<Params> = {
  name: NAME,
  summary: "Measures the original and the packed model",
  params: Params,
  rules,
  makes: ["perplexity", "tasks"],
  needs: ["packed"],
  texts: ({ perplexity }, spec) => perplexity.map((entry, index) => requestOf(entry, index, spec)),
  tasks: requestsOf,
  offer: ({ perplexity, tasks, divergence }, spec) => ({
    perplexity: {
      of: new Map(perplexity.map((entry) => {
        const name = nameOf(entry);
        const losses = { original: lossOf(name, "original", spec), compressed: lossOf(name, "compressed", spec) };
        return [name, { ...losses, ...(divergence ? comparisonOf(name, spec) : { away: [] }) }];
      })),
    },
    tasks: {
      of: new Map(tasks.map((entry) => {
        const name = nameOf(entry);
        return [name, { original: scoresOf(name, "original", spec), compressed: scoresOf(name, "compressed", spec) }];
      })),
    },
  }),
  plan(planning, settings) {
    const { spec, roles: { packed } } = planning;
    if (packed === undefined) return [];
    return [
      ...settings.perplexity.flatMap((entry, index) =>
        textSteps(planning, requestOf(entry, index, spec), { packed, compared: settings.divergence })
      ),
      ...requestsOf(settings).flatMap((request) => taskSteps(planning, request, packed)),
    ];
  },
};

function nameOf(evaluation: Evaluation | Asked): string {
  return typeof evaluation === "string" ? evaluation : evaluation.name;
}

function requestsOf({ tasks, limit: most }: Params): TaskRequest[] {
  return tasks.map((entry, index) => {
    const name = nameOf(entry),
      { data, limit = most } = typeof entry === "string" ? {} as Partial<Exclude<Asked, string>> : entry;
    return {
      ...{ id: `${NAME}.tasks.${name}`, name, path: `${TASKS}.${index}` },
      ...(data === undefined ? {} : { file: data }),
      ...(limit === undefined ? {} : { limit }),
    };
  });
}

function requestOf(
  entry: Evaluation,
  index: number,
  { maxPositions }: Pick<ModelSpec, "maxPositions">,
): TextRequest {
  const name = nameOf(entry), path = `${EVALUATIONS}.${index}`;
  const { dataset, samples, length } = typeof entry === "string"
    ? { dataset: entry, samples: undefined, length: undefined }
    : entry;
  return {
    ...{ id: `${NAME}.${name}`, name, path, dataset, split: "evaluation", seed: 0, samples, length },
    expected: { windows: samples ?? 200, length: length ?? Math.min(2048, maxPositions) },
  };
}
