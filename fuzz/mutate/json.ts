/** Changes of JSON that leave it JSON, or nearly so. */
import type { Draw } from "../draw.ts";
import { type Node, parseShallow, type Place, places, render, replace, toTree } from "./json_tree.ts";
import type { Mutator } from "./mutator.ts";

/** What is put in place of a value. */
const VALUES: readonly string[] = [
  ...["0", "-1", "1", "2", "3", "0.5", "-0.5", "1e-320", "1e308", "1e999", "-1e999", "NaN", "Infinity", "-0"],
  ...["2147483647", "2147483648", "4294967295", "4294967296", "9007199254740991", "9007199254740992", "1e15", "1e6"],
  ...[
    '""',
    '" "',
    '"x"',
    '"0"',
    '"1"',
    '"nan"',
    '"null"',
    '"\\u0000"',
    '"a\\nb"',
    '"\\u001b[31m"',
    '"\\ud800"',
    '"🦙"',
  ],
  ...["[]", "{}", "[[]]", "[null]", "[{}]", "null", "true", "false", '"__proto__"', '"constructor"', '"../../x"'],
  '{"__proto__":{"polluted":1}}',
  '{"length":4294967295}',
  '{"toString":1,"valueOf":2}',
];

/** What keys become. */
const KEYS: readonly string[] = [
  "",
  "__proto__",
  "constructor",
  "toString",
  "length",
  "0",
  "weight",
  "x",
  "a\nb",
  "../x",
];

/** Letters of long texts, and levels of deep nesting. */
const LONG = 100_000, DEEP = 10_000;

type Change = (root: Node, place: Place, draw: Draw, all: readonly Place[]) => [Node, string] | undefined;

const CHANGES: readonly Change[] = [
  put,
  put,
  put,
  nudge,
  nudge,
  (root, place, draw) => {
    const [name, text] = draw.pick([
      ["a long text", `"${"a".repeat(LONG)}"`],
      ["deep lists", "[".repeat(DEEP) + "]".repeat(DEEP)],
      ["deep maps", '{"a":'.repeat(DEEP) + "1" + "}".repeat(DEEP)],
      ["a long list", `[${"0,".repeat(LONG / 2)}0]`],
      ["a long number", "1".repeat(400)],
    ]);
    return [replace(root, place, { kind: "raw", text }), `${place.path} becomes ${name}`];
  },
  (root, place, draw) => {
    const { holder, index, path } = place;
    if (holder === undefined) return undefined;
    const list: unknown[] = holder.kind === "list" ? holder.items : holder.entries;
    if (draw.once(2)) list.splice(index, 1);
    else list.splice(index, 0, list[index]);
    return [root, `${path} is gone or there twice`];
  },
  (root, { holder, index, path }, draw) => {
    if (holder?.kind !== "map") return undefined;
    const key = draw.once(3) ? draw.pick(holder.entries)[0] : draw.pick(KEYS);
    holder.entries[index] = [key, holder.entries[index][1]];
    return [root, `${path} is called ${JSON.stringify(key)}`];
  },
  (root, place, draw, all) => {
    const other = draw.pick(all);
    // A copy, as a tree that holds itself has no end.
    return [replace(root, place, toRaw(other.node)), `${place.path} becomes a copy of ${other.path}`];
  },
  (root, place, draw, all) => {
    const other = draw.pick(all);
    if (place.holder === undefined || other.holder === undefined) return undefined;
    const [mine, theirs] = [toRaw(place.node), toRaw(other.node)];
    return [replace(replace(root, place, theirs), other, mine), `${place.path} and ${other.path} change places`];
  },
];

/** Spoils JSON text at one node. */
export const mutateJson: Mutator = ({ bytes, draw }) => {
  const text = spoilJson(new TextDecoder().decode(bytes), draw);
  return text && { bytes: new TextEncoder().encode(text.text), change: text.change };
};

/** Spoils JSON text; undefined where it is not JSON any more, or nothing was changed. */
export function spoilJson(text: string, draw: Draw): { readonly text: string; readonly change: string } | undefined {
  const value = parseShallow(text);
  if (value === undefined) return undefined;
  const root = toTree(value);
  const all = places(root);
  // Without this, long vocabularies would have all changes.
  const shallow = all.filter(({ path }) => path.split(".").length <= 2);
  const place = draw.pick(draw.once(2) && shallow.length > 0 ? shallow : all);
  const inner = place.node.kind === "raw" && /^"[[{]/.test(place.node.text) && !draw.once(4)
    ? spoilInner(root, place, draw)
    : undefined;
  const changed = inner ?? draw.pick(CHANGES)(root, place, draw, all);
  return changed && { text: render(changed[0]), change: changed[1] };
}

/** JSON within a text of JSON, as metadata have it. */
function spoilInner(root: Node, place: Place, draw: Draw): [Node, string] | undefined {
  const { node, path } = place;
  if (node.kind !== "raw") return undefined;
  const inner = spoilJson(JSON.parse(node.text), draw);
  if (inner === undefined) return undefined;
  const text = JSON.stringify(inner.text);
  return [replace(root, place, { kind: "raw", text }), `in ${path}: ${inner.change}`];
}

function put(root: Node, place: Place, draw: Draw): [Node, string] {
  const text = draw.pick(VALUES);
  return [replace(root, place, { kind: "raw", text }), `${place.path} becomes ${text}`];
}

/** Changes a number a little, or its sign or kind. */
function nudge(root: Node, place: Place, draw: Draw, all: readonly Place[]): [Node, string] | undefined {
  const numbers = all.filter(({ node }) => node.kind === "raw" && /^-?\d/.test(node.text));
  if (numbers.length === 0) return put(root, place, draw);
  const chosen = draw.pick(numbers);
  if (chosen.node.kind !== "raw") return undefined;
  const value = Number(chosen.node.text);
  const text = draw.pick([
    ...[value + 1, value - 1, value * 2, Math.floor(value / 2), -value, value + 0.5, value * 1000].map(String),
    `"${value}"`,
    `[${value}]`,
  ]);
  return [replace(root, chosen, { kind: "raw", text }), `${chosen.path} becomes ${text} instead of ${value}`];
}

function toRaw(node: Node): Node {
  return { kind: "raw", text: render(node) };
}
