/** JSON as a tree that can hold what no JSON value can: repeated keys, numbers out of range, text that is not JSON. */

/** A node: text as it will be written, a list, or a map whose keys may repeat. */
export type Node =
  | { kind: "raw"; text: string }
  | { kind: "list"; items: Node[] }
  | { kind: "map"; entries: [key: string, value: Node][] };

/** Where a node hangs. */
export interface Place {
  readonly node: Node;
  /** For people: `layers.0.name`. */
  readonly path: string;
  /** The list or map that holds it, and its index there; the root has none. */
  readonly holder?: Exclude<Node, { kind: "raw" }>;
  readonly index: number;
}

/** Levels of nesting that trees are made of; deeper text is left as it is, whatever stack there is. */
const DEEPEST = 200;

/** Reads JSON as it is; undefined where it is none, or too deep to be changed. */
export function parseShallow(text: string): unknown {
  let depth = 0;
  for (const letter of text) {
    if (letter === "[" || letter === "{") depth++;
    else if (letter === "]" || letter === "}") depth--;
    if (depth > DEEPEST) return undefined;
  }
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A value as a tree. */
export function toTree(value: unknown): Node {
  if (Array.isArray(value)) return { kind: "list", items: value.map(toTree) };
  if (typeof value === "object" && value !== null) {
    return { kind: "map", entries: Object.entries(value).map(([key, inner]) => [key, toTree(inner)]) };
  }
  return { kind: "raw", text: JSON.stringify(value) };
}

/** A tree as text. */
export function render(node: Node): string {
  if (node.kind === "raw") return node.text;
  if (node.kind === "list") return `[${node.items.map(render).join(",")}]`;
  return `{${node.entries.map(([key, value]) => `${JSON.stringify(key)}:${render(value)}`).join(",")}}`;
}

/** All nodes, the root first. */
export function places(root: Node): Place[] {
  const found: Place[] = [{ node: root, path: "", index: 0 }];
  for (let at = 0; at < found.length; at++) {
    const { node, path } = found[at];
    const under = (key: string | number) => path === "" ? `${key}` : `${path}.${key}`;
    if (node.kind === "list") {
      node.items.forEach((item, index) => found.push({ node: item, path: under(index), holder: node, index }));
    } else if (node.kind === "map") {
      node.entries.forEach(([key, value], index) => found.push({ node: value, path: under(key), holder: node, index }));
    }
  }
  return found;
}

/** Puts another node in a node's place. @returns the root, which may be the new node */
export function replace(root: Node, { holder, index }: Place, node: Node): Node {
  if (holder === undefined) return node;
  if (holder.kind === "list") holder.items[index] = node;
  else holder.entries[index][1] = node;
  return root;
}
