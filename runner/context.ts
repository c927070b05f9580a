/** What a running step may use: exactly what it declares. */
import type { CorruptArtifactError, Draft } from "./cache/artifact.ts";
import type { ArtifactCache } from "./cache/cache.ts";
import type { RunEvent } from "./events.ts";
import type { Node } from "./graph.ts";
import { findNotFinite, readPath } from "./keys.ts";
import { StepError } from "./run_errors.ts";
import type { Recipe } from "../recipes/language.ts";
import type { Json, Step, StepContext } from "./stage.ts";

/** An event before it is dated. */
export type Undated = RunEvent extends infer Event ? Event extends RunEvent ? Omit<Event, "at"> : never : never;

/** One running step. */
export interface Session {
  readonly context: StepContext;
  /** By output name, as far as the step has asked for them. */
  readonly drafts: ReadonlyMap<string, Draft>;
  /** Seconds credited to stages. */
  readonly spent: ReadonlyMap<string, number>;
  /** Tells in the journal how far a large file is hashed; the step's progress stays as it is. */
  readonly tell: (message: string) => void;
  /** The first damage that was met among the inputs, even if the step went on. */
  readonly damage: () => CorruptArtifactError | undefined;
  /** Refuses whatever the step still tries, such as when it was given up. */
  end(): void;
}

/** What a session needs of its run. */
export interface SessionOptions {
  readonly cache: ArtifactCache;
  readonly recipe: Recipe;
  readonly signal: AbortSignal;
  readonly emit: (event: Undated) => void;
}

/** Opens the session of a step. */
export function openSession(
  { step, inputs }: Node,
  { cache, recipe, signal, emit }: SessionOptions,
): Session {
  const drafts = new Map<string, Draft>();
  const spent = new Map<string, number>();
  let damage: CorruptArtifactError | undefined;
  let ended = false;
  const refuse = (what: string, name: string, list: string, declared: readonly string[]): never => {
    throw new Error(
      `Cannot ${what} "${name}" in step "${step.id}" as it does not declare it: its ${list} are ` +
        (declared.length > 0 ? declared.join(", ") : "none"),
    );
  };
  const open = () => {
    if (ended) throw new Error(`Cannot go on with step "${step.id}" as it has ended`);
  };
  let reached = { done: 0, total: 1 };
  const tell = (note: string) => emit({ type: "step-progress", step: step.id, ...reached, note });
  const report = (error: CorruptArtifactError) => damage ??= error;
  const context: StepContext = {
    signal,
    param<T>(path: string): T {
      open();
      if (!step.reads.some((declared) => path === declared || path.startsWith(`${declared}.`))) {
        refuse("read", path, "reads", step.reads);
      }
      // The caller names the type that the recipe's schema gives this path.
      return structuredClone(readPath(recipe, path)) as T;
    },
    async input(name) {
      open();
      if (!Object.hasOwn(inputs, name)) refuse("take input", name, "inputs", Object.keys(inputs));
      return await Promise.resolve(cache.read(inputs[name], { signal, tell, report }));
    },
    output(name) {
      open();
      if (!Object.hasOwn(step.outputs, name)) refuse("make output", name, "outputs", Object.keys(step.outputs));
      const draft = drafts.get(name) ?? cache.draft({ flush: step.outputs[name].retain === "keep" });
      drafts.set(name, draft);
      return {
        path: (file) => draft.path(file),
        write: (...file) => draft.write(...file),
        value(value) {
          checkValue(step, name, value);
          draft.value(value);
        },
      };
    },
    progress(done, total, note) {
      open();
      reached = { done, total };
      emit({ type: "step-progress", step: step.id, done, total, ...(note === undefined ? {} : { note }) });
    },
    measure(values) {
      open();
      emit({ type: "step-measured", step: step.id, values });
    },
    spent(stage, seconds) {
      open();
      spent.set(stage, (spent.get(stage) ?? 0) + seconds);
    },
  };
  return { context, drafts, spent, tell, damage: () => damage, end: () => void (ended = true) };
}

/** @throws {StepError} a number in what a step hands on is not finite */
function checkValue({ id, stage }: Step, output: string, value: Json): void {
  const found = findNotFinite(value);
  if (found === undefined) return;
  const where = found.path === "" ? "" : ` at ${found.path}`;
  throw new StepError(
    `Cannot keep output "${output}" of step ${id} (stage ${stage}): its numbers must be finite: current value is ` +
      `${found.value}${where}; change the settings of ${stage}, or the data that it works on`,
  );
}
