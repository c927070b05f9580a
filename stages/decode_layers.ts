/** Weights of layers that have just been quantized, as packing will store them. */
import type { LayerResult } from "../layers/job.ts";
import type { Json, StepContext } from "../runner/stage.ts";
import type { Roles } from "./artifacts.ts";
import type { Tools } from "./tools/mod.ts";

/** Decodes layers. */
export interface LayerDecoding {
  /** Recipe paths that the weights depend on. */
  readonly reads: readonly string[];
  /**
   * Weights by layer name, each rows × cols.
   *
   * @param results their arrays are handed over
   */
  decode(
    packing: Tools["packing"],
    results: readonly LayerResult[],
    context: Pick<StepContext, "param">,
  ): Promise<Map<string, Float32Array>>;
}

/** Plans it. */
export function layerDecoding({ packed }: Partial<Pick<Roles, "packed">>): LayerDecoding {
  const options = Object.entries(packed?.reads.options ?? {});
  return {
    reads: options.map(([, path]) => path),
    async decode(packing, results, context) {
      const settings = Object.fromEntries(options.map(([name, path]) => [name, context.param<Json>(path)]));
      const decoded = new Map<string, Float32Array>();
      for (const { name, layer } of results) {
        decoded.set(name, await packing.decode(await packing.pack(layer, settings)));
      }
      return decoded;
    },
  };
}
