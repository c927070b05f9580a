/** Keys of a recipe that hold paths of files: the schema marks them with `.meta({ path: true })`. */
import * as z from "zod";
import { unwrap } from "./describe.ts";

/**
 * A copy of a value with every path in it replaced.
 *
 * @param schema of the value
 * @param replace is given a path and the keys that lead to it
 */
export function mapPaths<T>(
  value: T,
  schema: unknown,
  replace: (path: string, keys: readonly string[]) => string,
): T {
  const copy = structuredClone(value);
  const visit = (holder: Record<string, unknown>, key: string, schema: unknown, keys: readonly string[]) => {
    const inner = holder[key];
    if (inner === undefined) return;
    if (typeof inner === "string" && isPath(schema)) {
      holder[key] = replace(inner, keys);
      return;
    }
    const here = unwrap(schema);
    if (here instanceof z.ZodUnion) {
      const form = here.options.find((option) => option instanceof z.ZodType && option.safeParse(inner).success);
      if (form !== undefined) visit(holder, key, form, keys);
    } else if (typeof inner === "object" && inner !== null) {
      for (const name of Object.keys(inner)) {
        const next = innerSchema(here, name);
        if (next !== undefined) visit(inner as Record<string, unknown>, name, next, [...keys, name]);
      }
    }
  };
  visit({ copy } as Record<string, unknown>, "copy", schema, []);
  return copy;
}

/** Whether a schema is of a path. */
export function isPath(schema: unknown): boolean {
  const marked = (each: unknown) => each instanceof z.ZodType && each.meta()?.path === true;
  return marked(schema) || marked(unwrap(schema));
}

function innerSchema(schema: unknown, key: string): unknown {
  if (schema instanceof z.ZodObject) return schema.shape[key];
  if (schema instanceof z.ZodArray) return schema.element;
  return schema instanceof z.ZodRecord ? schema.valueType : undefined;
}
