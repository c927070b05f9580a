import assert from "node:assert/strict";
import { triangleLength } from "../kernels/matrix/ops.ts";
import { modelSpec } from "../models/config.ts";
import type { Roles } from "./artifacts.ts";
import { layerJobs, type PlannedJobs } from "./layer_jobs.ts";
import { stages } from "./mod.ts";
import { RecipeSchema, type StageSettings } from "./schema.ts";
import type { Statistics } from "./statistics.ts";

type Change = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Every stage between the statistics and the packed model. */
const ALL: Change = { "coarse-search": {}, "fine-search": {}, spbo: {}, compensate: {}, pack: {} };

const spec = modelSpec({
  model_type: "llama",
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  vocab_size: 100,
});

function settingsOf(change: Change): StageSettings {
  return RecipeSchema.parse({ model: { path: "/model" }, stages: change }).stages;
}

/** What the stages that are named hand on. */
function rolesOf(change: Change): Partial<Roles> {
  const settings = settingsOf(change);
  const named = stages.filter(({ name }) => settings[name] !== undefined);
  return Object.assign({}, ...named.map((stage) => stage.offer(settings[stage.name], spec)));
}

function searchReads(change: Change = {}): readonly string[] {
  return layerJobs(rolesOf({ ...ALL, ...change }), "search").reads;
}

function quantizeReads(change: Change = {}): readonly string[] {
  return layerJobs(rolesOf({ ...ALL, ...change }), "quantize").reads;
}

Deno.test("layerJobs() reads the same for masks and for quantizing, as far as it is the choice of masks", () => {
  const quantized = quantizeReads();
  assert.ok(searchReads().every((path) => quantized.includes(path)));
  assert.deepEqual(searchReads(), [
    "stages.coarse-search.of",
    "stages.compensate.damping",
    "stages.fine-search.metric",
    "stages.fine-search.type",
    "stages.spbo.group_size",
  ]);
});

Deno.test("layerJobs() does not read for quantizing what only chose the masks that are given", () => {
  const original = { "fine-search": { mask_from: "original", metric: "random" } };
  const left = quantizeReads().filter((path) => !quantizeReads(original).includes(path));
  assert.deepEqual(left, ["stages.fine-search.metric"]);
  assert.ok(!quantizeReads(original).includes("stages.fine-search.seed"));
  assert.ok(searchReads(original).includes("stages.fine-search.metric"));
});

Deno.test("layerJobs() reads the seed only where masks are random", () => {
  assert.ok(searchReads({ "fine-search": { metric: "random" } }).includes("stages.fine-search.seed"));
  assert.ok(!searchReads({ "fine-search": { metric: "random", type: "none" } }).includes("stages.fine-search.seed"));
  assert.ok(!searchReads().includes("stages.fine-search.seed"));
});

Deno.test("layerJobs() reads of the method what it says to matter, for quantizing", () => {
  const ofMethod = (change: Change) => quantizeReads(change).filter((path) => path.startsWith("stages.spbo."));
  const keys = Object.keys(settingsOf({ spbo: {} }).spbo ?? {}).map((key) => `stages.spbo.${key}`).sort();
  assert.deepEqual(ofMethod({}), keys);
  assert.deepEqual(
    ofMethod({ spbo: { solver: "joint" } }),
    keys.filter((path) => !/iterations|schedule/.test(path)),
  );
});

Deno.test("layerJobs() reads nothing of stages that a recipe does not name", () => {
  const reads = layerJobs(rolesOf({ spbo: {}, pack: {} }), "quantize").reads;
  assert.deepEqual([...new Set(reads.map((path) => path.split(".")[1]))], ["pack", "spbo"]);
});

Deno.test("layerJobs() cannot be planned where no stage quantizes", () => {
  assert.throws(() => layerJobs(rolesOf({ pack: {} }), "quantize"), /no stage quantizes/);
});

const SEQUENCES = 4;

/** Statistics of ones; fresh arrays with every read. */
const statistics: Statistics = {
  sequences: SEQUENCES,
  moments: () => Promise.resolve({ upper: new Float32Array(triangleLength(16)).fill(1) }),
};

/** Two jobs, which are given what they declare and nothing else. */
async function makeJobs(change: Change, { reads, make }: PlannedJobs, of = statistics) {
  const tree: unknown = { stages: settingsOf(change) };
  const linears = ["q_proj", "k_proj"].map((name) => ({ name, rows: 2, cols: 16, input: "attention" }));
  const tensors = Object.fromEntries(linears.map(({ name }) => [`${name}.weight`, new Float32Array(32)]));
  return await make({ linears, tensors, statistics: of }, {
    param<T>(path: string): T {
      assert.ok(reads.includes(path), `${path} is not declared`);
      return path.split(".").reduce((value, key) => (value as Readonly<Record<string, unknown>>)[key], tree) as T;
    },
  });
}

Deno.test("make() gives layers the settings of the recipe, and those of one input one Hessian", async () => {
  const change = {
    ...ALL,
    "coarse-search": { of: 4, keep: 2 },
    "fine-search": { metric: "random", seed: 7 },
    spbo: { solver: "joint" },
    compensate: { mode: "exact", damping: 0.1 },
    pack: { scales: "f32" },
  };
  const jobs = await makeJobs(change, layerJobs(rolesOf(change), "quantize"));
  assert.deepEqual(jobs.map(({ name, of }) => ({ name, of })), [{ name: "q_proj", of: 4 }, { name: "k_proj", of: 4 }]);
  const { params, ...settings } = jobs[0].settings;
  assert.deepEqual(settings, {
    ...{ method: "spbo", scales: "f32" },
    search: { metric: "random", type: "semi-structured", seed: 7 },
    feedback: { mode: "exact", damping: 0.1 },
  });
  const { iterations: _iterations, schedule: _schedule, ...wanted } = settingsOf(change).spbo ?? assert.fail();
  assert.deepEqual(params, wanted);
  assert.equal(jobs[0].upper, jobs[1].upper);
  assert.ok(jobs[0].upper?.every((x) => x === 2 / SEQUENCES));
});

Deno.test("make() leaves what masks do not depend on, and what given masks came from, at values of their own", async () => {
  const change = {
    ...ALL,
    "fine-search": { metric: "random", seed: 7, mask_from: "original" },
    compensate: { mode: "exact", damping: 0.1 },
    pack: { scales: "f16" },
  };
  const [search] = await makeJobs(change, layerJobs(rolesOf(change), "search"));
  assert.deepEqual(search.settings, {
    ...{ method: "spbo", params: { group_size: 128 }, scales: "f32" },
    search: { metric: "random", type: "semi-structured", seed: 7 },
    feedback: { mode: "none", damping: 0.1 },
  });
  const [quantize] = await makeJobs(change, layerJobs(rolesOf(change), "quantize"));
  assert.deepEqual(quantize.settings.search, { metric: "hessian", type: "semi-structured", seed: 0 });
});

Deno.test("make() prunes nothing and feeds nothing back where no stage says so", async () => {
  const change = { spbo: {}, pack: {} };
  const [{ of, settings }] = await makeJobs(change, layerJobs(rolesOf(change), "quantize"));
  assert.equal(of, 1);
  assert.equal(settings.search.type, "none");
  assert.equal(settings.feedback.mode, "none");
});

Deno.test("make() moves layers towards original outputs, in the Hessian's units, but those left out and those without cross moments", async () => {
  const change = {
    ...ALL,
    calibrate: { target: "original", propagation: 0.25, propagation_damping: 3, propagation_skip: ["k_proj"] },
  };
  const planned = layerJobs(rolesOf(change), "quantize");
  const upper = () => new Float32Array(triangleLength(16)).fill(2 ** -20);
  const crossed: Statistics = {
    sequences: SEQUENCES,
    moments: () => Promise.resolve({ upper: upper(), cross: new Float32Array(256).fill(2 ** -19) }),
  };
  const [q, k] = await makeJobs(change, planned, crossed);
  assert.equal(k.propagation, undefined);
  assert.deepEqual([q.propagation?.share, q.propagation?.damping], [0.25, 3]);
  assert.ok(q.upper?.every((x) => x === 8));
  assert.ok(q.propagation?.cross.every((x) => x === 16));
  const [first] = await makeJobs(change, planned);
  assert.equal(first.propagation, undefined);
  const half = () => ({ upper: upper(), cross: new Float32Array(256).fill(2 ** -20) });
  const halved: Statistics = {
    ...crossed,
    moments: async (input) => ({ ...await crossed.moments(input), half: half() }),
  };
  const [stated] = await makeJobs(change, planned, halved);
  assert.equal(stated.propagation?.half, undefined);
  const free = { ...change, calibrate: { ...change.calibrate, propagation: "auto" } };
  const [chosen] = await makeJobs(free, layerJobs(rolesOf(free), "quantize"), halved);
  assert.equal(chosen.propagation?.share, "auto");
  assert.ok(chosen.propagation?.half?.upper.every((x) => x === 8));
  assert.ok(chosen.propagation?.half?.cross.every((x) => x === 8));
  const still = { ...change, calibrate: { ...change.calibrate, propagation: 0 } };
  const [own] = await makeJobs(still, layerJobs(rolesOf(still), "search"), crossed);
  assert.equal(own.propagation, undefined);
});
