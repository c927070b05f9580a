import assert from "node:assert/strict";
import type { Tensor } from "../files/safetensors.ts";
import { checkRules } from "../recipes/rules.ts";
import { modelSpec } from "../models/config.ts";
import { blockLinears } from "../models/tensors.ts";
import type { ArtifactReader } from "../runner/stage.ts";
import type { Roles } from "./artifacts.ts";
import { layerJobs } from "./layer_jobs.ts";
import { stages } from "./mod.ts";
import { prunedFirst } from "./pruned_first.ts";
import { language, RecipeSchema } from "./schema.ts";
import { STBLLM } from "./stbllm_test_support.ts";

type Change = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const spec = modelSpec({
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  vocab_size: 100,
});

function rolesOf(change: Change): Partial<Roles> {
  const { stages: settings } = RecipeSchema.parse({ model: { path: "/model" }, stages: change });
  const named = stages.filter(({ name }) => settings[name] !== undefined);
  return Object.assign({}, ...named.map((stage) => stage.offer(settings[stage.name], spec)));
}

/** An artifact of one tensor in every file. */
function artifact(value: ArtifactReader["value"], tensors: Readonly<Record<string, Tensor>>): ArtifactReader {
  return {
    ...{ key: "", files: [], value },
    read: () => Promise.resolve({ ...tensors }),
    path: () => Promise.reject(new Error("not a file")),
  };
}

Deno.test("prunedFirst() zeroes what masks and the block's N say, in every linear", async () => {
  const { inputs, reads, prune } = prunedFirst({ spec, roles: rolesOf(STBLLM) }, 1);
  assert.deepEqual(inputs, {
    masks: { step: "fine-search[1]", output: "masks" },
    keep: { step: "coarse-search", output: "keep" },
  });
  assert.deepEqual(reads, ["stages.coarse-search.of", "stages.fine-search.type"]);
  const linears = blockLinears(spec, 1), names = linears.map(({ name }) => `${name}.weight`);
  const weights = Object.fromEntries(
    linears.map(({ name, rows, cols }) => [`${name}.weight`, new Float32Array(rows * cols).fill(1)] as const),
  );
  const norm = new Float32Array(16).fill(1);
  const data = Uint8Array.from({ length: 256 }, (_, i) => i % 8);
  const found = await prune({ ...weights, norm }, {
    input: (name) =>
      Promise.resolve(
        name === "keep"
          ? artifact({ keep: [8, 3], mean: 5.5, measured: [] }, {})
          : artifact({}, { ranks: { dtype: "U8", shape: [16, 16], data } }),
      ),
    param: <T>() => 8 as T,
  });
  for (const name of names) assert.deepEqual([...found[name]], [...data].map((rank) => rank >= 5 ? 1 : 0), name);
  assert.equal(found.norm, norm);
});

Deno.test("prunedFirst() needs nothing where a method prunes no weights first, or masks come from these statistics", () => {
  const nothing = (change: Change) => {
    const { inputs, reads } = prunedFirst({ spec, roles: rolesOf(change) }, 0);
    assert.deepEqual({ inputs, reads }, { inputs: {}, reads: [] });
  };
  const { stbllm: _stbllm, ...rest } = STBLLM;
  nothing({ ...rest, spbo: {} });
  nothing({ ...STBLLM, calibrate: { inputs: "original" } });
  nothing({ ...STBLLM, "fine-search": { ...STBLLM["fine-search"], type: "none" } });
});

Deno.test("layerJobs() ranks on the diagonals of the original model without a Hessian, and reads no damping", async () => {
  const { reads, make } = layerJobs(rolesOf(STBLLM), "search");
  assert.deepEqual(reads, [
    "stages.coarse-search.of",
    "stages.fine-search.metric",
    "stages.fine-search.type",
    "stages.stbllm.group_size",
  ]);
  const diagonal = Float32Array.from({ length: 16 }, (_, i) => i);
  const linears = [{ name: "q_proj", rows: 1, cols: 16, input: "attention" }];
  const diagonals = artifact({}, { diagonal: { dtype: "F32", shape: [16], data: diagonal } });
  const [job] = await make({ linears, tensors: { "q_proj.weight": new Float32Array(16) }, diagonals }, {
    param: <T>(path: string) => (path.endsWith(".of") ? 8 : 128) as T,
  });
  assert.equal(job.upper, undefined);
  assert.equal(job.diagonal, diagonal);
  const { calibrate: _calibrate, ...others } = STBLLM;
  const shared = layerJobs(rolesOf({ ...others, calibrate: { inputs: "original" } }), "search");
  assert.ok(shared.reads.includes("stages.compensate.damping"), "the Hessian comes with the statistics");
});

/** What the rules say of a recipe, without what any recipe of these stages is told. */
function told(change: Change): string[] {
  const recipe = RecipeSchema.parse({ model: { path: "/model" }, stages: { ...STBLLM, ...change } });
  return checkRules(recipe, language.rules).map(({ path, message }) => `${path.join(".")}: ${message}`);
}

Deno.test("rules: STBLLM needs masks by the original model, and these need no Hessian", () => {
  assert.deepEqual(told({}), []);
  assert.deepEqual(told({ "fine-search": { metric: "ria", mask_from: "original" } }), [
    "stages.fine-search.inputs: stbllm needs inputs `original`: it is `seen`",
  ]);
  assert.deepEqual(told({ "fine-search": { metric: "ria", inputs: "original" } }), [
    "stages.fine-search.mask_from: inputs `original` needs mask_from `original`",
    "stages.fine-search.mask_from: stbllm needs mask_from `original`: it is `updated`",
  ]);
  const hessian = { metric: "hessian", mask_from: "original", inputs: "original" };
  assert.deepEqual(told({ "fine-search": hessian }), [
    "stages.fine-search.metric: inputs `original` has no Hessian for metric `hessian`",
  ]);
  assert.deepEqual(told({ "fine-search": hessian, calibrate: { inputs: "original" } }), []);
});
