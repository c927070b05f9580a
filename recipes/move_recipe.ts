/**
 * A recipe's text for another folder: relative paths in it are stated from there, and all else stays as it is written.
 *
 * Not the reading of recipes; whoever moves one reads it again, and sees whether the same comes of it.
 */
import { isAbsolute, relative, resolve } from "node:path";
import { isMap, isScalar, isSeq, type Node, parseDocument, type Scalar } from "yaml";
import * as z from "zod";
import { step, unwrap } from "./describe.ts";
import { isPath } from "./paths.ts";

/** Whence and whither. */
export interface Move {
  /** Absolute. */
  readonly from: string;
  /** Absolute. */
  readonly to: string;
  /** Of whole recipes. */
  readonly schema: unknown;
}

/**
 * Moves a recipe or a sweep.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import * as z from "zod";
 * import { moveRecipe } from "./move_recipe.ts";
 *
 * const schema = z.object({ model: z.object({ path: z.string().meta({ path: true }) }) });
 * const text = "extends: ../a.yaml # the base\nmatrix:\n  model.path: [m, /n]\n";
 * assert.equal(
 *   moveRecipe(text, { from: "/configs/sweeps", to: "/runs", schema }),
 *   "extends: ../configs/a.yaml # the base\nmatrix:\n  model.path: [ ../configs/sweeps/m, /n ]\n",
 * );
 * ```
 */
export function moveRecipe(text: string, { from, to, schema }: Move): string {
  const document = parseDocument(text), moved = new Set<Scalar>();
  const restate = (node: Scalar) => {
    const { value } = node;
    if (typeof value !== "string" || moved.has(node) || isAbsolute(value) || value.startsWith("~")) return;
    node.value = relative(to, resolve(from, value)).replaceAll("\\", "/");
    moved.add(node);
  };
  /** @param schemas of what may stand here; undefined: paths alone */
  const visit = (node: unknown, schemas: readonly unknown[] | undefined) => {
    if (isScalar(node)) {
      if (schemas?.some(isPath) ?? true) restate(node);
    } else if (isSeq(node)) {
      for (const [i, item] of node.items.entries()) visit(item, schemas && further(schemas, i));
    } else if (isMap(node)) {
      for (const { key, value } of node.items) visit(value, schemas && further(schemas, nameOf(key)));
    }
  };
  /** A map of paths to what may stand there, or to a list of it. */
  const visitPoints = (node: unknown) => {
    if (isSeq(node)) node.items.forEach(visitPoints);
    if (!isMap(node)) return;
    for (const { key, value } of node.items) {
      const keys = nameOf(key).split(".");
      const schemas = keys[0] === "extends" ? undefined : keys.reduce(further, alternatives(schema));
      visit(value, schemas);
      if (isSeq(value)) value.items.forEach((item) => visit(item, schemas));
    }
  };
  const root = document.contents as Node | null;
  if (!isMap(root)) return text;
  for (const { key, value } of root.items) {
    const name = nameOf(key);
    if (name === "extends") visit(value, undefined);
    else if (name === "matrix" || name === "include" || name === "exclude") visitPoints(value);
    else visit(value, further(alternatives(schema), name));
  }
  return document.toString({ lineWidth: 0 });
}

/** All that may stand one key further in. */
function further(schemas: readonly unknown[], key: PropertyKey): unknown[] {
  return schemas.flatMap((each) => alternatives(step(each, key)));
}

/** The forms that a value may have, each by its schema. */
function alternatives(schema: unknown): unknown[] {
  const here = unwrap(schema);
  if (here instanceof z.ZodUnion) return here.options.flatMap(alternatives);
  // The mark may be on what is unwrapped.
  return here === undefined ? [] : [schema];
}

function nameOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : "";
}
