/** Maps that are one of several forms, as a model in a folder or on the hub is, and the keys that tell the forms apart. */
import * as z from "zod";
import { mayBeLeftOut, step, unwrap } from "./describe.ts";

/**
 * The keys that name the form of a map, at each place of a recipe: those that one of the forms cannot do without.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as z from "zod";
 * const folder = z.strictObject({ path: z.string(), config: z.string().optional() });
 * const formsAt = formsOf(z.strictObject({ model: z.union([folder, z.strictObject({ hub: z.string() })]) }));
 * assert.deepEqual(formsAt(["model"]), ["path", "hub"]);
 * assert.deepEqual(formsAt([]), []);
 * ```
 * @param schema of whole recipes
 */
export function formsOf(schema: unknown): (path: readonly string[]) => readonly string[] {
  return (path) => {
    const here = unwrap(path.reduce(step, schema));
    if (!(here instanceof z.ZodUnion)) return [];
    return here.options.map(unwrap).filter((option) => option instanceof z.ZodObject).flatMap(({ shape }) =>
      Object.keys(shape).filter((key) => !mayBeLeftOut(shape[key]))
    );
  };
}
