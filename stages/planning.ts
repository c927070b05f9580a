/**
 * What the stages plan with: the opened model and texts, what other stages hand on, and the tools that running steps share.
 *
 * A stage turns this into steps (`runner/stage.ts`); nothing here reads weights.
 */
import type * as z from "zod";
import type { Spec } from "./costs.ts";
import type { Role, Roles } from "./artifacts.ts";
import type { Rule } from "../recipes/language.ts";
import type { Json, Step } from "../runner/stage.ts";
import type { ProviderChoice } from "../models/provider.ts";
import type { TaskRequest } from "./tools/tasks.ts";
import type { TextRequest } from "./tools/text.ts";
import type { Tools } from "./tools/mod.ts";

/** Content hashes of the weights, by who reads them. */
export interface Identities {
  readonly blocks: readonly string[];
  readonly embedding: string;
  readonly head: string;
  /** Everything that is not in a compressed layer. */
  readonly rest: string;
  /** What is stored beside the weights: config, tokenizer, generation_config.json. */
  readonly companions: string;
}

/** What is known of one set of token windows before it is made. */
export interface TextFacts {
  /** What identifies the text: hashes, dataset ids and commits, the tokenizer; never a path. */
  readonly identity: Json;
  /** Expected number of windows and tokens in each, for estimates. */
  readonly windows: number;
  readonly length: number;
}

/** What is known of one task before its questions are made. */
export interface TaskFacts {
  /** What identifies the questions and their token ids; never a path. */
  readonly identity: Json;
  /** Expected questions, windows, and tokens in each, for estimates. */
  readonly items: number;
  readonly windows: number;
  readonly length: number;
}

/** A recipe, opened. */
export interface Planning {
  readonly spec: Spec;
  readonly identities: Identities;
  /** Config facts that change a forward pass: shapes, eps, rotary settings. */
  readonly architecture: Json;
  /** What is known of a text that a stage has asked for. @throws {RangeError} none has */
  text(name: string): TextFacts;
  /** What is known of a task that a stage asks. @throws {RangeError} none does */
  task(id: string): TaskFacts;
  /** Where kernels run: `Device.kind`. */
  readonly device: "cpu" | "webgpu";
  /** onnxruntime's execution provider of forward passes. */
  readonly forward: ProviderChoice;
  /** What the recipe's stages hand on. */
  readonly roles: Partial<Roles>;
  /** Told what is unusual. */
  readonly warn: (message: string) => void;
  /**
   * Tools of a step, and the hash of all code behind it: what the stage's file and these tools reach.
   *
   * @param source the stage's `import.meta.url`
   * @param more methods and formats, by name, that the step uses besides those of the blocks' layers
   */
  use<K extends keyof Tools = never>(
    source: string,
    tools: readonly K[],
    more?: { readonly methods?: readonly string[]; readonly formats?: readonly string[] },
  ): { readonly tools: Pick<Tools, K>; readonly code: string };
}

/** What a stage may look at before the model's weights are hashed. */
export type Opened = Pick<Planning, "spec" | "roles">;

/**
 * One stage of the pipeline, as it is named in YAML; its parameters are its own.
 *
 * A list holds stages of different parameters: each is given only settings that its own `params` has parsed.
 */
export interface Stage<P = unknown> {
  readonly name: string;
  /** What it does, for editors. */
  readonly summary: string;
  /** Its part of a recipe. */
  readonly params: z.ZodType<P>;
  /** Rules between its keys, and between them and those of other stages. */
  readonly rules?: readonly Rule[];
  /** What it hands on; no two stages of a recipe may make the same. */
  readonly makes: readonly Role[];
  /** What another stage of the recipe must make. */
  readonly needs: readonly Role[];
  /** What it uses where a stage of the recipe makes it. */
  readonly uses?: readonly Role[];
  /** Recipe path of the stored bits a weight that it keeps to, where it has such a budget. */
  readonly budget?: string;
  /** Texts that it reads. */
  texts?(settings: P, spec: Spec): readonly TextRequest[];
  /** Tasks that it asks. */
  tasks?(settings: P): readonly TaskRequest[];
  /** Where what it hands on will be. */
  offer(settings: P, spec: Spec): Partial<Roles>;
  /** Whether the model fits. @throws {InputError} */
  check?(opened: Opened, settings: P): void;
  plan(planning: Planning, settings: P): readonly Step[];
}
