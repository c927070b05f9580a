/**
 * A small real pipeline for the runner's tests: arithmetic on tensors, shaped like the compression of a model. Hidden states
 * are handed from block to block and deleted, statistics and codes are kept.
 */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import type { Tensor } from "../files/safetensors.ts";
import type { Recipe } from "../recipes/language.ts";
import type { Json, OutputRef, Step, StepContext, Subject } from "./stage.ts";

/** Parts of a pipeline that a test changes. */
export interface ArithmeticOptions {
  readonly blocks?: number;
  /** Numbers per tensor. */
  readonly width?: number;
  /** Milliseconds each step takes. */
  readonly slow?: number;
  /** Told of each step that really runs. */
  readonly onRun?: (id: string) => void;
  /** Wraps what a step does. */
  readonly tamper?: (step: Step) => Step;
  /** Entry of the weights' facts, as if they had changed. */
  readonly weights?: string;
  /** Hash of the code, as if it had changed. */
  readonly code?: string;
}

/** What the pipeline's recipes say. */
export interface ArithmeticRecipe extends Recipe {
  readonly stages: {
    readonly calibrate: { readonly inputs: string; readonly seed: number; readonly samples: number };
    readonly spbo: { readonly iterations: number; readonly group_size: number; readonly resign: number };
    readonly compensate: { readonly damping: number };
    readonly evaluate: { readonly perplexity: readonly string[] };
  };
}

/** A complete recipe with some values set. */
export function recipeWith(
  { calibrate, spbo, compensate, evaluate }: Record<string, Record<string, unknown>> = {},
): ArithmeticRecipe {
  return {
    name: "arithmetic",
    model: { path: "/nowhere" },
    stages: {
      calibrate: { inputs: "sequential", seed: 0, samples: 128, ...calibrate },
      spbo: { iterations: 15, group_size: 128, resign: 0, ...spbo },
      compensate: { damping: 0.01, ...compensate },
      evaluate: { perplexity: ["wikitext2"], ...evaluate },
    },
  };
}

/** Opens the pipeline. */
export function openArithmetic(
  recipe: ArithmeticRecipe,
  { blocks = 3, width = 16, slow = 0, onRun = () => {}, tamper = (step) => step, weights = "w", code = "1" }:
    ArithmeticOptions = {},
): Subject {
  const sequential = recipe.stages.calibrate.inputs === "sequential";
  const steps: Step[] = [];
  const add = (
    name: { stage: string; block?: number },
    declared: { reads?: string[]; facts?: Record<string, Json>; inputs?: Record<string, OutputRef> },
    outputs: Record<string, "keep" | "transient">,
    work: (context: StepContext) => Promise<void>,
  ) => {
    const id = name.block === undefined ? name.stage : `${name.stage}[${name.block}]`;
    steps.push(tamper({
      ...{ id, code, reads: [], facts: {}, inputs: {}, ...name, ...declared },
      outputs: Object.fromEntries(
        Object.entries(outputs).map(([name, retain]) => [name, { retain, bytes: 4 * width }]),
      ),
      estimate: { seconds: 0.5, memory: 1000 },
      async run(context) {
        onRun(id);
        if (slow > 0) await delay(slow, undefined, { signal: context.signal });
        await work(context);
      },
    }));
  };

  add({ stage: "embed" }, { reads: ["stages.calibrate.seed", "stages.calibrate.samples"], facts: { weights } }, {
    hidden: "transient",
  }, async (context) => {
    const seed = context.param<number>("stages.calibrate.seed") + context.param<number>("stages.calibrate.samples");
    await write(context, "hidden", (index) => Math.sin(seed + index), width);
  });
  for (let block = 0; block < blocks; block++) {
    const hidden = { step: block === 0 ? "embed" : `forward[${block - 1}]`, output: "hidden" };
    add({ stage: "calibrate", block }, { inputs: { hidden } }, { stats: "keep" }, async (context) => {
      const values = await read(context, "hidden");
      await write(context, "stats", (index) => values[index] * values[(index + 1) % width], width);
    });
    add(
      { stage: "spbo", block },
      {
        reads: ["stages.spbo.iterations", "stages.spbo.group_size"],
        facts: { weights: `${weights}${block}` },
        inputs: { stats: { step: `calibrate[${block}]`, output: "stats" } },
      },
      { codes: "keep" },
      async (context) => {
        const values = await read(context, "stats");
        const [iterations, group] = [
          context.param<number>("stages.spbo.iterations"),
          context.param<number>("stages.spbo.group_size"),
        ];
        context.spent("fine-search", 0);
        context.progress(1, 1);
        context.measure({ error: values[0] });
        context.output("codes").value({ block, sum: values.reduce((sum, value) => sum + value, 0) });
        await write(context, "codes", (index) => Math.cos(values[index] * iterations + group), width);
      },
    );
    add(
      { stage: "forward", block },
      {
        inputs: { hidden, ...(sequential ? { codes: { step: `spbo[${block}]`, output: "codes" } } : {}) },
        facts: { block },
      },
      { hidden: "transient" },
      async (context) => {
        const values = await read(context, "hidden");
        const codes = sequential ? await read(context, "codes") : values;
        await write(context, "hidden", (index) => values[index] + 0.5 * codes[index], width);
      },
    );
  }
  add(
    { stage: "evaluate" },
    {
      reads: ["stages.evaluate.perplexity"],
      inputs: {
        ...Object.fromEntries(
          Array.from({ length: blocks }, (_, b) => [`codes${b}`, { step: `spbo[${b}]`, output: "codes" }]),
        ),
        hidden: { step: `forward[${blocks - 1}]`, output: "hidden" },
      },
    },
    { perplexity: "keep", model: "keep" },
    async (context) => {
      let sum = (await read(context, "hidden"))[0];
      for (let block = 0; block < blocks; block++) sum += (await read(context, `codes${block}`))[0];
      context.output("perplexity").value(sum + context.param<Json[]>("stages.evaluate.perplexity").length);
      await Deno.writeTextFile(context.output("model").path("model/text.txt"), `sum ${sum}\n`);
    },
  );

  return {
    method: "arithmetic",
    model: "numbers",
    device: { kind: "cpu", name: "test", why: "there is no other" },
    steps,
    targets: ["evaluate", ...Array.from({ length: blocks }, (_, block) => `spbo[${block}]`)],
    lock: () => ({ versions: { arithmetic: "1" } }),
    renderRecipe: () => stringify(recipe),
    async finish({ folder, input }) {
      const perplexity = (await input({ step: "evaluate", output: "perplexity" })).value;
      const model = await input({ step: "evaluate", output: "model" });
      Deno.mkdirSync(join(folder, "model"), { recursive: true });
      Deno.copyFileSync(await model.path("model/text.txt"), join(folder, "model", "text.txt"));
      for (let block = 0; block < blocks; block++) {
        const codes = await input({ step: `spbo[${block}]`, output: "codes" });
        const path = await codes.path("codes.safetensors");
        Deno.copyFileSync(path, join(folder, "model", `codes-${block}.safetensors`));
      }
      Deno.writeTextFileSync(join(folder, "metrics.json"), JSON.stringify({ perplexity: { test: perplexity } }));
    },
    close: () => Promise.resolve(),
  };
}

/** All files of a run's model, by name, as hex. */
export function modelOf(runFolder: string): Record<string, string> {
  const folder = join(runFolder, "model");
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  return Object.fromEntries(names.map((name) => [name, Deno.readFileSync(join(folder, name)).toHex()]));
}

async function read(context: StepContext, name: string): Promise<Float64Array> {
  const artifact = await context.input(name);
  const { values } = await artifact.read(artifact.files[0]);
  if (!(values.data instanceof Float64Array)) throw new TypeError(`Cannot read ${name}: it holds no F64`);
  return values.data;
}

async function write(
  context: StepContext,
  name: string,
  value: (index: number) => number,
  width: number,
): Promise<void> {
  const values: Tensor = {
    dtype: "F64",
    shape: [width],
    data: Float64Array.from({ length: width }, (_, i) => value(i)),
  };
  await context.output(name).write(`${name}.safetensors`, { values });
}
