/** rtn: every weight to the nearest level of a uniform grid, whatever becomes of the others; and signs, the honest control at one bit. */
import * as z from "zod";
import { error, type Rule } from "../../recipes/language.ts";
import { blockColumns, gridParams, GridRun } from "../grid.ts";
import { keepsAllRule } from "../keeps_all.ts";
import type { Method } from "./method.ts";

const Params = z.strictObject({
  ...gridParams,
  grid: z.enum(["minmax", "sign"]).default("minmax").describe(
    "minmax: levels from the smallest weight to the largest, one of which is 0; sign: ± the mean of |w|, bits 1",
  ),
});

/** Settings of the method. */
export type RtnParams = z.infer<typeof Params>;

/** The method; see the file's head. */
export const rtn: Method<RtnParams> = {
  name: "rtn",
  label: "rtn",
  summary: "Rounds to the nearest level of a uniform grid, without regard to inputs",
  params: Params,
  rules: [keepsAllRule, signRule, nothingFedRule],
  // Errors are told in terms of inputs.
  needs: ["statistics"],
  format: "grid",
  groupKeys: ["group_size"],
  groupSize: ({ group_size }, cols) => blockColumns(group_size, cols),
  reads: () => Object.keys(Params.shape),
  open(device, scope, open) {
    const { bits, group_size: groupSize, grid } = open.params;
    return new GridRun(device, scope, { open, settings: { bits, groupSize, grid } });
  },
};

function signRule(path: (key: string) => string): Rule {
  const [grid, bits] = [path("grid"), path("bits")];
  return {
    reads: [grid, bits],
    check({ value, blame }) {
      if (value(grid) !== "sign" || value(bits) === 1) return [];
      return [error(blame(bits, grid), `grid sign has one bit: bits is ${value(bits)}`, { allowed: "bits 1" })];
    },
  };
}

/** With feedback it would be another method. */
function nothingFedRule(path: (key: string) => string): Rule {
  const mode = "stages.compensate.mode";
  return {
    reads: [mode, path("bits")],
    check({ value, blame }) {
      if (value(mode) === "none") return [];
      return [
        error(blame(mode), `rtn feeds no errors on, and compensate's mode is ${value(mode)}`, {
          allowed: "a recipe without compensate, its mode none, or gptq instead of rtn",
        }),
      ];
    },
  };
}
