/** onnxruntime's sessions of one provider, each opened once, with failures that name the provider. Meant for a worker: `run()` blocks its thread. */
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { TensorShapes } from "../checkpoints/read_tensors.ts";
import type { EngineOptions } from "./forward_protocol.ts";

/** Tensors by name, as sessions take and give them. */
export type Tensors = Record<string, Tensor>;

/** The sessions of one engine. */
export class Sessions {
  readonly #options: Pick<EngineOptions, "provider" | "threads">;
  readonly #sessions = new Map<string, Promise<InferenceSession>>();

  constructor(options: Pick<EngineOptions, "provider" | "threads">) {
    this.#options = options;
  }

  /** The session of a graph, which is built where it is not known yet. */
  open(key: string, build: () => Uint8Array): Promise<InferenceSession> {
    const known = this.#sessions.get(key);
    if (known) return known;
    const session = InferenceSession.create(build(), {
      executionProviders: [this.#options.provider],
      intraOpNumThreads: this.#options.threads,
      interOpNumThreads: 1,
      enableCpuMemArena: false,
      enableMemPattern: false,
      logSeverityLevel: 3,
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    }).catch((error) => {
      throw this.#named(error);
    });
    this.#sessions.set(key, session);
    return session;
  }

  /** A run whose failure names the provider: nothing goes on elsewhere in silence. */
  async run(
    session: InferenceSession,
    feeds: Tensors,
    fetches?: Readonly<Record<string, Tensor | null>>,
  ): Promise<Tensors> {
    try {
      return fetches ? await session.run(feeds, fetches) : await session.run(feeds);
    } catch (error) {
      throw this.#named(error);
    }
  }

  #named(error: unknown): Error {
    const { provider } = this.#options;
    const hint = provider === "cpu" ? "" : "; --forward cpu computes forward passes on the CPU";
    return new Error(`onnxruntime's ${provider} provider failed: ${plainReason(error)}${hint}`, { cause: error });
  }

  /** Ends all sessions. */
  async close(): Promise<void> {
    // A session that did not open was reported by whoever asked for it.
    for (const session of this.#sessions.values()) await session.then((open) => open.release(), () => {});
    this.#sessions.clear();
  }
}

/** Weights as tensors of their shapes. */
export function tensorsOf(weights: Readonly<Record<string, Float32Array>>, shapes: TensorShapes): Tensors {
  return Object.fromEntries([...shapes].map(([name, shape]) => [name, new Tensor("float32", weights[name], shape)]));
}

/** The values of a result. @throws {TypeError} when it is of another type */
export function floats(tensor: Tensor): Float32Array {
  if (tensor.data instanceof Float32Array) return tensor.data;
  throw new TypeError(`Cannot read a result as it must be float32: current type is ${tensor.type}`);
}

/**
 * onnxruntime's message without its source files, and in one line.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { plainReason } from "./sessions.ts";
 *
 * const error = new Error("/src/context.cc:136 lambda() status == Success was false. Failed to get an adapter\n");
 * assert.equal(plainReason(error), "Failed to get an adapter");
 * ```
 */
export function plainReason(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim();
  return text.replace(/^OrtSessionOptionsAppendExecutionProvider_\w+: /, "").replace(/^.* was false\. (?=.)/, "")
    .replace(/\/\S+\.(?:cc|h|cpp):\d+ /g, "");
}
