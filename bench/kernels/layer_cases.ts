/** One whole layer through the loop over its column blocks. */
import { packUpper } from "../../kernels/matrix/ops.ts";
import type { LayerSettings } from "../../layers/job.ts";
import { quantizeLayer } from "../../layers/layer.ts";
import { hessian, randomWeights } from "./data.ts";
import type { KernelCase } from "./kernel_case.ts";

/** The quickstart's way: joint solve, exact compensation, signs chosen again once. */
const SETTINGS: LayerSettings = {
  method: "spbo",
  params: { solver: "joint", resign: 1 },
  search: { metric: "hessian", type: "semi-structured", seed: 0 },
  feedback: { mode: "exact", damping: 0.01 },
  scales: "f16",
};

/** SmolLM2's attention and feed-forward layers. */
export function layerCases(): KernelCase[] {
  return [[576, 576], [1536, 576]].map(([rows, cols]) => ({
    op: "layer",
    size: `${rows} × ${cols}`,
    quick: rows === cols,
    work: () => ({ bound: "layer", weights: rows * cols }),
    open(device) {
      const weight = randomWeights(rows * cols, rows), upper = packUpper(hessian(cols), cols);
      return async () => {
        // The layer's arrays are handed over.
        const arrays = { weight: weight.slice(), upper: upper.slice() };
        await quantizeLayer(device, { name: "layer", rows, cols, ...arrays, keep: 4, of: 8, settings: SETTINGS });
      };
    },
  }));
}
