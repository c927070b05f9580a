/** Weights of a block whose linears were packed. */
import type { EncodedLayer } from "../checkpoints/packed/format.ts";
import { fromRecord } from "../checkpoints/packed/formats.ts";
import type { LinearSpec } from "../models/spec.ts";
import { blockLinears, blockShapes } from "../models/tensors.ts";
import type { ArtifactReader } from "../runner/stage.ts";
import type { PackedBlock } from "./artifacts.ts";
import type { Tools } from "./tools/mod.ts";

/** All tensors of one block, its linears decoded from what was packed. */
export async function compressedWeights(
  { weights, packing }: Pick<Tools, "weights" | "packing">,
  block: number,
  packed: ArtifactReader,
): Promise<Record<string, Float32Array>> {
  const linears = blockLinears(weights.spec, block);
  const names = new Set(linears.map(({ name }) => `${name}.weight`));
  const others = new Map([...blockShapes(weights.spec, block)].filter(([name]) => !names.has(name)));
  const tensors = await weights.read(others);
  for await (const [name, encoded] of readPackedLayers(packed, linears)) {
    tensors[`${name}.weight`] = await packing.decode(encoded);
  }
  return tensors;
}

/** Reads a block's packed layers, in the model's order. */
export async function* readPackedLayers(
  reader: ArtifactReader,
  linears: readonly LinearSpec[],
): AsyncGenerator<readonly [string, EncodedLayer]> {
  const { headers } = reader.value as PackedBlock;
  for (const { name } of linears) {
    yield [name, { ...fromRecord(headers[name]), tensors: await reader.read(`${name}.safetensors`) }];
  }
}
