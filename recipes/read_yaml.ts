/**
 * YAML as trees that know where each value was written: one document of YAML 1.2, with aliases and merge keys (`<<`).
 *
 * Not validation (`problems.ts`): any YAML that parses becomes a tree here.
 */
import { type Alias, Composer, type Document, isAlias, isMap, isScalar, isSeq, type Pair, Parser } from "yaml";
import type { Entry, Fault, Located, Scalar, Source, Span } from "./located.ts";

/** Values a text may expand to, so that aliases of aliases cannot fill the memory; recipes have a hundred. */
const MOST_NODES = 10_000;

/** Maps and lists inside one another; recipes need six. */
const DEEPEST = 100;

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
  const { document, second } = compose(yaml);
  for (const error of [...document.errors, ...document.warnings]) {
    faults.push({ at: span(source, offset, [error.pos[0], error.pos[1]]), ...explain(error.code, error.message) });
  }
  if (second) faults.push({ at: span(source, offset, second), ...explainSecond(source) });
  const { version } = document.directives?.yaml ?? {};
  if (version !== undefined && version !== "1.2") {
    const [start, end] = wordAt(yaml, Math.max(0, yaml.search(/^%YAML/m)));
    const message = `recipes are YAML 1.2, and this one says it is ${version}`;
    const note = "remove the line; words such as yes, no, on and off are text in YAML 1.2";
    faults.push({ at: span(source, offset, [start, end]), message, note });
  }
  const steering = yaml.search(/(?![\t\n\r\x85])\p{Cc}/u);
  if (steering >= 0) {
    const code = yaml.charCodeAt(steering).toString(16).toUpperCase().padStart(4, "0");
    const message = `the control character U+${code} has no place in YAML`;
    faults.push({ at: span(source, offset, [steering, steering + 1]), message, note: "remove it" });
  }
  if (faults.length > 0) return { faults };
  const reader = new Reader(source, offset, faults);
  return { tree: reader.convert(document.contents, [0, 0]), faults };
}

/** The first document of a text, and where a second one begins that says anything. */
function compose(yaml: string): { document: Document; second?: readonly [number, number] } {
  // Keys given twice are found by the reader, in a time that grows with their number only.
  const composer = new Composer({ prettyErrors: false, uniqueKeys: false });
  const [document, ...later] = composer.compose(new Parser().parse(yaml), true, yaml.length);
  const second = later.find((each) => !saysNothing(each));
  if (second === undefined) return { document };
  const start = second.directives?.docStart ? second.range[0] : second.contents?.range?.[0];
  return { document, second: wordAt(yaml, start ?? second.range[0]) };
}

/** Whether a document is nothing, or comments: one that a last `---` or `...` begins. */
function saysNothing({ contents, errors }: Document): boolean {
  if (errors.length > 0) return false;
  if (contents === null) return true;
  return isScalar(contents) && contents.value === null && contents.source === "" && !contents.tag && !contents.anchor;
}

function explainSecond({ kind }: Source): Pick<Fault, "message" | "note"> {
  return kind === "set" ? { message: "a value is one YAML document, and a second one begins here" } : {
    message: "a recipe is one YAML document, and a second one begins here",
    note: "remove the `---` or `...` between them, or give each a file of its own",
  };
}

/** A document's nodes made into a tree. */
class Reader {
  readonly #source: Source;
  readonly #offset: number;
  readonly #faults: Fault[];
  readonly #anchors = new Map<string, unknown>();
  readonly #named = new Set<unknown>();
  /** What each alias stands for: the last value with its anchor before it. */
  readonly #targets = new Map<Alias, unknown>();
  readonly #open = new Set<unknown>();
  #nodes = 0;

  constructor(source: Source, offset: number, faults: Fault[]) {
    this.#source = source;
    this.#offset = offset;
    this.#faults = faults;
  }

  convert(node: unknown, around: readonly [number, number]): Located | undefined {
    const range = rangeOf(node) ?? around;
    const at = this.#span(range);
    if (++this.#nodes > MOST_NODES) {
      if (this.#nodes === MOST_NODES + 1) this.#fault(at, `the text expands to more than ${MOST_NODES} values`);
      return undefined;
    }
    if (isAlias(node)) return this.#within(node, at, (target) => this.convert(target, range));
    const { anchor } = (node ?? {}) as { anchor?: string };
    if (anchor !== undefined) this.#name(anchor, node);
    if (isScalar(node)) return this.#scalar(node.value, at);
    if (!isSeq(node) && !isMap(node)) return { kind: "scalar", value: null, at };
    if (this.#open.size >= DEEPEST) return this.#fault(at, `more than ${DEEPEST} maps and lists are in one another`);
    this.#open.add(node);
    const tree = isSeq(node) ? this.#list(node.items, range) : this.#map(node.items, range);
    this.#open.delete(node);
    return { ...tree, at };
  }

  #scalar(value: unknown, at: Span): Located | undefined {
    if (typeof value === "string" && !isText(value)) {
      return this.#fault(at, "a text in a recipe cannot hold U+0000 or half of a character");
    }
    if (value === null || ["string", "number", "boolean"].includes(typeof value)) {
      return { kind: "scalar", value: value as Scalar, at };
    }
    return this.#fault(at, "this kind of value has no meaning in a recipe");
  }

  #list(nodes: readonly unknown[], range: readonly [number, number]) {
    const items = nodes.map((item) => this.convert(item, range)).filter((item) => item !== undefined);
    return { kind: "list", items } as const;
  }

  #map(pairs: readonly Pair[], range: readonly [number, number]) {
    const entries = new Map<string, Entry>();
    const merged: Entry[] = [];
    const given = new Set<string>();
    for (const { key: node, value: inner } of pairs) {
      const key = this.#span(rangeOf(node) ?? range);
      const name = this.#keyOf(node, key);
      if (name === undefined) continue;
      if (given.has(name)) {
        this.#fault(key, "this key is given twice in one map", "keep one of them");
        continue;
      }
      given.add(name);
      const end = key.end - this.#offset;
      const value = this.convert(inner, [end, end]);
      if (!value) continue;
      if (name === "<<" && isScalar(node) && node.type === "PLAIN") merged.push({ key, value });
      else entries.set(name, { key, value });
    }
    // What the map itself says counts, wherever `<<` stands; then the first of several that are merged.
    for (const each of merged) this.#merge(each, entries);
    return { kind: "map", entries } as const;
  }

  /** Adds what `<<` names to a map that has not said it itself. */
  #merge({ key, value }: Entry, entries: Map<string, Entry>): void {
    const sources = value.kind === "list" ? value.items : [value];
    for (const source of sources) {
      if (source.kind !== "map") {
        const note = "to build upon another recipe's file, use `extends`";
        this.#fault(value.at, "`<<` takes a map, or a list of maps, such as `*name`", note);
        return;
      }
      for (const [name, entry] of source.entries) if (!entries.has(name)) entries.set(name, { ...entry, key });
    }
  }

  #keyOf(node: unknown, at: Span): string | undefined {
    const target = isAlias(node) ? this.#within(node, at, (target) => target) : node;
    if (isAlias(node) && target === undefined) return undefined;
    const { anchor } = (node ?? {}) as { anchor?: string };
    if (anchor !== undefined) this.#name(anchor, node);
    if (isScalar(target) && target.value !== null && isText(String(target.value))) return String(target.value);
    this.#fault(at, "a key must be a word");
    return undefined;
  }

  /** Where a value is met again by an alias, its anchor may mean another one by then. */
  #name(anchor: string, node: unknown): void {
    if (this.#named.has(node)) return;
    this.#named.add(node);
    this.#anchors.set(anchor, node);
  }

  /** Does something with what an alias stands for. */
  #within<T>(alias: Alias, at: Span, use: (target: unknown) => T): T | undefined {
    const target = this.#targets.get(alias) ?? this.#anchors.get(alias.source);
    if (target === undefined || this.#open.has(target)) {
      const what = target === undefined ? "has no anchor before it" : "refers to a value that contains it";
      return this.#fault(at, `alias \`*${alias.source}\` ${what}`);
    }
    this.#targets.set(alias, target);
    return use(target);
  }

  #fault(at: Span, message: string, note?: string): undefined {
    this.#faults.push({ at, message, ...(note === undefined ? {} : { note }) });
  }

  #span(range: readonly [number, number]): Span {
    return span(this.#source, this.#offset, range);
  }
}

/** Whether a text can be printed, hashed and named a file by. */
function isText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

function rangeOf(node: unknown): readonly [number, number] | undefined {
  const range = (node as { range?: readonly number[] | null } | null)?.range;
  return range ? [range[0], range[1]] : undefined;
}

function span(source: Source, offset: number, [start, end]: readonly [number, number]): Span {
  return { source, start: offset + start, end: offset + Math.max(start, end) };
}

/** The word that begins at an offset. */
function wordAt(text: string, start: number): [number, number] {
  return [start, start + (/^[^\s:,[\]{}]*/.exec(text.slice(start, start + 200))?.[0].length ?? 0)];
}

function explain(code: string, message: string): { message: string; note?: string } {
  if (code === "TAB_AS_INDENT") return { message: "YAML is indented with spaces, not with tabs" };
  if (code === "RESOURCE_EXHAUSTION") return { message: "too many maps and lists are in one another" };
  if (code === "TAG_RESOLVE_FAILED") {
    return { message: `this is no tag that recipes have: ${message.replace(/^[^:]*: */, "")}`, note: "remove it" };
  }
  return { message: `this is not YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}` };
}
