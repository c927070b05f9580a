/** Content keys: which steps each value of a recipe changes; and that models and texts count by content, not by place. */
import assert from "node:assert/strict";
import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import * as z from "zod";
import { startFakeHub } from "../hub/fake_hub_test_support.ts";
import type { Provider } from "../models/mod.ts";
import { makePlan, openCache } from "../runner/mod.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import { METHODS } from "../layers/find_method.ts";
import { stages } from "../stages/mod.ts";
import { type Machine, openSubject } from "../pipeline/subject.ts";
import { project, temporaryFolder } from "./command_line_test_support.ts";
import { models, type SmallRecipe, smallRecipe } from "./small_models_test_support.ts";
import { main } from "../cli/main.ts";
import { memoryTerminal } from "../cli/terminal_test_support.ts";

type Settings = Readonly<Record<string, unknown>>;

/** Content keys of all steps of a recipe, by id. */
async function keysOf(folder: string, recipe: Settings | string, machine?: Machine): Promise<Map<string, string>> {
  const path = typeof recipe === "string" ? recipe : join(folder, "recipe.yaml");
  if (typeof recipe !== "string") Deno.writeTextFileSync(path, stringify(recipe));
  const loaded = await loadRecipe(path);
  const cache = await openCache(join(folder, "cache"));
  const warn = (message: string) => assert.fail(message);
  const { fileHashes: hashes } = cache;
  const options = { purpose: "plan", device: "cpu", cache: cache.folder, hashes, warn, progress: () => {} } as const;
  const subject = await openSubject(stages, loaded.recipe, options, machine);
  try {
    const { steps } = await makePlan(subject, cache, { recipe: loaded.recipe });
    return new Map(steps.map(({ id, key }) => [id, key]));
  } finally {
    await subject.close();
    cache.close();
  }
}

/** Names of steps, without blocks, whose keys differ; `calibrate[1..]` where the first block's does not. */
function changed(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  const names = new Map<string, Set<number>>();
  for (const id of new Set([...before.keys(), ...after.keys()])) {
    if (before.get(id) === after.get(id)) continue;
    const [, name, block = "0"] = /^(.*?)(?:\[(\d+)\])?$/.exec(id) ?? [];
    names.set(name, (names.get(name) ?? new Set()).add(Number(block)));
  }
  return [...names].map(([name, blocks]) => blocks.has(0) ? name : `${name}[1..]`).sort();
}

/** A recipe with values set by path. */
function withValues(recipe: Settings, values: Settings): Settings {
  const copy = structuredClone(recipe);
  for (const [path, value] of Object.entries(values)) {
    const names = path.split(".");
    let holder = copy as Record<string, unknown>;
    for (const name of names.slice(0, -1)) holder = (holder[name] ??= {}) as Record<string, unknown>;
    holder[names[names.length - 1]] = value;
  }
  return copy;
}

const PACKED = ["evaluate.heldout.compressed", "pack"];
const QUANTIZED = [...PACKED, "spbo"].sort();
const SEARCHED = [...QUANTIZED, "coarse-search"].sort();
const CALIBRATED = [...SEARCHED, "calibrate", "calibrate.windows"].sort();
const DIVERGENCE = ["evaluate.heldout.compressed"];
const ASKED = ["evaluate.tasks.rte.compressed", "evaluate.tasks.rte.original", "evaluate.tasks.rte.questions"];
const questions = (limit?: number) => ({
  ...{ name: "rte", data: join(project, "tasks", "testdata", "rte.jsonl") },
  ...(limit === undefined ? {} : { limit }),
});
const EVALUATED = ["evaluate.heldout.compressed", "evaluate.heldout.original", "evaluate.heldout.windows"];
const NOTHING: readonly string[] = [];

/** Without stages: the settings that the table's rows change. */
const base = (stages: SmallRecipe["stages"] = {}): Settings =>
  smallRecipe({
    model: models.llama,
    stages: {
      ...stages,
      calibrate: { inputs: "original", ...stages.calibrate },
      spbo: { solver: "alternate", schedule: "stepwise", ...stages.spbo },
    },
  });

const text = { text: fileURLToPath(new URL("../README.md", import.meta.url)) };
const heldout = { windows: join(models.llama, "windows.safetensors"), tensor: "heldout" };

interface Row {
  /** Settings that the change is made on, by path. */
  readonly on?: Settings;
  /** What changes, by path. */
  readonly set: Settings;
  /** Steps with other keys. */
  readonly keys: readonly string[];
}

/** Nothing is pruned, and another method takes spbo's place. */
const without = {
  extends: fileURLToPath(new URL("../configs/bases/tiny-llama.yaml", import.meta.url)),
  "stages.spbo": undefined,
  "stages.pack": {},
};
const withGptq = { ...without, "stages.gptq": {}, "stages.compensate": {} };
const withRtn = { ...without, "stages.rtn": { bits: 1 } };
const withBits = {
  ...{ ...without, "stages.trellis": {}, "stages.compensate": { mode: "columnwise" } },
  "stages.coarse-search": { metric: "sensitivity", bits: 2 },
};
const MEASURED = ["coarse-search", "coarse-search.candidate", "coarse-search.check", "coarse-search.sensitivity"];
const quantizedBy = (method: string) => [...PACKED, method].sort();

const rows: readonly Row[] = [
  { set: { name: "another", description: "other words" }, keys: NOTHING },
  { set: { expect: { heldout: { value: 30, within: 0.1 } } }, keys: NOTHING },
  { set: { "stages.calibrate.dataset": heldout }, keys: CALIBRATED },
  { set: { "stages.calibrate.samples": 9 }, keys: CALIBRATED },
  { set: { "stages.calibrate.length": 32 }, keys: CALIBRATED },
  // Stored windows are taken in order; from a text they are drawn.
  { set: { "stages.calibrate.seed": 1 }, keys: NOTHING },
  { on: { "stages.calibrate.dataset": text }, set: { "stages.calibrate.seed": 1 }, keys: CALIBRATED },
  // The first pass of the original model is then a step of its own.
  { set: { "stages.calibrate.inputs": "sequential" }, keys: [...SEARCHED, "calibrate"].sort() },
  { set: { "stages.coarse-search.metric": "none" }, keys: SEARCHED },
  {
    on: withBits,
    set: { "stages.coarse-search.bits": 1.5 },
    keys: [...MEASURED, ...quantizedBy("trellis")].sort(),
  },
  {
    on: withBits,
    set: { "stages.coarse-search.spread": 0.5 },
    keys: [...MEASURED.slice(0, 3), ...quantizedBy("trellis")].sort(),
  },
  {
    on: withBits,
    set: { "stages.coarse-search.metric": "none" },
    keys: [...MEASURED, ...quantizedBy("trellis")].sort(),
  },
  // Layers are measured in the original model, whatever they are to meet.
  {
    on: { ...withBits, "stages.calibrate.inputs": "sequential" },
    set: { "stages.calibrate.target": "original" },
    keys: ["calibrate", ...quantizedBy("trellis")].sort(),
  },
  {
    on: withBits,
    set: { "stages.calibrate.inputs": "sequential" },
    keys: ["calibrate", ...quantizedBy("trellis")].sort(),
  },
  { set: { "stages.coarse-search.metric": "ri" }, keys: SEARCHED },
  { set: { "stages.coarse-search.similarity": "flattened" }, keys: SEARCHED },
  {
    on: { "stages.coarse-search.metric": "none" },
    set: { "stages.coarse-search.similarity": "flattened", "stages.coarse-search.spread": 0 },
    keys: NOTHING,
  },
  { set: { "stages.coarse-search.keep": 5 }, keys: SEARCHED },
  { set: { "stages.coarse-search.of": 16 }, keys: SEARCHED },
  { set: { "stages.coarse-search.spread": 2 }, keys: SEARCHED },
  { set: { "stages.fine-search.metric": "magnitude" }, keys: QUANTIZED },
  { set: { "stages.fine-search.mask_from": "original" }, keys: [...QUANTIZED, "fine-search"].sort() },
  // Where calibrate sees the original model's inputs, these are they.
  {
    on: { "stages.fine-search.mask_from": "original" },
    set: { "stages.fine-search.inputs": "original" },
    keys: NOTHING,
  },
  {
    on: {
      ...{ "stages.calibrate.inputs": "sequential", "stages.coarse-search.metric": "ri" },
      ...{ "stages.fine-search.metric": "wanda", "stages.fine-search.mask_from": "original" },
    },
    set: { "stages.fine-search.inputs": "original" },
    keys: [...SEARCHED, "fine-search", "calibrate[1..]"].sort(),
  },
  { set: { "stages.fine-search.type": "unstructured" }, keys: QUANTIZED },
  { set: { "stages.fine-search.seed": 1 }, keys: NOTHING },
  { on: { "stages.fine-search.metric": "random" }, set: { "stages.fine-search.seed": 1 }, keys: QUANTIZED },
  { set: { "stages.spbo.group_size": 64 }, keys: QUANTIZED },
  { set: { "stages.spbo.salient": false }, keys: QUANTIZED },
  { set: { "stages.spbo.salient_max": 20 }, keys: QUANTIZED },
  { on: { "stages.spbo.salient": false }, set: { "stages.spbo.salient_max": 20 }, keys: NOTHING },
  { set: { "stages.spbo.split_points": 1 }, keys: QUANTIZED },
  { set: { "stages.spbo.split_search": "doubled" }, keys: QUANTIZED },
  { set: { "stages.spbo.split_on": "all" }, keys: QUANTIZED },
  { set: { "stages.spbo.candidates": 30 }, keys: QUANTIZED },
  { on: { "stages.spbo.split_points": 0 }, set: { "stages.spbo.candidates": 30 }, keys: NOTHING },
  { set: { "stages.spbo.search_grid": "coarse" }, keys: QUANTIZED },
  { set: { "stages.spbo.search_target": "scores" }, keys: QUANTIZED },
  { set: { "stages.spbo.solver": "joint" }, keys: QUANTIZED },
  { set: { "stages.spbo.schedule": "oneshot" }, keys: QUANTIZED },
  { set: { "stages.spbo.iterations": 7 }, keys: QUANTIZED },
  {
    on: { "stages.spbo.solver": "joint" },
    set: { "stages.spbo.iterations": 7, "stages.spbo.schedule": "oneshot" },
    keys: NOTHING,
  },
  { set: { "stages.spbo.resign": 2 }, keys: QUANTIZED },
  {
    on: { "stages.spbo.salient": false, "stages.spbo.split_points": 0 },
    set: { "stages.spbo.profile": "ternary" },
    keys: QUANTIZED,
  },
  { set: { "stages.spbo.block_metric": "conditional" }, keys: QUANTIZED },
  { on: withGptq, set: { "stages.gptq.bits": 3 }, keys: quantizedBy("gptq") },
  { on: withGptq, set: { "stages.gptq.group_size": "row" }, keys: quantizedBy("gptq") },
  { on: withGptq, set: { "stages.gptq.act_order": true }, keys: quantizedBy("gptq") },
  { on: withGptq, set: { "stages.compensate.mode": "columnwise" }, keys: quantizedBy("gptq") },
  { on: withRtn, set: { "stages.rtn.bits": 2 }, keys: quantizedBy("rtn") },
  { on: withRtn, set: { "stages.rtn.group_size": 64 }, keys: quantizedBy("rtn") },
  { on: withRtn, set: { "stages.rtn.grid": "sign" }, keys: quantizedBy("rtn") },
  { set: { "stages.compensate.mode": "diagonal" }, keys: QUANTIZED },
  { set: { "stages.compensate.damping": 0.02 }, keys: QUANTIZED },
  { set: { "stages.pack.scales": "f32" }, keys: QUANTIZED },
  { set: { "stages.pack.mask": "bitmask" }, keys: PACKED },
  // Blocks are packed alike, so that nothing is calibrated anew.
  {
    on: { "stages.calibrate.inputs": "sequential" },
    set: { "stages.pack.coding": "entropy" },
    keys: PACKED,
  },
  { set: { "stages.pack.embedding": "q8" }, keys: [...PACKED, "pack.embedding"] },
  { on: { "stages.pack.embedding": "q8" }, set: { "stages.pack.head": "q8" }, keys: NOTHING },
  {
    set: { "stages.pack.embedding": "trellis-5" },
    keys: ["calibrate.head", ...PACKED, "pack.embedding"],
  },
  {
    on: { "stages.pack.embedding": "trellis-5" },
    set: { "stages.pack.embedding": "trellis-4" },
    keys: [...PACKED, "pack.embedding"],
  },
  {
    on: { "stages.pack.embedding": "q8" },
    set: { "stages.pack.scales": "f32" },
    keys: [...PACKED, "pack.embedding", "spbo"],
  },
  {
    on: { "stages.pack.embedding": "q8" },
    set: { "stages.pack.mask": "bitmask" },
    keys: PACKED,
  },
  {
    set: { "stages.evaluate.perplexity": [{ name: "heldout", dataset: heldout, samples: 5, length: 64 }] },
    keys: EVALUATED,
  },
  {
    set: { "stages.evaluate.perplexity": [{ name: "heldout", dataset: heldout, samples: 4, length: 32 }] },
    keys: EVALUATED,
  },
  {
    on: { "stages.evaluate.tasks": [questions(4)] },
    set: { "stages.evaluate.tasks": [questions(5)] },
    keys: ASKED,
  },
  { on: { "stages.evaluate.tasks": [questions()] }, set: { "stages.evaluate.limit": 4 }, keys: ASKED },
  // The limit of a task is its own.
  { on: { "stages.evaluate.tasks": [questions(4)] }, set: { "stages.evaluate.limit": 5 }, keys: NOTHING },
  // What is kept of the original beside its loss is part of what its steps make.
  { set: { "stages.evaluate.divergence": false }, keys: DIVERGENCE },
  { set: { "stages.calibrate.dataset.shuffle": true }, keys: CALIBRATED },
  { set: { "stages.calibrate.dataset.skip": 1 }, keys: CALIBRATED },
  { set: { "stages.calibrate.held_out": 1 }, keys: CALIBRATED },
  { on: { "stages.calibrate.dataset.shuffle": true }, set: { "stages.calibrate.seed": 1 }, keys: CALIBRATED },
  {
    on: { "stages.calibrate.inputs": "sequential" },
    set: { "stages.calibrate.inputs": "renewed" },
    keys: [...QUANTIZED, "calibrate"].sort(),
  },
  // A target's cross moments are another calibration; how far it is followed matters to no first pass.
  {
    on: { "stages.calibrate.inputs": "sequential" },
    set: { "stages.calibrate.target": "original" },
    keys: [...QUANTIZED, "calibrate"].sort(),
  },
  ...[
    ...[{ propagation: 1 }, { propagation_damping: 1 }, { propagation_skip: ["down_proj"] }],
    // In the first block both streams are one: there are no halves to be kept.
    ...[{ propagation: "auto" }, { propagation_damping: "auto" }],
  ].map((value): Row => {
    const [[key, changed]] = Object.entries(value);
    return {
      on: { "stages.calibrate.inputs": "sequential", "stages.calibrate.target": "original" },
      set: { [`stages.calibrate.${key}`]: changed },
      keys: [...QUANTIZED, "calibrate[1..]"].sort(),
    };
  }),
  // What the stream is off is nothing in the first block, and is told with S.
  {
    on: { "stages.calibrate.inputs": "sequential", "stages.calibrate.target": "original" },
    set: { "stages.calibrate.residual": true },
    keys: [...QUANTIZED.filter((key) => key !== "spbo"), "calibrate[1..]", "spbo[1..]"].sort(),
  },
  // What a block sees depends on the blocks before it.
  {
    on: { "stages.calibrate.inputs": "sequential" },
    set: { "stages.spbo.iterations": 7 },
    keys: [...QUANTIZED, "calibrate[1..]"].sort(),
  },
  {
    on: { "stages.calibrate.inputs": "sequential" },
    set: { "stages.pack.mask": "bitmask" },
    keys: [...PACKED, "calibrate[1..]", "spbo[1..]"].sort(),
  },
];

/** Values that have one choice only in this version. */
const FIXED = ["stages.evaluate.fewshot"];

Deno.test("content keys: each value of a recipe changes the keys of the steps it matters to, and no others", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const wrong: unknown[] = [];
  for (const { on = {}, set, keys } of rows) {
    const before = await keysOf(folder, withValues(base(), on));
    const after = await keysOf(folder, withValues(withValues(base(), on), set));
    const found = changed(before, after);
    if (found.join() !== keys.join()) wrong.push({ on, set, keys, found });
  }
  assert.deepEqual(wrong, []);
});

Deno.test("content keys: every option of every stage is in the table", () => {
  const tested = new Set([...rows.flatMap(({ set }) => Object.keys(set)), ...FIXED]);
  // Those of other methods have tests beside them.
  const others = METHODS.filter(({ name }) => name !== "spbo").map(({ name }) => name);
  const options = stages.filter(({ name }) => !others.includes(name)).flatMap(({ name, params }) =>
    params instanceof z.ZodObject ? Object.keys(params.shape).map((key) => `stages.${name}.${key}`) : []
  );
  assert.ok(options.length > 25);
  assert.deepEqual(options.filter((option) => !tested.has(option)), []);
});

Deno.test("content keys: the kernels' device counts where kernels run, the forward passes' provider where those do", async () => {
  using temporary = temporaryFolder();
  const keys = (kind: "cpu" | "webgpu", provider: Provider, name = "a name") =>
    keysOf(temporary.path, base(), {
      chooseDevice: () => Promise.resolve({ kind, software: false, name, why: name }),
      chooseForward: () => Promise.resolve({ provider, why: name }),
    });
  const cpu = await keys("cpu", "cpu");
  assert.deepEqual(changed(cpu, await keys("cpu", "cpu", "another")), NOTHING);
  assert.deepEqual(changed(cpu, await keys("webgpu", "cpu")), QUANTIZED);
  const forward = [...SEARCHED, "calibrate", "evaluate.heldout.original"].sort();
  assert.deepEqual(changed(cpu, await keys("cpu", "webgpu")), forward);
  assert.deepEqual(changed(await keys("cpu", "webgpu"), await keys("cpu", "cuda")), forward);
});

Deno.test("content keys: files count by content, wherever they are; one bit of a block's weights is that block's", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const here = await keysOf(folder, base());
  const copy = join(folder, "copy");
  Deno.mkdirSync(copy);
  for (const name of readdirSync(models.llama)) copyFileSync(join(models.llama, name), join(copy, name));
  const moved = smallRecipe({ model: copy, stages: { calibrate: { inputs: "original" } } });
  const there = () => keysOf(folder, withValues(moved, { "stages.spbo.solver": "alternate" }));
  assert.deepEqual(changed(here, await there()), NOTHING);
  const path = join(copy, "windows.safetensors");
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1;
  Deno.writeFileSync(path, bytes);
  assert.deepEqual(changed(here, await there()), [...CALIBRATED, ...EVALUATED].toSorted().filter(unique));
  copyFileSync(join(models.llama, "windows.safetensors"), path);
  const weights = readFileSync(join(copy, "model.safetensors"));
  weights[weights.length - 1] ^= 1;
  Deno.writeFileSync(join(copy, "model.safetensors"), weights);
  const spoiled = changed(here, await there());
  assert.ok(spoiled.includes("calibrate") && !spoiled.includes("calibrate.windows"), spoiled.join());
});

Deno.test("plan of a model of the hub downloads config and headers only, and shares keys with the same files here", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await using hub = startFakeHub();
  const names = readdirSync(models.llama).filter((name) => name !== "windows.safetensors");
  const files = Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(join(models.llama, name)))]));
  const commit = hub.addRepo({ kind: "model", id: "owner/tiny", files });
  const recipe = { ...base(), model: { hub: "owner/tiny", revision: commit } };
  const path = join(folder, "hub.yaml");
  Deno.writeTextFileSync(path, stringify(recipe));
  const { HF_ENDPOINT } = Deno.env.toObject();
  Deno.env.set("HF_ENDPOINT", hub.url);
  try {
    const terminal = memoryTerminal();
    const args = ["plan", path, "--json", "--exit-code", "--cache", join(folder, "cache")];
    assert.equal(await main(args, terminal), 10, terminal.err());
    const { totals, steps } = JSON.parse(terminal.out());
    assert.equal(totals.run, steps.length);
    const weights = hub.requests.filter(({ path }) => path.includes("model.safetensors"));
    assert.ok(weights.length > 0 && weights.every(({ range }) => range !== null), JSON.stringify(weights));
    const sent = weights.filter(({ path }) => path.includes("/cdn/")).reduce((sum, { range }) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? assert.fail(`range ${range}`);
      return sum + Number(last) + 1 - Number(first);
    }, 0);
    assert.ok(sent < files["model.safetensors"].length / 5, `${sent} bytes of weights were asked for`);
    assert.deepEqual(changed(await keysOf(folder, base()), await keysOf(folder, path)), NOTHING);
  } finally {
    if (HF_ENDPOINT === undefined) Deno.env.delete("HF_ENDPOINT");
    else Deno.env.set("HF_ENDPOINT", HF_ENDPOINT);
  }
});

function unique<T>(value: T, index: number, all: readonly T[]): boolean {
  return all.indexOf(value) === index;
}
