/**
 * The stage of a method of `layers/methods`: it bears the method's name and has its parameters, and quantizes every linear of a block.
 *
 * What comes between statistics and packing meets in each column block of a layer: fine-search scores weights that compensation has
 * already moved (`mask_from: updated`), the method quantizes them, compensate feeds the error on. So one step does the three, reads the
 * parameters of all and credits each with its seconds (`quantize_block.ts`). With `mask_from: original` the masks are made by steps of
 * fine-search. With `calibrate.inputs: renewed` the step goes from input to input (`quantize_renewed.ts`).
 */
import type { MethodSource } from "../layers/job.ts";
import type { AnyMethod } from "../layers/methods/method.ts";
import type { Rule } from "../recipes/language.ts";
import { from } from "./artifacts.ts";
import type { Stage } from "./planning.ts";
import { quantizeBlock } from "./quantize_block.ts";
import { quantizeRenewed } from "./quantize_renewed.ts";

/** The stage of a method. @param source the file that it comes from, where it is none of this project's */
export function methodStage<P>(method: AnyMethod<P>, source?: MethodSource): Stage<P> {
  const { name } = method, path = (key: string) => `stages.${name}.${key}`;
  const rules: readonly Rule[] = (method.rules ?? []).map((make) => make(path));
  return {
    name,
    summary: method.summary,
    params: method.params,
    rules,
    makes: ["quantized"],
    needs: method.needs,
    // An allocation of weights counts only where ranks, which need it, say what to prune; one of bits where there is a budget.
    uses: ["ranks", "feedback", "packed", ...(method.budget ? ["allocation"] as const : [])],
    ...(method.budget ? { budget: path(method.budget) } : {}),
    offer: (settings) => ({
      quantized: {
        stage: name,
        method: method.labelOf?.(settings) ?? method.label,
        prunesFirst: method.prunesFirst ?? false,
        format: method.format,
        block: (block) => from(`${name}[${block}]`, "quantized"),
        reads: method.reads(settings).map(path),
        groupReads: (method.groupKeys ?? []).map(path),
        ...(method.budget ? { budget: path(method.budget) } : {}),
        ...(source ? { source } : {}),
      },
    }),
    plan(planning, settings) {
      const { spec, roles: { statistics } } = planning;
      const warning = method.warningOf?.(settings);
      if (warning !== undefined) planning.warn(warning);
      if (statistics === undefined) return [];
      return Array.from({ length: spec.blocks }, (_, block) => {
        const { renewed } = statistics;
        if (renewed) return quantizeRenewed(planning, { name, statistics, renewed, block });
        return quantizeBlock(planning, { name, statistics, block });
      });
    },
  };
}
