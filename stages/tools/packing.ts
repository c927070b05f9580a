/** Packs quantized layers and decodes packed ones, by their formats. */
import type { EncodedLayer, LayerContent, PackOptions } from "../../checkpoints/packed/format.ts";
import { formatOf } from "../../checkpoints/packed/formats.ts";
import type { SharedDevice } from "../../layers/shared_device.ts";

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
}

/**
 * Makes the tool.
 *
 * @param device what to compute on; this thread without it, as sending a layer to a worker and back takes longer
 */
export function openPackingTool(device?: SharedDevice): PackingTool {
  return {
    async pack(layer, options) {
      const format = formatOf(layer.format);
      return await (device ? device.use((device) => format.pack(layer, options, device)) : format.pack(layer, options));
    },
    async decode(layer) {
      const format = formatOf(layer.format);
      return await (device ? device.use((device) => format.decode(layer, device)) : format.decode(layer));
    },
  };
}
