/**
 * Inputs of layers and what layers are to match, from the recipe to the packed model: the layer errors of a run are those that come of
 * forward passes with what was packed, block after block and input after input, and of targets in float64.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { readTensors } from "../checkpoints/read_tensors.ts";
import { loadWindows } from "../datasets/mod.ts";
import { hessianExponent } from "../layers/units.ts";
import { modelSpec } from "../models/config.ts";
import { openForward, type Weights } from "../models/forward.ts";
import { calibrate } from "../stages/calibrate.ts";
import { openWeights } from "../stages/tools/weights.ts";
import { blockLinears, blockShapes, embeddingShapes, linearInputs } from "../models/tensors.ts";
import { lastRun, metricsOf, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";
import { runTiny, tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

/** Windows and tokens of each, as `smallRecipe` has them. */
const SIZE = { windows: 8, length: 64 };
/** Those that are held out. */
const APART = { windows: 3, length: 64 };
const DAMPING = 0.02, HELD_OUT = APART.windows;

/** Square matrix by rows. */
type Square = Float64Array;

interface Case {
  readonly model: keyof typeof models;
  readonly calibrate: Readonly<Record<string, unknown>>;
}

const CASES: Readonly<Record<string, Case>> = {
  renewed: { model: "llama", calibrate: { inputs: "renewed" } },
  "target original": { model: "llama", calibrate: { target: "original", propagation_damping: DAMPING } },
  "both, all the way, down_proj left out": {
    model: "llama",
    calibrate: {
      ...{ inputs: "renewed", target: "original", propagation: 1, propagation_damping: DAMPING },
      propagation_skip: ["down_proj"],
    },
  },
  "all the way, making up for the residual stream": {
    model: "llama",
    calibrate: {
      ...{ inputs: "renewed", target: "original", propagation: 1, propagation_damping: DAMPING },
      residual: true,
    },
  },
  "chosen on halves, OPT": {
    model: "opt",
    calibrate: { inputs: "renewed", target: "original", propagation: "auto", propagation_damping: DAMPING },
  },
  "both, OPT, windows held out": {
    model: "opt",
    calibrate: { inputs: "renewed", target: "original", propagation_damping: DAMPING, held_out: HELD_OUT },
  },
};

for (const [name, { model, calibrate }] of Object.entries(CASES)) {
  Deno.test(`run measures layers on the inputs, and against the targets, that the recipe asks for: ${name}`, async () => {
    using temporary = temporaryFolder();
    const folder = temporary.path, cut = join(folder, "model");
    cutModel(models[model], cut, 2);
    const stages = { calibrate };
    const recipe = writeRecipe(folder, { model: cut, windows: models[model], stages });
    mkdirSync(join(folder, "runs"), { recursive: true });
    await runTiny(folder, recipe);
    const run = lastRun(join(folder, "runs"));
    const { layer_error: { layers: found, held_out: heldOut }, propagation } = metricsOf(run);
    const chosen = new Map(propagation?.layers.map(({ name, share }) => [name, share]));
    if (calibrate.propagation === "auto") {
      // In the first block attention's inputs are the original model's.
      assert.equal(chosen.size, found.length - 3);
      assert.ok([...chosen.values()].some((share) => share > 0.01 && share < 1), `${[...chosen.values()]}`);
    } else assert.equal(propagation, undefined);
    const wanted = await errorsOf({
      original: cut,
      packed: join(run.path, "model"),
      windows: models[model],
      calibrate,
      chosen,
    });
    assert.deepEqual(found.map(({ name }) => name), [...wanted.keys()]);
    for (const { name, error } of found) {
      const { samples: other } = wanted.get(name) ?? { samples: NaN };
      // Measured: 2e-4; float32 stands against float64 at few tokens.
      assert.ok(Math.abs(error / other - 1) < 2e-3, `${name}: ${error}, not ${other}`);
    }
    assert.equal(heldOut?.layers.length, calibrate.held_out === undefined ? undefined : found.length);
    for (const { name, error } of heldOut?.layers ?? []) {
      const { heldOut: other } = wanted.get(name) ?? { heldOut: NaN };
      assert.ok(Math.abs(error / other - 1) < 2e-3, `${name}, held out: ${error}, not ${other}`);
    }
  });
}

/** Errors of all layers, from what was packed. */
async function errorsOf({ original, packed, windows, calibrate, chosen }: {
  readonly original: string;
  readonly packed: string;
  readonly windows: string;
  readonly calibrate: Case["calibrate"];
  /** What the run says of layers whose share was chosen. */
  readonly chosen: ReadonlyMap<string, number>;
}): Promise<Map<string, { readonly samples: number; readonly heldOut: number }>> {
  const { inputs = "sequential", target = "layer", propagation = 0.5, propagation_skip: skip = [] } = calibrate;
  const opened = await openWeights({ path: original }, {}), compressed = await openPacked(packed), { spec } = opened;
  const forward = await openForward(spec);
  const errors = new Map<string, { readonly samples: number; readonly heldOut: number }>();
  try {
    const dataset = { windows: join(windows, "windows.safetensors"), tensor: "calibration" };
    const options = { split: "calibration", tokenizer: undefined, vocab: spec.vocab, seed: 0 } as const;
    const all = SIZE.windows + HELD_OUT;
    const { ids } = await loadWindows(dataset, { ...options, samples: all, length: SIZE.length });
    const split = SIZE.windows * SIZE.length, embedding = await readTensors(opened.checkpoint, embeddingShapes(spec));
    let now: Float32Array = await forward.embed(embedding, ids.slice(0, split), SIZE);
    let before: Float32Array = now.slice();
    let apart: Float32Array = await forward.embed(embedding, ids.slice(split), APART);
    for (let block = 0; block < spec.blocks; block++) {
      const read = (from: Checkpoint) => readTensors(from, blockShapes(spec, block));
      const [w, q] = [await read(opened.checkpoint), await read(compressed)];
      const linears = blockLinears(spec, block), done = new Set<string>();
      const heldOutMoments = async (weights: Weights, input: string, size: number) => {
        const held = await forward.openBlock(block, weights, { gather: "full", output: false, inputs: [input] });
        await held.run(apart.slice(), APART);
        return symmetric((await held.finish())[input].upper ?? assert.fail(), size);
      };
      for (const [input, size] of linearInputs(spec)) {
        // Weights of layers before this input are compressed, or all are as they were.
        const mixed = inputs === "renewed"
          ? { ...w, ...Object.fromEntries([...done].map((name) => [name, q[name]])) }
          : w;
        const pass = await forward.openBlock(block, mixed, {
          ...{ gather: "full", output: false, inputs: [input], originals: w },
          original: { output: false, residual: calibrate.residual === true },
        });
        await pass.run(now.slice(), { ...SIZE, original: before.slice() });
        const { upper, cross, residual } = (await pass.finish())[input];
        assert.equal(residual !== undefined, calibrate.residual === true && ["output", "down"].includes(input));
        const other = calibrate.held_out === undefined ? undefined : await heldOutMoments(mixed, input, size);
        const h = symmetric(upper ?? assert.fail(), size), c = Float64Array.from(cross ?? assert.fail());
        // The unit decides what a dead input counts as in the mean.
        const factor = 2 / SIZE.windows, unit = 2 ** -hessianExponent(upper ?? assert.fail(), size, factor);
        const r = residual && Float64Array.from(residual);
        for (const values of r ? [h, c, r] : [h, c]) values.forEach((_, i) => values[i] *= factor * unit);
        for (const { name, rows } of linears.filter((linear) => linear.input === input)) {
          const skipped = (skip as readonly string[]).some((end) => name.endsWith(end));
          const stated = propagation === "auto" ? chosen.get(name) ?? 0 : Number(propagation);
          const share = target === "original" && !skipped ? stated : 0;
          const weight = `${name}.weight`,
            wanted = share > 0 ? targetOf(w[weight], { h, c, r, rows, size, share }) : w[weight];
          const left = Float64Array.from(wanted, (x, i) => x - q[weight][i]);
          const errorOn = (h: Square) => energy(left, h, { rows, size }) / energy(wanted, h, { rows, size });
          errors.set(name, { samples: errorOn(h), heldOut: other ? errorOn(other) : NaN });
          done.add(weight);
        }
      }
      now = await outputOf(q, now, { block, size: SIZE });
      before = await outputOf(w, before, { block, size: SIZE });
      apart = await outputOf(q, apart, { block, size: APART });
    }
  } finally {
    await forward.close();
    compressed.close();
    opened.close();
  }
  return errors;

  async function outputOf(
    weights: Weights,
    hidden: Float32Array,
    { block, size }: { readonly block: number; readonly size: typeof SIZE },
  ): Promise<Float32Array> {
    const run = await forward.openBlock(block, weights, { gather: "none", output: true });
    const { hidden: output } = await run.run(hidden, size);
    await run.finish();
    return output ?? assert.fail();
  }
}

interface Target {
  readonly h: Square;
  readonly c: Square;
  /** What the residual stream is off, rows × size. */
  readonly r: Float64Array | undefined;
  readonly rows: number;
  readonly size: number;
  readonly share: number;
}

/** (1 − p)·W + p·(W(C + δI) + R)(H + δI)⁻¹ */
function targetOf(w: Float32Array, { h, c, r, rows, size, share }: Target): Float64Array {
  const inverse = h.slice(), added = c.slice();
  let mean = 0;
  for (let j = 0; j < size; j++) mean += (h[j * (size + 1)] || 1) / size;
  for (let j = 0; j < size; j++) {
    inverse[j * (size + 1)] += DAMPING * mean + Number(h[j * (size + 1)] === 0);
    added[j * (size + 1)] += DAMPING * mean + Number(h[j * (size + 1)] === 0);
  }
  invert(inverse, size);
  const met = product(w, added, { rows, size });
  if (r) r.forEach((x, i) => met[i] += x);
  const moved = product(met, inverse, { rows, size });
  return moved.map((x, i) => (1 - share) * w[i] + share * x);
}

/** Gauss–Jordan without pivoting, for positive definite matrices. */
function invert(a: Square, size: number): void {
  for (let p = 0; p < size; p++) {
    const pivot = 1 / a[p * (size + 1)], line = p * size;
    a[line + p] = 1;
    for (let j = 0; j < size; j++) a[line + j] *= pivot;
    const own = a.subarray(line, line + size);
    for (let i = 0; i < size; i++) {
      if (i === p) continue;
      const other = a.subarray(i * size, (i + 1) * size), factor = other[p];
      other[p] = 0;
      for (let j = 0; j < size; j++) other[j] -= factor * own[j];
    }
  }
}

function product(
  a: ArrayLike<number>,
  b: Square,
  { rows, size }: { readonly rows: number; readonly size: number },
): Float64Array {
  const out = new Float64Array(rows * size);
  // Four rows at once, as reading b takes longest.
  assert.equal(rows % 4, 0);
  for (let r = 0; r < rows; r += 4) {
    const [p, q, s, t] = [0, 1, 2, 3].map((i) => out.subarray((r + i) * size, (r + i + 1) * size));
    for (let k = 0; k < size; k++) {
      const line = b.subarray(k * size, (k + 1) * size), at = r * size + k;
      const w = a[at], x = a[at + size], y = a[at + 2 * size], z = a[at + 3 * size];
      for (let j = 0; j < size; j++) {
        const value = line[j];
        p[j] += w * value;
        q[j] += x * value;
        s[j] += y * value;
        t[j] += z * value;
      }
    }
  }
  return out;
}

/** tr(E·H·Eᵀ) */
function energy(e: ArrayLike<number>, h: Square, shape: { readonly rows: number; readonly size: number }): number {
  return product(e, h, shape).reduce((sum, x, i) => sum + x * e[i], 0);
}

function symmetric(upper: Float32Array, size: number): Square {
  const full = new Float64Array(size * size);
  for (let i = 0, at = 0; i < size; i++) {
    for (let j = i; j < size; j++, at++) full[i * size + j] = full[j * size + i] = upper[at];
  }
  return full;
}

Deno.test("a layer that is to be left out but is not there is refused before anything runs, with what may be meant", async () => {
  using temporary = temporaryFolder();
  await writeTinyModel(temporary.path);
  const calibrate = { target: "original", propagation_skip: ["mlp.up_proj", "down_prj"] };
  const recipe = writeTinyRecipe(temporary.path, tinyRecipe(temporary.path, { calibrate }));
  await assert.rejects(runTiny(temporary.path, recipe), {
    name: "InputError",
    message: /Cannot leave out "down_prj" \(stages.calibrate.propagation_skip\).*did you mean "down_proj"\?/,
  });
});

Deno.test("a residual stream is not made up for where norms stand behind the sums", () => {
  const spec = modelSpec({
    ...{
      model_type: "opt",
      hidden_size: 32,
      ffn_dim: 48,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      vocab_size: 31,
    },
    do_layer_norm_before: false,
  });
  const settings = (change: Readonly<Record<string, unknown>>) => calibrate.params.parse(change);
  const check = (change: Readonly<Record<string, unknown>>) => calibrate.check?.({ spec, roles: {} }, settings(change));
  assert.throws(() => check({ target: "original", residual: true }), {
    name: "InputError",
    message:
      /Cannot make up for the residual stream \(stages.calibrate.residual\).*leave out stages.calibrate.residual$/,
  });
  check({ target: "original" });
});

Deno.test("a first block's layers are the same whatever the target, as nothing before them was compressed", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, cut = join(folder, "model");
  cutModel(models.llama, cut, 1);
  const errors: unknown[] = [];
  for (const target of ["layer", "original"]) {
    await runTiny(
      folder,
      writeRecipe(folder, { model: cut, windows: models.llama, stages: { calibrate: { target } } }),
    );
    errors.push(metricsOf(lastRun(join(folder, "runs"))).layer_error.layers);
  }
  assert.deepEqual(errors[1], errors[0]);
});

const UNTOUCHED: Readonly<Record<string, Omit<Parameters<typeof writeRecipe>[1], "model" | "windows">>> = {
  "similarities, masks and a head": {
    stages: {
      calibrate: { inputs: "original" },
      "fine-search": { mask_from: "original" },
      pack: { embedding: "trellis-4" },
    },
  },
  "bits by sensitivity": {
    extends: join(import.meta.dirname ?? "", "..", "configs", "bases", "trellis.yaml"),
    stages: { calibrate: { inputs: "renewed" }, "coarse-search": { metric: "sensitivity", bits: 3 } },
  },
};

for (const [name, { stages, ...recipe }] of Object.entries(UNTOUCHED)) {
  Deno.test(`windows that are held out change nothing but what is told of them: ${name}`, async () => {
    using temporary = temporaryFolder();
    const folder = temporary.path, cut = join(folder, "model");
    cutModel(models.llama, cut, 2);
    const results = [];
    for (const heldOut of [0, HELD_OUT]) {
      const calibrate = { ...stages?.calibrate, held_out: heldOut };
      const changed = { ...recipe, model: cut, windows: models.llama, stages: { ...stages, calibrate } };
      await runTiny(folder, writeRecipe(folder, changed));
      const { layer_error: { held_out: found, ...errors }, perplexity, keep, bits, allocation } = metricsOf(
        lastRun(join(folder, "runs")),
      );
      assert.equal(found?.layers.length, heldOut === 0 ? undefined : errors.layers.length);
      results.push({ errors, perplexity, keep, bits, allocation });
    }
    assert.deepEqual(results[1], results[0]);
  });
}
