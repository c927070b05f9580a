/** A run that makes a lock's steps again, held against the lock step by step as they end. */
import type { ArtifactCache } from "../runner/cache/cache.ts";
import type { Graph } from "../runner/graph.ts";
import type { Outcome } from "../runner/lock.ts";
import { differences, hashStep } from "../runner/step_hashes.ts";
import { describeDivergence, type Divergence, type Originals } from "./divergence.ts";

/** How one step compares. */
export interface StepVerdict {
  readonly step: string;
  /** `unrecorded`: it keeps nothing, or what it kept was gone when the lock was written. */
  readonly verdict: "same" | "different" | "unrecorded";
  /** Tensors and results that differ. */
  readonly differing: number;
  /** Of these the first, where they differ. */
  readonly first?: Divergence;
  /** Steps before it of whose results the lock has no hash: the difference may have come from there. */
  readonly after?: readonly string[];
}

/** What a comparison is made with. */
export interface ComparisonOptions {
  /** The lock's. */
  readonly steps: Outcome["steps"];
  readonly graph: Graph;
  /** Of the run that makes them again. */
  readonly cache: ArtifactCache;
  readonly originals: Originals;
  /** Told of each step, in the order in which they end. */
  readonly onVerdict?: (verdict: StepVerdict) => void;
}

/** Compares steps one after another. */
export class RunComparison {
  readonly #options: ComparisonOptions;
  readonly #verdicts = new Map<string, StepVerdict>();
  #queue: Promise<void> = Promise.resolve();

  constructor(options: ComparisonOptions) {
    this.#options = options;
  }

  /** Takes note of a step that has ended; it is compared beside what runs next. */
  ended(step: string): void {
    this.#queue = this.#queue.then(() => this.#look(step));
    // Whoever waits for the end is told.
    this.#queue.catch(() => {});
  }

  /** Waits for what is being compared. */
  async settled(): Promise<void> {
    await this.#queue;
  }

  /**
   * Compares what is left.
   *
   * @returns all steps, in the order in which they can run
   */
  async finish(): Promise<readonly StepVerdict[]> {
    await this.#queue;
    for (const step of this.#options.graph.keys()) if (!this.#verdicts.has(step)) await this.#look(step);
    return this.verdicts;
  }

  /** Steps that were compared, in the order in which they can run. */
  get verdicts(): readonly StepVerdict[] {
    return [...this.#options.graph.keys()].flatMap((step) => this.#verdicts.get(step) ?? []);
  }

  /** Steps of the lock that this version does not make. */
  get missing(): readonly string[] {
    return Object.keys(this.#options.steps).filter((step) => !this.#options.graph.has(step));
  }

  async #look(step: string): Promise<void> {
    const verdict = await this.#compare(step);
    this.#verdicts.set(step, verdict);
    this.#options.onVerdict?.(verdict);
  }

  async #compare(step: string): Promise<StepVerdict> {
    const { steps, graph, cache, originals } = this.#options;
    const node = graph.get(step), locked = Object.hasOwn(steps, step) ? steps[step] : undefined;
    if (node === undefined || locked === undefined) return { step, verdict: "unrecorded", differing: 0 };
    const found = differences(locked, await hashStep(node, cache));
    if (found.length === 0) return { step, verdict: "same", differing: 0 };
    const [[output]] = found;
    const names = found.filter(([each]) => each === output).map(([, name]) => name);
    const first = await describeDivergence({ output, names }, { node, locked, cache, originals });
    const after = Object.values(node.step.inputs).filter((ref) => !isRecorded(steps, ref)).map(({ step }) => step);
    return {
      ...{ step, verdict: "different", differing: found.length, first },
      ...(after.length === 0 ? {} : { after: [...new Set(after)] }),
    };
  }
}

function isRecorded(steps: Outcome["steps"], { step, output }: { readonly step: string; readonly output: string }) {
  return Object.hasOwn(steps, step) && Object.hasOwn(steps[step].outputs, output);
}
