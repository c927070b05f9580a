/** Whether a model is whole, and nothing else: a packed folder from elsewhere may hold anything. */
import { requireShape } from "../checkpoints/read_tensors.ts";
import { InputError } from "../files/input_error.ts";
import { modelShapes } from "../models/tensors.ts";
import type { Exportable } from "./job.ts";

/**
 * Checks that a checkpoint has the tensors of its model and no others, each in its shape.
 *
 * @throws {InputError} naming the first that is not so
 */
export function requireWhole({ checkpoint, spec, name }: Exportable): void {
  const shapes = modelShapes(spec);
  for (const [tensor, shape] of shapes) {
    if (!checkpoint.tensors.has(tensor)) {
      throw new InputError(`Cannot export ${name} as it does not hold "${tensor}"; pack it again`);
    }
    requireShape(checkpoint, tensor, shape);
  }
  const stray = [...checkpoint.tensors.keys()].find((tensor) => !shapes.has(tensor));
  if (stray === undefined) return;
  throw new InputError(`Cannot export ${name} as no ${spec.family} model has a tensor "${stray}"; pack it again`);
}
