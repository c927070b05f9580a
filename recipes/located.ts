/**
 * Values that know where they were written: YAML files and `--set` arguments as one kind of tree, and their merging.
 *
 * Not the reading of YAML (`read_yaml.ts`) nor validation (`problems.ts`).
 */
/** A text that values come from. */
export interface Source {
  /** `point`: a sweep's file, as far as it states values of points, which are laid over a recipe as arguments are. */
  readonly kind: "file" | "set" | "point";
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
  readonly allowed?: string;
  readonly note?: string;
}

/** Where two trees are laid over one another. */
export interface Overlay {
  /** Keys that name the form of the map at a path, where it is one of several; default: no map is. */
  readonly forms?: (path: readonly string[]) => readonly string[];
  /** Keys that lead to both trees. */
  readonly path?: readonly string[];
  /** Is told of what an argument names and a list has not; without it such an argument replaces the list. */
  readonly complain?: (fault: Fault) => void;
}

/**
 * Lays one tree over another: maps are merged key by key, everything else is replaced. Where a map is one of several
 * forms (a model on the hub or in a folder), naming another form replaces the whole map.
 *
 * @param under what is overridden
 * @param over what overrides
 */
export function overlay(under: Located, over: Located, options: Overlay = {}): Located {
  const { forms = () => [], path = [] } = options;
  if (under.kind === "list" && over.kind === "map") return overlayItems(under, over, { ...options, path });
  if (under.kind !== "map" || over.kind !== "map") return over;
  // Arguments complete one another in any order.
  if (under.at.source.kind === "file" && startsAnew(under.entries, over.entries, forms(path))) return over;
  const entries = new Map(under.entries);
  for (const [key, entry] of over.entries) {
    const before = entries.get(key);
    entries.set(key, before ? overlayEntry(before, entry, { ...options, path: [...path, key] }) : entry);
  }
  return { kind: "map", entries, at: over.at.source.kind === "file" ? over.at : under.at };
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
  { path = [], complain, ...options }: Overlay,
): Located {
  // A map in braces is a value of its own.
  if (over.at.source.kind === "file" || over.at.source.text[over.at.start] === "{") return over;
  const items = [...under.items];
  for (const [key, { key: at, value }] of over.entries) {
    const item = isIndex(key) ? items[Number(key)] : undefined;
    if (item !== undefined) {
      items[Number(key)] = overlay(item, value, { ...options, complain, path: [...path, key] });
    } else if (complain === undefined) return over;
    else complain({ at, ...noSuchItem(path.join("."), key, items.length) });
  }
  return { kind: "list", items, at: under.at };
}

function noSuchItem(list: string, key: string, length: number): Pick<Fault, "message" | "note" | "allowed"> {
  const has = length === 0 ? "is empty" : length === 1 ? "has 1 item" : `has ${length} items`;
  return {
    message: isIndex(key)
      ? `${list} ${has}: there is no item ${key.length > 12 ? `${key.slice(0, 12)}…` : key}`
      : `${list} is a list: its items are numbered from 0`,
    ...(length > 0 ? { allowed: length === 1 ? "0" : `0 to ${length - 1}` } : {}),
    note: `a list as a whole is set by \`--set '${list}=[…]'\``,
  };
}

function isIndex(key: string): boolean {
  return /^(0|[1-9]\d*)$/.test(key);
}
