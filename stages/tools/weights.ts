/** Weights of the original model, read by range and checked for their shapes. */
import type { Checkpoint } from "../../checkpoints/checkpoint.ts";
import { type OpenCheckpointOptions } from "../../checkpoints/open.ts";
import { openModel } from "../../models/open_model.ts";
import { modelSpec } from "../../models/config.ts";
import type { ModelSpec } from "../../models/spec.ts";
import { readTensors, resolveTensor, type TensorShapes } from "../../checkpoints/read_tensors.ts";
import { blockShapes } from "../../models/tensors.ts";

/** An opened model. */
export interface Weights {
  readonly checkpoint: Checkpoint;
  readonly spec: ModelSpec;
  /** Tensors by canonical name, their shapes checked. */
  read(shapes: TensorShapes): Promise<Record<string, Float32Array>>;
  /** All tensors of one block. */
  block(block: number): Promise<Record<string, Float32Array>>;
  /** A linear's name as the checkpoint has it, without `.weight`. */
  stored(name: string): string;
  close(): void;
}

/**
 * Opens a model as recipes name it; nothing but headers is read yet.
 *
 * @throws {InputError} when it is missing, malformed, or of a kind that is not known
 */
export async function openWeights(
  model: Parameters<typeof openModel>[0],
  options: OpenCheckpointOptions,
): Promise<Weights> {
  const checkpoint = await openModel(model, options);
  try {
    const spec = modelSpec(checkpoint.config);
    const read = (shapes: TensorShapes) => readTensors(checkpoint, shapes);
    return {
      checkpoint,
      spec,
      read,
      block: (block) => read(blockShapes(spec, block)),
      stored: (name) => resolveTensor(checkpoint, `${name}.weight`).slice(0, -".weight".length),
      close: () => checkpoint.close(),
    };
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}
