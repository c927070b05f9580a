/** The rule between N:M and the columns that a method takes together. */
import { error, type Rule } from "../recipes/language.ts";
import type { Stage } from "./planning.ts";

const OF = "stages.coarse-search.of";
const TYPE = "stages.fine-search.type";

/** Runs of M inputs may not cross a group of columns: `group_size` of whichever stage has one must be a multiple of M. */
export function groupRule(stages: readonly Pick<Stage, "name">[]): Rule {
  return {
    reads: [OF, TYPE, ...stages.map(({ name }) => `stages.${name}.group_size`)],
    partial: true,
    check({ value, blame }) {
      const every = value<number>(OF) ?? 1;
      if (value(TYPE) !== "semi-structured") return [];
      return stages.flatMap(({ name }) => {
        const groupSize = `stages.${name}.group_size`, width = value<number>(groupSize);
        if (typeof width !== "number" || width % every === 0) return [];
        const below = Math.floor(width / every) * every;
        const near = below >= 8 ? `${below} or ${below + every}` : `${below + every}`;
        return [error(blame(groupSize, OF), `group_size must be a multiple of of: ${width} is not one of ${every}`, {
          allowed: `group_size ${near}, or an of that divides ${width}`,
        })];
      });
    },
  };
}
