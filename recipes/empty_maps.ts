/** Keys with nothing after them, where a map belongs: `pack:` names a stage, and all of it is default. */
import * as z from "zod";
import { step, unwrap } from "./describe.ts";
import type { Located } from "./located.ts";

/**
 * A tree in which every key that takes a map and has nothing after it has an empty map. A written `null` stays: it may have been meant
 * to take away what an extended recipe says, which no recipe can.
 *
 * @param schema of the tree
 */
export function fillEmptyMaps(tree: Located, schema: unknown): Located {
  if (tree.kind !== "map") return tree;
  const entries = [...tree.entries].map(([key, { key: at, value }]) => {
    const inner = step(schema, key);
    return [key, {
      key: at,
      value: isEmpty(value) && takesMap(inner) ? mapAt(value) : fillEmptyMaps(value, inner),
    }] as const;
  });
  return { ...tree, entries: new Map(entries) };
}

function isEmpty(tree: Located): boolean {
  return tree.kind === "scalar" && tree.value === null && tree.at.start === tree.at.end;
}

function takesMap(schema: unknown): boolean {
  return unwrap(schema) instanceof z.ZodObject;
}

function mapAt({ at }: Located): Located {
  return { kind: "map", entries: new Map(), at };
}
