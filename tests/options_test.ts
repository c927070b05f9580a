/** Every option of every stage on real layers: two blocks of LLaMA and of OPT through the whole pipeline, in this process. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { stringify } from "yaml";
import * as z from "zod";
import { openPacked } from "../checkpoints/packed/open.ts";
import { layerOf, planes } from "../checkpoints/packed/planes.ts";
import { METHODS } from "../layers/find_method.ts";
import { unwrap } from "../recipes/describe.ts";
import type { Metrics } from "../report/mod.ts";
import { type ArtifactCache, executeRun, makePlan, openCache } from "../runner/mod.ts";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import { stages as pipelineStages } from "../stages/mod.ts";
import type { Recipe } from "../stages/schema.ts";
import { metricsOf, temporaryFolder } from "./command_line_test_support.ts";
import { combinations, quick, type StageSettings } from "./option_combinations_test_support.ts";
import { cutModel, models, smallRecipe } from "./small_models_test_support.ts";

/** A folder with both models cut short and one cache. */
interface Workshop extends Disposable {
  run(architecture: keyof typeof models, stages: StageSettings): Promise<Result>;
}

interface Result {
  readonly folder: string;
  readonly metrics: Metrics;
  readonly stages: Recipe["stages"];
}

/** Every stage with its defaults. */
const every: StageSettings = { "coarse-search": {}, "fine-search": {}, spbo: {}, compensate: {}, pack: {} };

/** Whether a recipe names a method that is not the usual one. */
function hasOtherMethod(stages: StageSettings): boolean {
  return METHODS.some(({ name }) => name !== "spbo" && name in stages);
}

/** Whether its method refuses to prune, so that it has no stages for that. */
function prunesNothing(stages: StageSettings): boolean {
  return ["arb-llm", "gptq", "rtn", "trellis"].some((name) => name in stages);
}

async function openWorkshop(): Promise<Workshop> {
  const temporary = temporaryFolder();
  const folder = temporary.path;
  for (const [name, from] of Object.entries(models)) cutModel(from, join(folder, name), 2);
  const cache: ArtifactCache = await openCache(join(folder, "cache"));
  return {
    async run(architecture, stages) {
      const { spbo, ...others } = { ...every, ...stages };
      const text = smallRecipe({
        model: join(folder, architecture),
        windows: models[architecture],
        stages: prunesNothing(stages) ? { ...stages, pack: {} } : hasOtherMethod(stages) ? others : { ...others, spbo },
      });
      const path = join(folder, "recipe.yaml");
      Deno.writeTextFileSync(path, stringify({ ...text, extends: undefined }));
      const { recipe } = await loadRecipe(path);
      const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", cache: cache.folder });
      try {
        const plan = await makePlan(subject, cache, { recipe });
        const { error, folder: run } = await executeRun(plan, subject, {
          ...{ cache, recipe, runsDir: join(folder, "runs") },
        });
        if (error !== undefined) throw new Error(`${JSON.stringify(stages)}: ${error.message}`, { cause: error });
        return { folder: run, metrics: metricsOf({ path: run }), stages: recipe.stages };
      } finally {
        await subject.close();
      }
    },
    [Symbol.dispose]() {
      cache.close();
      temporary[Symbol.dispose]();
    },
  };
}

/** What holds of every result: numbers are finite, masks keep what they promise, pruned weights are zero. */
async function assertSound({ folder, metrics, stages }: Result): Promise<void> {
  const { original, compressed } = metrics.perplexity.heldout;
  assert.ok(Number.isFinite(original) && Number.isFinite(compressed));
  const { "fine-search": search, "coarse-search": { of } = {}, stbllm } = stages;
  const released = (stbllm as { readonly variant?: unknown } | undefined)?.variant === "as-released";
  const type = released ? "none" : search?.type;
  // One value per group is hardly a model; everything else stays near the original.
  assert.ok(compressed > 0.9 * original && compressed < 20 * original, `${compressed} of ${original}`);
  for (const { name, error } of metrics.layer_error.layers) assert.ok(error >= 0 && error < 1, `${name}: ${error}`);
  if (search === undefined || of === undefined) return;
  const packed = await openPacked(join(folder, "model"));
  try {
    // What other formats promise has tests of its own.
    if ([...packed.layers.values()].some(({ format }) => format.name !== planes.name)) return;
    for (const name of packed.layers.keys()) {
      const { codes, rows, cols, ...facts } = layerOf(await packed.layer(name));
      const weights = await packed.read(`${name}.weight`);
      assert.ok(weights.every((weight, i) => Number.isFinite(weight) && (codes[i] % 2 === 1 || weight === 0)), name);
      const keep = metrics.keep?.[Number(/layers\.(\d+)\./.exec(name)?.[1])];
      assert.ok(keep !== undefined);
      assert.equal(facts.type, type);
      const kept = (from: number, to: number) => {
        let count = 0;
        for (let i = from; i < to; i++) count += codes[i] % 2;
        return count;
      };
      if (type === "none") assert.equal(kept(0, codes.length), codes.length, name);
      else if (type === "semi-structured") {
        for (let at = 0; at < codes.length; at += of) assert.equal(kept(at, at + of), keep, `${name} from ${at} on`);
      } else {
        const share = kept(0, codes.length) / (rows * cols);
        assert.ok(Math.abs(share - keep / of) < 0.02, `${name} keeps ${share}, not ${keep / of}`);
      }
      if (type === "structured") {
        for (let at = cols; at < codes.length; at++) {
          if (codes[at] % 2 !== codes[at % cols] % 2) assert.fail(`${name} prunes parts of column ${at % cols}`);
        }
      }
    }
  } finally {
    packed.close();
  }
}

Deno.test("stages: every option gives finite numbers, and masks that keep what they promise", async (test) => {
  using workshop = await openWorkshop();
  for (const { on, stages } of combinations) {
    const title = Object.values(stages).flatMap((each) => Object.entries(each))
      .map(([key, value]) => `${key} ${typeof value === "object" ? Object.values(value ?? {}) : value}`);
    await test.step(`${on}: ${title.join(", ")}`, async () => {
      const usual: StageSettings = hasOtherMethod(stages) ? {} : { spbo: { ...quick, ...stages.spbo } };
      await assertSound(await workshop.run(on, { ...stages, ...usual }));
    });
  }
});

Deno.test("stages: the combinations above use every choice that the schema has", () => {
  const used = new Map<string, Set<string>>();
  for (const { stages } of combinations) {
    for (const [stage, settings] of Object.entries(stages)) {
      for (const [key, value] of Object.entries(settings)) {
        const path = `${stage}.${key}`;
        used.set(path, (used.get(path) ?? new Set()).add(typeof value === "object" ? "object" : String(value)));
      }
    }
  }
  const missing: string[] = [];
  for (const { name, params } of pipelineStages) {
    assert.ok(params instanceof z.ZodObject);
    for (const [key, option] of Object.entries(params.shape)) {
      const inner = unwrap(option);
      const choices: readonly unknown[] = inner instanceof z.ZodEnum || inner instanceof z.ZodUnion
        ? inner.options
        : [];
      for (const choice of choices) {
        if (typeof choice === "string" && choices.length > 1 && !used.get(`${name}.${key}`)?.has(choice)) {
          missing.push(`${name}.${key}: ${choice}`);
        }
      }
    }
  }
  assert.deepEqual(missing, []);
});

Deno.test("stages: better solvers, compensation and room for more weights make the error smaller", async () => {
  using workshop = await openWorkshop();
  // With one column block a layer's error is the very thing that the solvers make small.
  const single = { ...quick, group_size: 256, solver: "joint", salient: false };
  const errors = async (spbo: Readonly<Record<string, unknown>>, others: StageSettings = {}) => {
    const { metrics } = await workshop.run("llama", {
      calibrate: { inputs: "original" },
      "coarse-search": { metric: "none" },
      "fine-search": { mask_from: "original" },
      compensate: { mode: "none" },
      pack: { scales: "f32" },
      ...others,
      spbo: { ...single, ...spbo },
    });
    return metrics.layer_error.layers.filter(({ name }) => !name.includes("down_proj"));
  };
  const joint = await errors({});
  const ordered = (
    better: readonly { name: string; error: number }[],
    worse: readonly { name: string; error: number }[],
    what: string,
  ) =>
    better.forEach(({ name, error }, i) =>
      assert.ok(error <= worse[i].error * (1 + 1e-4), `${what}, ${name}: ${error} is more than ${worse[i].error}`)
    );
  const alternate = await errors({ solver: "alternate", iterations: 15 });
  ordered(joint, alternate, "joint against alternate");
  ordered(alternate, await errors({ solver: "none" }), "alternate against none");
  ordered(await errors({ resign: 1 }), joint, "resign 1 against 0");
  const steps = await errors({ solver: "alternate", iterations: 200 });
  const once = await errors({ solver: "alternate", iterations: 200, schedule: "oneshot" });
  steps.forEach(({ name, error }, i) => {
    assert.ok(Math.abs(error / once[i].error - 1) < 0.02, `stepwise ${error}, oneshot ${once[i].error}: ${name}`);
  });
  ordered(await errors({}, { "coarse-search": { metric: "none", keep: 6 } }), joint, "6 of 8 against 4 of 8");
  const mean = (layers: readonly { error: number }[]) =>
    layers.reduce((sum, { error }) => sum + error, 0) / layers.length;
  const blocks = { group_size: 64 };
  const none = mean(await errors(blocks));
  const exact = mean(await errors(blocks, { compensate: { mode: "exact" } }));
  assert.ok(exact < none, `exact compensation ${exact}, none ${none}`);
});
