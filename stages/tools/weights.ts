/** Weights of the original model, read by range and checked for their shapes. */
import type { Checkpoint } from "../../checkpoints/checkpoint.ts";
import { type OpenCheckpointOptions } from "../../checkpoints/open.ts";
import { fitModel } from "../../models/fit.ts";
import { openModel } from "../../models/open_model.ts";
import type { ModelSpec } from "../../models/spec.ts";
import { readTensors, type TensorShapes } from "../../checkpoints/read_tensors.ts";
import { blockShapes } from "../../models/tensors.ts";

/** An opened model. */
export interface Weights {
  /** Holds the model's tensors and no others, under canonical names. */
  readonly checkpoint: Checkpoint;
  readonly spec: ModelSpec;
  /** Tensors by canonical name, their shapes checked. */
  read(shapes: TensorShapes): Promise<Record<string, Float32Array>>;
  /** All tensors of one block. */
  block(block: number): Promise<Record<string, Float32Array>>;
  close(): void;
}

/**
 * Opens a model as recipes name it; nothing but headers is read yet, unless a head lies beside a tied embedding (`fitModel`).
 *
 * @throws {InputError} when it is missing, malformed, of a kind that is not known, or holds other tensors than its config says
 */
export async function openWeights(
  model: Parameters<typeof openModel>[0],
  options: OpenCheckpointOptions,
): Promise<Weights> {
  return await weightsOf(await openModel(model, options), options);
}

/** Weights of an opened checkpoint of any format, which is closed where it does not fit. */
export async function weightsOf(opened: Checkpoint, options: Parameters<typeof fitModel>[1] = {}): Promise<Weights> {
  try {
    const { checkpoint, spec } = await fitModel(opened, options);
    const read = (shapes: TensorShapes) => readTensors(checkpoint, shapes);
    return {
      checkpoint,
      spec,
      read,
      block: (block) => read(blockShapes(spec, block)),
      close: () => checkpoint.close(),
    };
  } catch (error) {
    opened.close();
    throw error;
  }
}
