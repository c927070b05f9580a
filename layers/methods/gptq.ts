/**
 * gptq: uniform grids, column by column, each after the errors of those before it (GPTQ, arXiv 2210.17323).
 *
 * The order inside a column block is compensate's mode `columnwise`; its other modes round a whole block before its errors are fed on.
 */
import * as z from "zod";
import { blockColumns, gridParams, GridRun } from "../grid.ts";
import { keepsAllRule } from "../keeps_all.ts";
import type { LayerColumns, Method } from "./method.ts";

const Params = z.strictObject({
  ...gridParams,
  act_order: z.boolean().default(false).describe(
    "Columns in order of falling diag(H), as GPTQ's --act-order; groups are of that order, which is stored",
  ),
});

/** Settings of the method. */
export type GptqParams = z.infer<typeof Params>;

/** The method; see the file's head. */
export const gptq: Method<GptqParams> = {
  name: "gptq",
  label: "gptq",
  summary: "Rounds to uniform grids column by column, feeding errors forward (GPTQ)",
  params: Params,
  rules: [keepsAllRule],
  needs: ["statistics", "feedback"],
  format: "grid",
  groupKeys: ["group_size"],
  groupSize: ({ group_size }, cols) => blockColumns(group_size, cols),
  reads: () => Object.keys(Params.shape),
  order: ({ act_order }, columns) => act_order ? fallingDiagonal(columns) : undefined,
  open(device, scope, open) {
    const { bits, group_size: groupSize, act_order: ordered } = open.params;
    return new GridRun(device, scope, { open, settings: { bits, groupSize, grid: "minmax" }, ordered });
  },
};

/** Columns by falling diag(H), of equal ones the first first; in their own order where there is no Hessian. */
function fallingDiagonal({ cols, diagonal }: LayerColumns): Uint32Array {
  const order = Uint32Array.from({ length: cols }, (_, j) => j);
  return diagonal ? order.sort((a, b) => diagonal[b] - diagonal[a] || a - b) : order;
}
