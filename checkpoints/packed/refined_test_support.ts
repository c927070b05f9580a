/** Random layers of the format `refined`. */
import { GROUP_SHIFT, KEPT, SECOND_SIGN, SIGN } from "../../kernels/binary/ops.ts";
import { meansPerRow, productsPerRow } from "../../kernels/refinement/ops.ts";
import { type RefinedLayer, shapeOf } from "./refined_layer.ts";
import { usedPlaces } from "./refined_planes.ts";

/** A layer of random codes, and scales that float16 holds. */
export function randomLayer({ rows, cols, groupSize, levels, columnGroups, seed }: {
  readonly rows: number;
  readonly cols: number;
  readonly groupSize: number;
  readonly levels: "means" | "products";
  readonly columnGroups: boolean;
  readonly seed: number;
}): RefinedLayer {
  let state = seed;
  const next = (below: number) => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
  const shape = shapeOf({ columnGroups }), salient = Uint8Array.from({ length: cols }, () => Number(next(4) === 0));
  const codes = Uint8Array.from({ length: rows * cols }, (_, at) => {
    const sign = KEPT | (next(2) ? SIGN : 0);
    if (!salient[at % cols]) return sign | shape.doubled + next(2) << GROUP_SHIFT;
    return sign | (next(2) ? SECOND_SIGN : 0) | next(shape.doubled) << GROUP_SHIFT;
  });
  const perRow = (levels === "means" ? meansPerRow : productsPerRow)(shape), blocks = Math.ceil(cols / groupSize);
  const scale = () => (next(2048) - 1024) / 512;
  const scales = Float32Array.from({ length: rows * blocks * perRow }, scale);
  const layer = { rows, cols, groupSize, levels, columnGroups, codes, scales };
  if (levels === "means") return layer;
  const columnScales = new Float32Array(cols * perRow);
  for (const at of usedPlaces(salient, layer)) columnScales[at] = scale();
  return { ...layer, columnScales };
}
