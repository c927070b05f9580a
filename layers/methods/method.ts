/**
 * What a method is: how one column block of a layer becomes codes, given what is to be met. The loop over blocks, the Hessian's
 * factor, ranks and the feedback of errors are the same for all (`../blocks.ts`).
 *
 * To add one, write its file beside this one, named as the method, and name it in `mod.ts`: it is then a stage of recipes.
 */
import type * as z from "zod";
import type { Tensor } from "../../files/safetensors.ts";
import type { JsonRecord } from "../../files/json.ts";
import type { Device, ElementType, Matrix } from "../../kernels/device.ts";
import type { Rule } from "../../recipes/language.ts";
import type { LayerJob } from "../job.ts";
import type { OpenLayer } from "../open.ts";
import type { Scope } from "../scope.ts";

/** What a method may need of other stages of a recipe. */
export type Need = "statistics" | "allocation" | "ranks" | "feedback";

/**
 * A method.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as z from "zod";
 * import type { Method } from "./method.ts";
 *
 * const params = z.strictObject({ group_size: z.int().min(8).default(64) });
 * const mine: Method<z.infer<typeof params>> = {
 *   name: "mine", label: "Mine", summary: "Nothing yet", params, needs: ["statistics"], format: "planes",
 *   reads: () => ["group_size"], groupKeys: ["group_size"], groupSize: ({ group_size }) => group_size,
 *   open: () => assert.fail("Not here"),
 * };
 * assert.equal(mine.groupSize(mine.params.parse({}), 256), 64);
 * ```
 */
export interface Method<P = unknown> extends MethodCard<P> {
  /** Begins a layer: takes what it needs of the device. */
  open(device: Device, scope: Scope, layer: MethodLayer<P>): MethodRun;
}

/**
 * A method that quantizes a layer as a whole, where what becomes of one column block depends on all others: it is not led through them.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { trellis } from "./trellis.ts";
 *
 * assert.equal("whole" in trellis, true);
 * ```
 */
export interface WholeMethod<P = unknown> extends MethodCard<P> {
  /**
   * Quantizes a layer; `layer.layer.weight` is left as it is.
   *
   * @throws {Error} when it cannot be done
   */
  whole(device: Device, scope: Scope, layer: MethodLayer<P>): Promise<WholeLayer>;
}

/** A method of either kind. */
export type AnyMethod<P = unknown> = Method<P> | WholeMethod<P>;

/**
 * What becomes of a layer that is quantized as a whole.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../../kernels/cpu.ts";
 * import { matrix } from "../../kernels/device.ts";
 * import type { WholeLayer } from "./method.ts";
 *
 * const device = openCpuDevice(), signs = { dtype: "U8", shape: [1, 2], data: Uint8Array.of(1, 0) } as const;
 * const decoded = matrix(device.upload("f32", Float32Array.of(0.5, -0.5)), 1, 2);
 * const layer: WholeLayer = { decoded, arrays: { signs }, facts: { scale: 0.5 }, seconds: 0 };
 * assert.deepEqual(await device.download([layer.decoded.buffer]), [Float32Array.of(0.5, -0.5)]);
 * await device.destroy();
 * ```
 */
export interface WholeLayer {
  /** rows × cols, on the device, in the units of the layer's weights. */
  readonly decoded: Matrix;
  /** By name. What is F32 is in the units of the layer's weights (`OpenLayer.exponent`), and is brought back to weights as they are. */
  readonly arrays: Readonly<Record<string, Tensor>>;
  readonly facts: JsonRecord;
  /** What this thread took, in seconds; what the device took is known. */
  readonly seconds: number;
}

/** What every method says of itself. */
export interface MethodCard<P = unknown> {
  /** As recipes name it; its file is called so too, with `_` for `-`. */
  readonly name: string;
  /** As results name it. */
  readonly label: string;
  /** The same where it depends on settings. */
  labelOf?(params: P): string;
  /** What a reader of the result must be told of these settings, in one sentence. */
  warningOf?(params: P): string | undefined;
  /** What it does, for editors. */
  readonly summary: string;
  /** Its settings in a recipe. */
  readonly params: z.ZodType<P>;
  /** Rules between its settings and others; each is made with the recipe's paths of its own. */
  readonly rules?: readonly ((path: (key: string) => string) => Rule)[];
  /** What a stage of the recipe must make. What is there besides is used too. */
  readonly needs: readonly Need[];
  /**
   * Whether weights are pruned, by masks from the original weights, before anything else is done: the method is then given pruned
   * weights, and calibrate gathers with them. Errors are still those against the original weights.
   */
  readonly prunesFirst?: boolean;
  /** Name of the format that packs its layers, in `checkpoints/packed/formats.ts`. */
  readonly format: string;
  /** Settings that matter for the others: a change of those left out re-runs nothing. */
  reads(params: P): readonly string[];
  /** Of these, the stored bits a weight that a layer may take, where the method keeps to such a budget: `LayerJob.bits` stands in its place. */
  readonly budget?: string;
  /** Of these, those that `groupSize` depends on. */
  readonly groupKeys?: readonly string[];
  /** Consecutive columns that are quantized together. @param cols of the layer */
  groupSize(params: P, cols: number): number;
  /**
   * Another order in which the layer's columns are quantized, where the method has one: column j is then column order[j] of the layer. All
   * that the method sees is in that order, and its `arrays` get the order (U32) as `order`. Such a method prunes nothing.
   */
  order?(params: P, columns: LayerColumns): Uint32Array | undefined;
}

/**
 * What is known of a layer's columns before anything is done.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { LayerColumns } from "./method.ts";
 *
 * const columns: LayerColumns = { cols: 2, diagonal: Float32Array.of(4, 9) };
 * assert.equal(columns.diagonal?.length, columns.cols);
 * ```
 */
export interface LayerColumns {
  readonly cols: number;
  /** diag(H), undamped; undefined without a Hessian. */
  readonly diagonal: Float32Array | undefined;
}

/**
 * A layer that a method begins.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../../kernels/cpu.ts";
 * import { openLayer } from "../open.ts";
 * import { Scope } from "../scope.ts";
 * import type { MethodLayer } from "./method.ts";
 * import { spbo, type SpboParams } from "./spbo.ts";
 *
 * const settings = {
 *   method: "spbo",
 *   params: {},
 *   scales: "f16",
 *   search: { metric: "magnitude", type: "semi-structured", seed: 0 },
 *   feedback: { mode: "none", damping: 0 },
 * } as const;
 * const job = { name: "q_proj", rows: 2, cols: 16, weight: new Float32Array(32).fill(1), keep: 4, of: 8, settings };
 * const device = openCpuDevice(), scope = new Scope(device), params = spbo.params.parse({});
 * const opened = openLayer(device, scope, job, 16);
 * const layer: MethodLayer<SpboParams> = { job, params, layer: opened, group: 16, pruned: 4 };
 * assert.deepEqual(spbo.open(device, scope, layer).arrays.codes.shape, [2, 16]);
 * await device.destroy();
 * ```
 */
export interface MethodLayer<P = unknown> {
  readonly job: LayerJob;
  readonly params: P;
  readonly layer: OpenLayer;
  readonly group: number;
  /** M − N */
  readonly pruned: number;
}

/**
 * One layer on its way. Everything enqueues; nothing waits.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../../kernels/cpu.ts";
 * import { copy } from "../../kernels/matrix/ops.ts";
 * import { matrix } from "../../kernels/device.ts";
 * import { Scope } from "../scope.ts";
 * import type { Block, MethodRun } from "./method.ts";
 *
 * const device = openCpuDevice(), scope = new Scope(device), kept = scope.matrix("f32", 1, 2);
 * const run: MethodRun = {
 *   block: () => {},
 *   decode: ({ decoded, target }: Block) => device.run(copy, decoded, target),
 *   store: ({ decoded }: Block) => device.run(copy, kept, decoded),
 *   arrays: { values: { matrix: kept, dtype: "F32", shape: [1, 2] } },
 *   facts: {},
 * };
 * const target = matrix(scope.upload("f32", Float32Array.of(3, -4)), 1, 2);
 * const rank = scope.matrix("u8", 1, 2), other = scope.matrix("f32", 1, 2), decoded = scope.matrix("f32", 1, 2);
 * const others = { source: other, w: other, gram: other, score: other, rank, scratch: other, product: other };
 * const block: Block = { col: 0, index: 0, target, decoded, ...others };
 * for (const step of [run.block, run.decode, run.store]) step(block);
 * assert.deepEqual(await device.download([run.arrays.values.matrix.buffer]), [Float32Array.of(3, -4)]);
 * await device.destroy();
 * ```
 */
export interface MethodRun {
  /** Quantizes a column block: what is met is `block.target`, and what is pruned `block.rank` says. */
  block(block: Block): void;
  /** Decodes what `block` (or `columnwise`) has made into `block.decoded`. */
  decode(block: Block): void;
  /**
   * Chooses codes again column by column, each after the errors of those before it (GPTQ's order), and leaves these errors in
   * `block.scratch`. Methods without it refuse that mode of feedback.
   * @param factor U of the block
   */
  columnwise?(block: Block, factor: Matrix): void;
  /** Keeps the block's result. */
  store(block: Block): void;
  /**
   * What the layer comes to, by name: matrices to download, and the shapes they are stored with. What is F32 is in the units of the
   * layer's weights (`OpenLayer.exponent`), and is brought back to weights as they are.
   */
  readonly arrays: Readonly<Record<string, MethodArray>>;
  /** What the arrays do not say, for the format. */
  readonly facts: JsonRecord;
  /** More of it that is known only from the arrays, which are still in the layer's units. */
  factsOf?(arrays: Readonly<Record<string, Tensor>>): JsonRecord;
}

/** A matrix that is downloaded at the end. */
export interface MethodArray {
  readonly matrix: Matrix<ElementType>;
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  /** `none` for F32 that is the same in whatever units the layer's weights are: it is stored as it is. */
  readonly unit?: "weights" | "none";
}

/**
 * What one column block works on; all contiguous, but `source`, its window in the layer's weights.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../../kernels/cpu.ts";
 * import { matrix } from "../../kernels/device.ts";
 * import { subtract } from "../../kernels/matrix/ops.ts";
 * import { Scope } from "../scope.ts";
 * import type { Block } from "./method.ts";
 *
 * const device = openCpuDevice(), scope = new Scope(device), rank = scope.matrix("u8", 1, 2);
 * const target = matrix(scope.upload("f32", Float32Array.of(3, -4)), 1, 2);
 * const of = () => scope.matrix("f32", 1, 2);
 * const [source, w, gram, score, decoded, scratch, product] = Array.from({ length: 7 }, of);
 * const block: Block = { col: 0, index: 0, source, w, target, gram, score, rank, decoded, scratch, product };
 * device.run(subtract, block.scratch, block.target, block.decoded);
 * assert.deepEqual(await device.download([block.scratch.buffer]), [Float32Array.of(3, -4)]);
 * await device.destroy();
 * ```
 */
export interface Block {
  /** First column, and how many blocks come before. */
  readonly col: number;
  readonly index: number;
  readonly source: Matrix;
  /** rows × width: the weights, and what is to be met once earlier errors are fed back. */
  readonly w: Matrix;
  readonly target: Matrix;
  /** width × width: S, the undamped block of H. */
  readonly gram: Matrix;
  readonly score: Matrix;
  /** rows × width: importance within every M; nothing is pruned where all are 0 and `pruned` is 0. */
  readonly rank: Matrix<"u8">;
  /** rows × width, decoded. */
  readonly decoded: Matrix;
  readonly scratch: Matrix;
  readonly product: Matrix;
}
