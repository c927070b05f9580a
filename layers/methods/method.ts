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

/** A method. */
export interface Method<P = unknown> {
  /** As recipes name it; its file is called so too. */
  readonly name: string;
  /** As results name it. */
  readonly label: string;
  /** What it does, for editors. */
  readonly summary: string;
  /** Its settings in a recipe. */
  readonly params: z.ZodType<P>;
  /** Rules between its settings and others; each is made with the recipe's paths of its own. */
  readonly rules?: readonly ((path: (key: string) => string) => Rule)[];
  /** What a stage of the recipe must make. What is there besides is used too. */
  readonly needs: readonly Need[];
  /** Name of the format that packs its layers, in `checkpoints/packed/formats.ts`. */
  readonly format: string;
  /** Settings that matter for the others: a change of those left out re-runs nothing. */
  reads(params: P): readonly string[];
  /** Of these, those that `groupSize` depends on. */
  readonly groupKeys?: readonly string[];
  /** Consecutive columns that are quantized together. @param cols of the layer */
  groupSize(params: P, cols: number): number;
  /** Begins a layer: takes what it needs of the device. */
  open(device: Device, scope: Scope, layer: MethodLayer<P>): MethodRun;
}

/** A layer that a method begins. */
export interface MethodLayer<P = unknown> {
  readonly job: LayerJob;
  readonly params: P;
  readonly layer: OpenLayer;
  readonly group: number;
  /** M − N */
  readonly pruned: number;
}

/** One layer on its way. Everything enqueues; nothing waits. */
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
  /** What the layer comes to, by name: matrices to download, and the shapes they are stored with. */
  readonly arrays: Readonly<Record<string, MethodArray>>;
  /** What the arrays do not say, for the format. */
  readonly facts: JsonRecord;
}

/** A matrix that is downloaded at the end. */
export interface MethodArray {
  readonly matrix: Matrix<ElementType>;
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
}

/** What one column block works on; all contiguous, but `source`, its window in the layer's weights. */
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
