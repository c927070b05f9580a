/**
 * Values that know where they were written: YAML files and `--set` arguments as one kind of tree, and their merging.
 *
 * Not validation (`problems.ts`): any YAML that parses becomes a tree here.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, parseDocument } from "yaml";

/** A text that values come from. */
export interface Source {
  readonly kind: "file" | "set";
  /** As people see it: a path, or the argument's name. */
  readonly name: string;
  /** What relative paths in it are relative to: an absolute folder. */
  readonly folder: string;
  readonly text: string;
}

/** A piece of a source, from `start` up to, without, `end`, in UTF-16 units. */
export interface Span {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

/** A scalar that YAML can hold. */
export type Scalar = string | number | boolean | null;

/** One value and where it was written. */
export type Located =
  | { readonly kind: "scalar"; readonly value: Scalar; readonly at: Span }
  | { readonly kind: "list"; readonly items: readonly Located[]; readonly at: Span }
  | { readonly kind: "map"; readonly entries: ReadonlyMap<string, Entry>; readonly at: Span };

/** A key of a map with its value. */
export interface Entry {
  readonly key: Span;
  readonly value: Located;
}

/** Something that is wrong with the text itself. */
export interface Fault {
  readonly at: Span;
  readonly message: string;
  readonly note?: string;
}

/** Nodes a text may expand to, so that aliases of aliases cannot fill the memory. */
const MOST_NODES = 100_000;

/**
 * Reads YAML into a tree.
 *
 * @param source text and its name
 * @param offset where in the source's text `yaml` starts
 * @param yaml the text to read; by default all of it
 * @returns the tree (undefined where nothing could be made of the text) and everything wrong with it
 */
export function readYaml(source: Source, offset = 0, yaml = source.text): { tree?: Located; faults: Fault[] } {
  const faults: Fault[] = [];
  const document = parseDocument(yaml, { prettyErrors: false, logLevel: "silent" });
  for (const error of [...document.errors, ...document.warnings]) {
    const [start, end] = error.pos;
    const word = /^[^\s:,[\]{}]*/.exec(yaml.slice(start))?.[0].length ?? 0;
    const at = span(source, offset, [start, error.code === "DUPLICATE_KEY" ? start + word : end]);
    faults.push({ at, ...explain(error.code, error.message) });
  }
  if (document.errors.length > 0) return { faults };
  const state = { source, offset, document, faults, nodes: 0, open: new Set<unknown>() };
  return { tree: convert(document.contents, state, [0, 0]), faults };
}

/** Where two trees are laid over one another. */
export interface Overlay {
  /** Keys that name the form of the map at a path, where it is one of several; default: no map is. */
  readonly forms?: (path: readonly string[]) => readonly string[];
  /** Keys that lead to both trees. */
  readonly path?: readonly string[];
}

/**
 * Lays one tree over another: maps are merged key by key, everything else is replaced. Where a map is one of several
 * forms (a model on the hub or in a folder), naming another form replaces the whole map.
 *
 * @param under what is overridden
 * @param over what overrides
 */
export function overlay(under: Located, over: Located, { forms = () => [], path = [] }: Overlay = {}): Located {
  if (under.kind === "list" && over.kind === "map") return overlayItems(under, over, { forms, path });
  if (under.kind !== "map" || over.kind !== "map") return over;
  // Arguments complete one another in any order.
  if (under.at.source.kind === "file" && startsAnew(under.entries, over.entries, forms(path))) return over;
  const entries = new Map(under.entries);
  for (const [key, entry] of over.entries) {
    const before = entries.get(key);
    entries.set(key, before ? overlayEntry(before, entry, { forms, path: [...path, key] }) : entry);
  }
  return { kind: "map", entries, at: over.at.source.kind === "set" ? under.at : over.at };
}

/** The plain value of a tree. */
export function plain(tree: Located): unknown {
  if (tree.kind === "scalar") return tree.value;
  if (tree.kind === "list") return tree.items.map(plain);
  return Object.fromEntries([...tree.entries].map(([key, entry]) => [key, plain(entry.value)]));
}

/** The value and the key's place at a path, or undefined where the tree does not reach. */
export function find(tree: Located, path: readonly PropertyKey[]): { value: Located; key?: Span } | undefined {
  let found: { value: Located; key?: Span } = { value: tree };
  for (const step of path) {
    const { value } = found;
    if (value.kind === "map") {
      const entry = value.entries.get(String(step));
      if (!entry) return undefined;
      found = entry;
    } else if (value.kind === "list" && value.items[Number(step)]) {
      found = { value: value.items[Number(step)] };
    } else return undefined;
  }
  return found;
}

/** Line and column, both from 1, columns in characters, of an offset. */
export function position(source: Source, offset: number): { line: number; column: number } {
  const before = source.text.slice(0, offset).split("\n");
  return { line: before.length, column: [...before[before.length - 1]].length + 1 };
}

interface Conversion {
  readonly source: Source;
  readonly offset: number;
  readonly document: Document;
  readonly faults: Fault[];
  readonly open: Set<unknown>;
  nodes: number;
}

function convert(node: unknown, state: Conversion, around: readonly [number, number]): Located | undefined {
  const range = rangeOf(node) ?? around;
  const at = span(state.source, state.offset, range);
  if (++state.nodes > MOST_NODES) {
    if (state.nodes === MOST_NODES + 1) {
      state.faults.push({ at, message: `the text expands to more than ${MOST_NODES} values` });
    }
    return undefined;
  }
  if (isAlias(node)) return convertAlias(node, state, at);
  if (isScalar(node)) {
    const { value } = node;
    if (value === null || ["string", "number", "boolean"].includes(typeof value)) {
      return { kind: "scalar", value: value as Scalar, at };
    }
    state.faults.push({ at, message: "this kind of value has no meaning in a recipe" });
    return undefined;
  }
  if (isSeq(node)) {
    const items = node.items.map((item) => convert(item, state, range));
    return { kind: "list", items: items.filter((item) => item !== undefined), at };
  }
  if (isMap(node)) {
    const entries = new Map<string, Entry>();
    for (const pair of node.items) {
      const key = span(state.source, state.offset, rangeOf(pair.key) ?? range);
      if (!isScalar(pair.key) || pair.key.value === null) {
        state.faults.push({ at: key, message: "a key must be a word" });
        continue;
      }
      const value = convert(pair.value, state, [key.end - state.offset, key.end - state.offset]);
      if (value) entries.set(String(pair.key.value), { key, value });
    }
    return { kind: "map", entries, at };
  }
  return { kind: "scalar", value: null, at };
}

function convertAlias(alias: { source: string; resolve(document: Document): unknown }, state: Conversion, at: Span) {
  const target = alias.resolve(state.document);
  if (target === undefined || state.open.has(target)) {
    const what = target === undefined ? "has no anchor before it" : "refers to a value that contains it";
    state.faults.push({ at, message: `alias \`*${alias.source}\` ${what}` });
    return undefined;
  }
  state.open.add(target);
  const value = convert(target, state, [at.start - state.offset, at.end - state.offset]);
  state.open.delete(target);
  return value;
}

function rangeOf(node: unknown): readonly [number, number] | undefined {
  const range = (node as { range?: readonly number[] | null } | null)?.range;
  return range ? [range[0], range[1]] : undefined;
}

function span(source: Source, offset: number, [start, end]: readonly [number, number]): Span {
  return { source, start: offset + start, end: offset + Math.max(start, end) };
}

function explain(code: string, message: string): { message: string; note?: string } {
  if (code === "DUPLICATE_KEY") {
    return { message: "this key is given twice in one map", note: "keep one of them" };
  }
  if (code === "TAB_AS_INDENT") return { message: "YAML is indented with spaces, not with tabs" };
  if (code === "MULTIPLE_DOCS") return { message: "a recipe is one YAML document", note: "remove the `---` inside it" };
  return { message: `this is not YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}` };
}

function startsAnew(under: ReadonlyMap<string, Entry>, over: ReadonlyMap<string, Entry>, forms: readonly string[]) {
  const named = forms.filter((key) => over.has(key));
  if (named.length === 0) return false;
  // A revision belongs to one repository only.
  return !named.some((key) => under.has(key)) || named.includes("hub");
}

function overlayEntry(before: Entry, entry: Entry, options: Overlay): Entry {
  const value = overlay(before.value, entry.value, options);
  // A map that an argument only adds to is still the file's.
  return { key: value.at.source === before.value.at.source ? before.key : entry.key, value };
}

/** `--set list.0.key=value` changes one item of a list. */
function overlayItems(
  under: Located & { kind: "list" },
  over: Located & { kind: "map" },
  { path = [], ...options }: Overlay,
) {
  const keys = [...over.entries.keys()];
  if (over.at.source.kind !== "set" || !keys.every((key) => /^\d+$/.test(key) && Number(key) < under.items.length)) {
    return over;
  }
  const items = [...under.items];
  for (const [key, entry] of over.entries) {
    items[Number(key)] = overlay(items[Number(key)], entry.value, { ...options, path: [...path, key] });
  }
  return { kind: "list", items, at: under.at } as const;
}
