/**
 * The contract between the runner and the stages: the runner knows a stage only through these types.
 *
 * A stage plans steps; a step declares what it reads and what it makes. Its content key covers exactly that.
 */
import type { FileHashes } from "../files/file_hashes.ts";
import type { Json } from "../files/json.ts";
import type { Tensor } from "../files/safetensors.ts";
import type { Recipe } from "../recipes/language.ts";

export type { Json };

/** One output of one step. */
export interface OutputRef {
  readonly step: string;
  readonly output: string;
}

/** What a step leaves behind under one name. */
export interface OutputSpec {
  /** `transient` outputs (hidden states) are deleted as soon as no step of the run needs them any more. */
  readonly retain: "keep" | "transient";
  /** Expected bytes. */
  readonly bytes: number;
}

/**
 * A unit of work, of caching and of resume.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { buildGraph } from "./graph.ts";
 * import type { Step } from "./stage.ts";
 *
 * const step: Step = {
 *   ...{ id: "sum", stage: "sum", code: "1", reads: ["stages.sum.of"], facts: {}, inputs: {} },
 *   outputs: { sum: { retain: "keep", bytes: 0 } },
 *   estimate: { seconds: 0, memory: 0 },
 *   run: (context) => Promise.resolve(context.output("sum").value(context.param<number>("stages.sum.of") + 1)),
 * };
 * const keyOf = (sum: { of: number; note?: string }) =>
 *   buildGraph([step], { model: {}, stages: { sum } }).get("sum")?.key;
 * assert.equal(keyOf({ of: 1 }), keyOf({ of: 1, note: "not read" }));
 * assert.notEqual(keyOf({ of: 1 }), keyOf({ of: 2 }));
 * ```
 */
export interface Step {
  /** Stage name, and block in brackets: `calibrate[3]`; a variant after a dot: `evaluate.wikitext2.original[3]`. */
  readonly id: string;
  readonly stage: string;
  readonly block?: number;
  /** Hash of the code that makes the outputs: all that it reaches (`reach.ts`). */
  readonly code: string;
  /** Recipe paths whose values enter the key and may be read, e.g. `stages.spbo.iterations`. */
  readonly reads: readonly string[];
  /** Whatever else enters the key: identity of weights and text, device class. */
  readonly facts: Readonly<Record<string, Json>>;
  readonly inputs: Readonly<Record<string, OutputRef>>;
  readonly outputs: Readonly<Record<string, OutputSpec>>;
  readonly estimate: { readonly seconds: number; readonly memory: number };
  /** Whether it costs little and may find that the input is wrong: such steps run before all others. */
  readonly early?: boolean;
  /** Does the work. Everything it reads comes from `context`; anything it does not declare is refused. */
  run(context: StepContext): Promise<void>;
}

/** What a running step may use. */
export interface StepContext {
  /** A declared recipe value. @throws {Error} when the step does not declare `path` in `reads` */
  param<T>(path: string): T;
  /** A declared input, verified against its hashes. @throws {Error} when undeclared */
  input(name: string): Promise<ArtifactReader>;
  /** The writer of a declared output; outputs are published together when `run` returns. */
  output(name: string): ArtifactWriter;
  progress(done: number, total: number, note?: string): void;
  /** Facts for the journal, such as layer errors. */
  measure(values: Readonly<Record<string, unknown>>): void;
  /** Credits seconds to a stage, where one step does the work of several. */
  spent(stage: string, seconds: number): void;
  readonly signal: AbortSignal;
}

/** Reads a published artifact. */
export interface ArtifactReader {
  readonly key: string;
  /** Small results, kept in the manifest. */
  readonly value: Json;
  readonly files: readonly string[];
  /** All tensors of one file. */
  read(file: string): Promise<Record<string, Tensor>>;
  /** Absolute path of one file, for whoever must stream or copy it; verified first, without holding up anything else. */
  path(file: string): Promise<string>;
}

/** Writes an artifact; nothing is visible to others before the step has ended well. */
export interface ArtifactWriter {
  /** Sets the small result kept in the manifest. */
  value(value: Json): void;
  /**
   * Absolute path for a file that the step itself writes in full (such as the packed model); it is hashed when the step
   * ends.
   */
  path(file: string): string;
  /** Writes one safetensors file, e.g. `hidden-000.safetensors`. */
  write(
    file: string,
    tensors: Readonly<Record<string, Tensor>>,
    metadata?: Readonly<Record<string, string>>,
  ): Promise<void>;
}

/**
 * What plans and finishes runs of one kind of subject; `pipeline/mod.ts` exports the one there is.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { type ArithmeticRecipe, openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import type { Pipeline } from "./stage.ts";
 *
 * const pipeline: Pipeline<ArithmeticRecipe> = { open: (recipe) => Promise.resolve(openArithmetic(recipe)) };
 * const subject = await pipeline.open(recipeWith(), { purpose: "plan", device: "cpu", cache: "/nowhere" });
 * assert.equal(subject.method, "arithmetic");
 * await subject.close();
 * ```
 */
export interface Pipeline<R extends Recipe = Recipe> {
  /** Opens model, text and device as far as planning needs them: no weights are read. */
  open(recipe: R, options: OpenOptions): Promise<Subject>;
}

/**
 * How a subject is opened.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe, pipeline } from "../pipeline/mod.ts";
 * import type { OpenOptions } from "./stage.ts";
 *
 * const options: OpenOptions = { purpose: "plan", device: "cpu", cache: await Deno.makeTempDir() };
 * const subject = await pipeline.open((await loadRecipe("configs/quickstart.yaml")).recipe, options);
 * assert.equal(subject.device.kind, "cpu");
 * await subject.close();
 * await Deno.remove(options.cache, { recursive: true });
 * ```
 */
export interface OpenOptions {
  /** `plan` only looks: nothing is downloaded beyond configs and headers. */
  readonly purpose: "plan" | "run";
  readonly device: "auto" | "cpu" | "webgpu";
  /** onnxruntime's execution provider of forward passes; default: `auto`, which follows the device. */
  readonly forward?: "auto" | "cpu" | "webgpu" | "cuda" | "coreml" | "dml";
  /** Slower, but an error on a GPU names exactly one kernel. */
  readonly debug?: boolean;
  /** Folder of the cache; downloads go to `downloads/` in it. */
  readonly cache: string;
  /** Memo of the content hashes of local files (`ArtifactCache.fileHashes`). */
  readonly hashes?: FileHashes;
  /** Told what is unusual; default: nobody is. */
  readonly warn?: (message: string) => void;
  /** Told what takes long, such as downloads. */
  readonly progress?: (message: string) => void;
}

/** Where a run computes, for people and records. */
export interface DeviceRecord {
  readonly kind: string;
  readonly name: string;
  readonly why: string;
  /** What forward passes run on, and why; absent where there are none. */
  readonly forward?: { readonly provider: string; readonly why: string };
}

/**
 * An opened recipe: its steps, and what to do with their results.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
 * import type { Subject } from "./stage.ts";
 *
 * const subject: Subject = openArithmetic(recipeWith(), { blocks: 1 });
 * assert.deepEqual(subject.steps.map(({ id }) => id), ["embed", "calibrate[0]", "spbo[0]", "forward[0]", "evaluate"]);
 * assert.deepEqual(subject.targets, ["evaluate", "spbo[0]"]);
 * await subject.close();
 * ```
 */
export interface Subject {
  readonly method: string;
  readonly model: string;
  readonly device: DeviceRecord;
  /** What `OpenOptions.warn` was told; runs keep it in their journals. */
  readonly warnings?: readonly string[];
  /** In an order in which they can run. */
  readonly steps: readonly Step[];
  /** Steps whose outputs a run is for. */
  readonly targets: readonly string[];
  /** What `finish` reads besides outputs of the targets; it is fetched with these where a mirror has it. */
  readonly read?: readonly OutputRef[];
  /** Versions, and what identifies the inputs, for recipe.lock.yaml. */
  lock(): Json | Promise<Json>;
  /** The complete recipe as YAML, its paths relative to a folder. */
  renderRecipe(folder: string): string;
  /**
   * Writes metrics.json, model/ and report.html into the run's folder.
   *
   * @returns what recipe.lock.yaml says of the outcome besides the steps' hashes
   */
  finish(context: FinishContext): Promise<Readonly<Record<string, Json>> | void>;
  close(): Promise<void>;
}

/** What is known at the end of a run. */
export interface FinishContext {
  readonly run: string;
  readonly folder: string;
  readonly recipe: Recipe;
  input(ref: OutputRef): Promise<ArtifactReader>;
  /** Of this run; cached steps took none of it. */
  readonly seconds: { readonly total: number; readonly stages: Readonly<Record<string, number>> };
  /** Of every step when it was made, whichever run that was. */
  readonly recorded: { readonly total: number; readonly stages: Readonly<Record<string, number>> };
  readonly peakMemory: number;
  readonly steps: { readonly run: number; readonly cached: number };
}
