/** Packs quantized layers and decodes packed ones, by their formats. */
import type { EncodedLayer, LayerContent, PackOptions } from "../../checkpoints/packed/format.ts";
import { formatOf, fromRecord, toRecord } from "../../checkpoints/packed/formats.ts";
import type { JsonRecord } from "../../files/json.ts";
import type { SharedDevice } from "../../layers/shared_device.ts";
import { blockLinears, blockShapes } from "../../models/tensors.ts";
import type { ArtifactReader } from "../../runner/stage.ts";
import type { PackedBlock } from "../artifacts.ts";
import type { Weights } from "./weights.ts";

/** Layers to bits and back. */
export interface PackingTool {
  /**
   * Packs a layer, whose arrays are handed over; see `LayerFormat.pack`.
   * @throws {Error} when they break what its facts promise
   */
  pack(layer: LayerContent, options: PackOptions): Promise<EncodedLayer>;
  /**
   * Weights of a packed layer, rows × cols.
   * @throws {Error} when its tensors are not what packing writes
   */
  decode(layer: EncodedLayer): Promise<Float32Array>;
  /** Format and header of a packed layer as JSON. */
  record(layer: EncodedLayer): JsonRecord;
  /** All tensors of one block, its linears decoded from what was packed. */
  blockWeights(weights: Weights, block: number, packed: ArtifactReader): Promise<Record<string, Float32Array>>;
}

/**
 * Makes the tool.
 *
 * @param device what to compute on; this thread without it, as sending a layer to a worker and back takes longer
 */
export function openPackingTool(device?: SharedDevice): PackingTool {
  const decode = async (layer: EncodedLayer) => {
    const format = formatOf(layer.format);
    return await (device ? device.use((device) => format.decode(layer, device)) : format.decode(layer));
  };
  return {
    async pack(layer, options) {
      const format = formatOf(layer.format);
      return await (device ? device.use((device) => format.pack(layer, options, device)) : format.pack(layer, options));
    },
    decode,
    record: toRecord,
    async blockWeights(weights, block, packed) {
      const linears = blockLinears(weights.spec, block);
      const names = new Set(linears.map(({ name }) => `${name}.weight`));
      const others = new Map([...blockShapes(weights.spec, block)].filter(([name]) => !names.has(name)));
      const tensors = await weights.read(others);
      const { headers } = packed.value as PackedBlock;
      for (const { name } of linears) {
        const encoded = { ...fromRecord(headers[name]), tensors: await packed.read(`${name}.safetensors`) };
        tensors[`${name}.weight`] = await decode(encoded);
      }
      return tensors;
    },
  };
}
