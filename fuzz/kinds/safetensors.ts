/** Models whose weights are one safetensors file. */
import { join } from "node:path";
import type { Kind } from "../kind.ts";
import { readModel } from "../read_model.ts";
import { writeDescription, writeSmallModel } from "../small_model.ts";
import { smallTensors } from "../small_model.ts";
import { type Tensor, toFloat32, writeSafetensors } from "../../files/safetensors.ts";

/** The kind. */
export const safetensors: Kind = {
  name: "safetensors",
  async make(folder) {
    for (const name of ["half", "types"]) await Deno.mkdir(join(folder, name));
    await writeSmallModel(join(folder, "half"));
    const path = join(folder, "types", "model.safetensors");
    await writeSafetensors(path, ofAllTypes(), {}, { flush: false });
    await writeDescription(join(folder, "types"));
    return ["half", "types"].map((name) => ({
      name,
      targets: [{ path: "model.safetensors", syntax: "safetensors" }],
    }));
  },
  read: (folder, _sample, seen) => readModel({ path: folder }, seen),
};

/** The small model in every type that weights may have, one after the other. */
function ofAllTypes(): Record<string, Tensor> {
  const tensors = Object.entries(smallTensors()).map(([name, tensor], at): [string, Tensor] => {
    const { shape } = tensor;
    const values = toFloat32(tensor);
    const dtype = (["F32", "BF16", "F16", "F64"] as const)[at % 4];
    if (dtype === "F16") return [name, tensor];
    if (dtype === "F32") return [name, { dtype, shape, data: values }];
    if (dtype === "F64") return [name, { dtype, shape, data: Float64Array.from(values) }];
    const upper = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
    return [name, { dtype, shape, data: upper }];
  });
  return Object.fromEntries(tensors);
}
