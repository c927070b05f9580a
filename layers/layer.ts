/**
 * One linear layer through fine-search, its method and compensate: the loop over its column blocks, on any device.
 *
 * Not where layers come from (`stages/calibrate.ts`) or go to (`stages/pack.ts`), and not the choice of cores (`pool.ts`).
 */
import type { JsonRecord } from "../files/json.ts";
import type { Tensor } from "../files/safetensors.ts";
import { type Device, type Matrix, matrix, part } from "../kernels/device.ts";
import { addEnergy, copy, subtract, triangleLength } from "../kernels/matrix/ops.ts";
import { type Attributes, spanned } from "../telemetry/spans.ts";
import { quantizeBlocks, rankBlocks } from "./blocks.ts";
import { choosePropagation } from "./choose_propagation.ts";
import { findMethod } from "./find_method.ts";
import type {
  ChosenPropagation,
  LayerJob,
  LayerResult,
  LayerSeconds,
  LayerSettings,
  MaskJob,
  MaskResult,
} from "./job.ts";
import type { Method, MethodLayer, MethodRun, WholeMethod } from "./methods/method.ts";
import { loadMethods, withPlace } from "./method_source.ts";
import { type OpenLayer, openLayer } from "./open.ts";
import { columnsOf, inOrder } from "./order.ts";
import { givenRanks, pruneWeights } from "./prune_first.ts";
import { Scope } from "./scope.ts";
import { hessianExponent, scaleByPower } from "./units.ts";

/**
 * Compresses one layer (PBS²P, arXiv 2502.01705, with `spbo`; GPTQ and its lineage share the loop).
 *
 * With G the feedback of the blocks so far, the target of block b is T_b = W_b + (G_{<b}·R_{<b,b})·U_bb. After it is
 * quantized to Q_b, exact: G_b = W_b − Q_b; diagonal and columnwise: G_b = (W_b − T_b) + D_b·U_bb with D_b = (T_b −
 * Q_b)·diag(U_bb)⁻¹, or GPTQ's column errors. So R alone is needed, and no later block of W is rewritten.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../kernels/cpu.ts";
 * import { quantizeLayer } from "./layer.ts";
 *
 * const weight = Float32Array.from({ length: 4 * 16 }, (_, i) => Math.sin(i * i));
 * const device = openCpuDevice();
 * const settings = {
 *   method: "spbo",
 *   params: {},
 *   search: { metric: "hessian", type: "semi-structured", seed: 0 },
 *   feedback: { mode: "exact", damping: 0.01 },
 *   scales: "f16",
 * } as const;
 * const job = { name: "q_proj", rows: 4, cols: 16, weight, keep: 6, of: 8, settings };
 * const { layer, error } = await quantizeLayer(device, job);
 * assert.deepEqual(layer.arrays.codes.shape, [4, 16]);
 * assert.ok(error < 0.2);
 * await device.destroy();
 * ```
 *
 * @throws {RangeError} when shapes or N:M do not fit, or the Hessian is not positive definite after damping
 */
export function quantizeLayer(device: Device, job: LayerJob): Promise<LayerResult> {
  const run = () => withMethod(job.settings, (found) => quantize(device, job, found));
  return spanned("compress layer", attributesOf(job), run, { attributesOf: ({ error }) => ({ "pbs2p.error": error }) });
}

/** Of the span of a layer. */
function attributesOf({ name, rows, cols, settings: { method } }: MaskJob): Attributes {
  return { "pbs2p.layer": name, "pbs2p.rows": rows, "pbs2p.cols": cols, "pbs2p.method": method };
}

async function quantize(device: Device, given: LayerJob, { method, params }: Found): Promise<LayerResult> {
  const { rows, cols, settings } = given, group = method.groupSize(params, cols);
  checkJob(given, group);
  if (!(Number.isInteger(given.keep) && given.keep >= 1 && given.keep <= given.of)) {
    throw new RangeError(
      `Cannot compress layer "${given.name}" as keep must be 1..${given.of}: current value is ${given.keep}`,
    );
  }
  const order = method.order?.(params, columnsOf(given)), moved = order === undefined ? given : inOrder(given, order);
  const scope = new Scope(device);
  try {
    const pruned = settings.search.type === "none" ? 0 : moved.of - moved.keep;
    const energies = scope.matrix("f32", 1, 4);
    const taken = method.prunesFirst
      ? pruneWeights({ weight: moved.weight, ranks: givenRanks(moved) }, pruned)
      : undefined;
    const { job, chosen } = await settle(device, moved, group);
    const layer = openLayer(device, scope, job, group);
    const whole = wholeWeights(device, scope, layer, taken);
    const heldOut = job.heldOut && scope.upload("f32", inUnit(job.heldOut, cols));
    const measure = (first: 0 | 1) => {
      device.section("compensate");
      addEnergy(device, part(energies, { col: first, cols: 1 }), whole(), layer.packed);
      if (heldOut) addEnergy(device, part(energies, { col: 2 + first, cols: 1 }), whole(), heldOut);
    };
    const status = layer.factor?.status ?? scope.matrix("u32", 1, 1);
    const opened: MethodLayer = { job, params, layer, group, pruned };
    measure(0);
    const made = "whole" in method
      ? await asWhole(device, scope, method, opened)
      : inBlocks(device, scope, method, opened);
    measure(1);
    const arrays = Object.entries(made.matrices);
    const [[before, after, ...apart], [bad], ...downloaded] = await device.download(
      [energies.buffer, status.buffer, ...arrays.map(([, { matrix }]) => matrix.buffer)],
    );
    if (bad > 0) throw singular(job, bad - 1);
    const content: Readonly<Record<string, Tensor>> = {
      ...made.tensors,
      ...Object.fromEntries(
        arrays.map(([name, { dtype, shape }], i) => [name, { dtype, shape, data: downloaded[i] }]),
      ),
      ...(order && { order: { dtype: "U32", shape: [cols], data: order } }),
    };
    const facts = made.factsOf(content);
    for (const [name, { data }] of Object.entries(content)) {
      if (data instanceof Float32Array && made.matrices[name]?.unit !== "none") scaleByPower(data, layer.exponent);
    }
    return {
      name: job.name,
      layer: { format: method.format, rows, cols, facts, arrays: content },
      error: finiteError(job, { before, after }, content),
      ...(heldOut && { heldOutError: finiteError(job, { before: apart[0], after: apart[1] }, {}) }),
      ...(chosen && { propagation: chosen }),
      seconds: secondsOf(device, method.name, made.seconds),
    };
  } finally {
    scope.close();
  }
}

/**
 * Ranks all weights of a layer on its original weights (`mask_from: original`), so that one search serves every N.
 *
 * @throws {RangeError} when shapes do not fit, or the Hessian is not positive definite after damping
 */
export function searchMasks(device: Device, job: MaskJob): Promise<MaskResult> {
  return spanned(
    "rank layer",
    attributesOf(job),
    () => withMethod(job.settings, (found) => search(device, job, found)),
  );
}

async function search(device: Device, given: MaskJob, { method, params }: Found): Promise<MaskResult> {
  const group = method.groupSize(params, given.cols);
  checkJob(given, group);
  const scope = new Scope(device);
  try {
    const { job } = await settle(device, given, group);
    const ranks = scope.matrix("u8", job.rows, job.cols);
    const layer = openLayer(device, scope, job, group);
    const status = layer.factor?.status ?? scope.matrix("u32", 1, 1);
    device.section("fine-search");
    rankBlocks(device, scope, { job, layer, group, ranks });
    const [ranksOut, [bad]] = await device.download([ranks.buffer, status.buffer]);
    if (bad > 0) throw singular(job, bad - 1);
    return { name: job.name, ranks: ranksOut, seconds: secondsOf(device, method.name) };
  } finally {
    scope.close();
  }
}

/** The job with nothing left to choose. */
async function settle<J extends MaskJob>(
  device: Device,
  job: J,
  group: number,
): Promise<{ readonly job: J; readonly chosen?: ChosenPropagation }> {
  if (job.propagation === undefined) return { job };
  device.section("compensate");
  const chosen = await choosePropagation(device, job, group);
  if (chosen === undefined) return { job };
  const { half: _half, ...propagation } = job.propagation;
  return { job: { ...job, propagation: { ...propagation, ...chosen } }, chosen };
}

/** What a method has made of a layer, whose weights on the device are W − Ŵ. */
interface Made {
  /** What is still on the device. */
  readonly matrices: MethodRun["arrays"];
  readonly tensors: Readonly<Record<string, Tensor>>;
  /** @param content all arrays, in the layer's units */
  factsOf(content: Readonly<Record<string, Tensor>>): JsonRecord;
  /** What this thread took beside the device, in seconds. */
  readonly seconds: number;
}

function inBlocks(device: Device, scope: Scope, method: Method, opened: MethodLayer): Made {
  const run = method.open(device, scope, opened), { job, layer, group } = opened;
  quantizeBlocks(device, scope, { job, layer, run, name: method.name, group });
  return {
    matrices: run.arrays,
    tensors: {},
    factsOf: (content) => ({ ...run.facts, ...run.factsOf?.(content) }),
    seconds: 0,
  };
}

async function asWhole(device: Device, scope: Scope, method: WholeMethod, opened: MethodLayer): Promise<Made> {
  const { job, layer: { weight, factor } } = opened;
  if (factor) {
    const copied = matrix(device.alloc("u32", 1), 1, 1);
    device.run(copy, copied, factor.status);
    const [[bad]] = await device.download([copied.buffer]);
    if (bad > 0) throw singular(job, bad - 1);
  }
  const { decoded, arrays, facts, seconds } = await method.whole(device, scope, opened);
  device.run(subtract, weight, weight, decoded);
  return { matrices: {}, tensors: arrays, factsOf: () => facts, seconds };
}

type Found = ReturnType<typeof findMethod>;

/** Computes with the method that settings name; what fails in a file of the user's own is said with its place. */
async function withMethod<R>(
  { method, params, source }: LayerSettings,
  compute: (found: Found) => Promise<R>,
): Promise<R> {
  if (source === undefined) return await compute(findMethod(method, params));
  await loadMethods(source);
  try {
    return await compute(findMethod(method, params, { source }));
  } catch (error) {
    throw withPlace(error, source);
  }
}

/** What the layer's weights, or what is left of them, come to together with those that were taken away before. */
function wholeWeights(device: Device, scope: Scope, layer: OpenLayer, taken: Float32Array | undefined): () => Matrix {
  const { weight, exponent } = layer, { rows, cols } = weight;
  if (taken === undefined) return () => weight;
  const whole = scope.matrix("f32", rows, cols);
  const less = matrix(scope.upload("f32", scaleByPower(taken.map((w) => -w), -exponent)), rows, cols);
  return () => {
    device.run(subtract, whole, weight, less);
    return whole;
  };
}

function secondsOf(device: Device, method: string, besides = 0): LayerSeconds {
  const { [method]: spent = 0, ...others } = device.spent();
  return { "fine-search": others["fine-search"] ?? 0, [method]: spent + besides, compensate: others.compensate ?? 0 };
}

/** A Hessian of ordinary size; of errors on it only the ratio counts. */
function inUnit(upper: Float32Array, cols: number): Float32Array {
  return scaleByPower(upper, -hessianExponent(upper, cols));
}

/** What rounding may make of a layer's error, float32 being what it is. */
const ROUNDING = 1e-3;

/**
 * The layer's error, from the energy of what is left over and of its weights.
 *
 * @throws {RangeError} when it or an array is not finite
 */
function finiteError(
  { name, settings: { method, feedback } }: MaskJob,
  { before, after }: { readonly before: number; readonly after: number },
  arrays: Readonly<Record<string, Tensor>>,
): number {
  const left = before > 0 ? after / before : 0;
  // Where next to nothing is left over, what rounding leaves of its energy may be less than nothing; much less is a solver's failure.
  const error = left >= -ROUNDING ? Math.max(0, left) : NaN;
  const broken = Object.entries(arrays).find(([, { data }]) =>
    data instanceof Float32Array && !data.every(Number.isFinite)
  );
  if (Number.isFinite(before) && Number.isFinite(error) && broken === undefined) return error;
  const what = broken === undefined ? `its error is ${after}/${before}` : `its ${broken[0]} are not`;
  throw new RangeError(
    `Cannot compress layer "${name}" as its result must be finite: ${what}; raise stages.compensate.damping, whose ` +
      `current value is ${feedback.damping}, or give stages.${method} another solver`,
  );
}

function singular({ name, cols, settings: { feedback }, propagation }: MaskJob, pivot: number): RangeError {
  return new RangeError(
    `Cannot factor the Hessian of layer "${name}" as pivot ${pivot} of ${cols} must be positive: ` +
      `raise stages.compensate.damping, whose current value is ${feedback.damping}` +
      (propagation ? `, and stages.calibrate.propagation_damping, ${propagation.damping}` : ""),
  );
}

function checkJob(job: MaskJob, group: number): void {
  const { name, rows, cols, weight, upper, heldOut, propagation, of, settings } = job;
  const fail = (what: string, wanted: string | number, found: string | number) => {
    throw new RangeError(`Cannot compress layer "${name}" as ${what} must be ${wanted}: current value is ${found}`);
  };
  if (weight.length !== rows * cols) fail(`the weights of ${rows}×${cols}`, rows * cols, weight.length);
  if (upper && upper.length !== triangleLength(cols)) {
    fail("the Hessian's triangle", triangleLength(cols), upper.length);
  }
  for (const residual of [propagation?.residual, propagation?.half?.residual]) {
    if (residual && residual.length !== rows * cols) {
      fail("what its residual stream is off", rows * cols, residual.length);
    }
  }
  for (const cross of propagation ? [propagation.cross, propagation.half?.cross] : []) {
    if (cross && cross.length !== cols * cols) fail("its cross moments", cols * cols, cross.length);
  }
  if (propagation?.half && propagation.half.upper.length !== triangleLength(cols)) {
    fail("its Hessian's triangle on half of the windows", triangleLength(cols), propagation.half.upper.length);
  }
  if (heldOut && heldOut.length !== triangleLength(cols)) {
    fail("the triangle of its Hessian on windows held out", triangleLength(cols), heldOut.length);
  }
  if (propagation && upper === undefined) fail("its Hessian", "there with cross moments", "none");
  if (settings.search.type !== "semi-structured") return;
  if (cols % of !== 0) fail("its inputs", `a multiple of ${of}`, cols);
  if (group % of !== 0 && group < cols) fail(`stages.${settings.method}.group_size`, `a multiple of ${of}`, group);
}
