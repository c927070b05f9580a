/** What points of a sweep are called: by the values in which they differ, as short as it can be. */
import { type Located, plain } from "./located.ts";
import { type Points, textOf } from "./sweep_points.ts";

/** Names of one point. */
export interface PointName {
  /** As people call it: `keep 4, group_size 64`. */
  readonly label: string;
  /** The same as the name of a file: `keep-4-group_size-64`. */
  readonly id: string;
}

/** Most characters of one value, and of a whole label. */
const [LONGEST_VALUE, LONGEST] = [40, 80];

/**
 * Names all points of a sweep, each unlike the others.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const at = { source: { kind: "point", name: "a.yaml", folder: "/", text: "" }, start: 0, end: 0 } as const;
 * const setting = (path: string, value: string | number) => ({ path, key: at, value: { kind: "scalar", value, at } as const });
 * const points = [4, 5].map((keep) => [setting("extends", "methods/pbs2p.yaml"), setting("stages.coarse-search.keep", keep)]);
 * const names = namePoints({ axes: ["extends", "stages.coarse-search.keep"], repeats: [], points });
 * assert.deepEqual(names, [{ label: "keep 4", id: "keep-4" }, { label: "keep 5", id: "keep-5" }]);
 * ```
 */
export function namePoints({ axes, points }: Points): PointName[] {
  const tables = points.map((settings) => new Map(settings.map(({ path, value }) => [path, value])));
  const valuesOf = (axis: string) => tables.map((table) => table.get(axis));
  const varying = axes.filter((axis) => new Set(valuesOf(axis).map((value) => value && textOf(plain(value)))).size > 1);
  const shown = varying.length > 0 ? varying : axes;
  const names = shortNames(axes, shown);
  const words = new Map(axes.map((axis) => [axis, shortTexts(valuesOf(axis), axis)]));
  const partsOf = (table: ReadonlyMap<string, Located>, of: readonly string[]) =>
    of.flatMap((axis) => {
      const value = table.get(axis);
      return value === undefined ? [] : [partOf(axis, value, { names, words: words.get(axis) })];
    });
  const labels = tables.map((table) => {
    const parts = partsOf(table, shown);
    return cut((parts.length > 0 ? parts : partsOf(table, axes)).join(", "), LONGEST);
  });
  const ids = unlike(labels.map(slug), "-");
  return unlike(labels, " #").map((label, at) => ({ label, id: ids[at] }));
}

interface Words {
  readonly names: ReadonlyMap<string, string>;
  readonly words?: ReadonlyMap<string, string>;
}

function partOf(axis: string, value: Located, { names, words }: Words): string {
  const name = names.get(axis) ?? axis;
  if (value.kind === "map") return `${name} ${leavesOf(plain(value)) || "on"}`;
  const wordsOf = (each: Located): string => words?.get(textOf(plain(each))) ?? wordOf(plain(each));
  const text = cut(
    axis === "extends" && value.kind === "list" ? value.items.map(wordsOf).join("+") : wordsOf(value),
    LONGEST_VALUE,
  );
  return axis === "extends" ? text : `${name} ${text}`;
}

/** The last keys of each path, as many as tell it from the others. */
function shortNames(axes: readonly string[], shown: readonly string[]): Map<string, string> {
  return new Map(axes.map((axis) => {
    const keys = axis.split("."), others = shown.filter((each) => each !== axis);
    const tails = keys.map((_, at) => keys.slice(at).join(".")).reverse();
    // The number of an item says nothing without its list.
    const tail = tails.find((each) => !/^\d/.test(each) && !others.some((other) => `.${other}`.endsWith(`.${each}`)));
    return [axis, tail ?? axis];
  }));
}

/** Texts that look like paths by their ends, as much of those as tells them apart; by their values' texts. */
function shortTexts(values: readonly (Located | undefined)[], axis: string): Map<string, string> {
  const parts = values.filter((value) => value !== undefined)
    .flatMap((value) => axis === "extends" && value.kind === "list" ? value.items : [value]);
  const texts = new Set(
    parts.flatMap((value) => value.kind === "scalar" && typeof value.value === "string" ? [value.value] : []),
  );
  const all = [...texts], keysOf = (text: string) => text.replace(/\.ya?ml$|\/+$/, "").split("/");
  const isPath = axis === "extends" || all.some((text) => text.includes("/"));
  const most = Math.max(1, ...all.map((text) => keysOf(text).length));
  for (let length = 1; isPath && length <= most; length++) {
    const short = all.map((text) => keysOf(text).slice(-length).join("/"));
    if (new Set(short).size === all.length) return new Map(all.map((text, at) => [textOf(text), short[at]]));
  }
  return new Map();
}

/** A map's innermost values: `keep 4, of 8`. */
function leavesOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return "";
  return Object.entries(value).map(([key, inner]) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? `${key} ${leavesOf(inner)}`
      : `${key} ${cut(wordOf(inner), LONGEST_VALUE)}`
  ).join(", ");
}

function wordOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (value === null) return "nothing";
  if (!Array.isArray(value)) return typeof value === "object" ? leavesOf(value) : String(value);
  return value.map((item) =>
    typeof item === "object" && item !== null && !Array.isArray(item) && "name" in item
      ? String(item.name)
      : wordOf(item)
  ).join("+");
}

/** Text without what would break a line or a name. */
function cut(text: string, most: number): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  const characters = [...line];
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : line;
}

function slug(label: string): string {
  return label.normalize("NFC").replace(/[^\p{L}\p{M}\p{N}._+]+/gu, "-").replace(/^[-.\p{M}]+|[-.]+$/gu, "") || "point";
}

/** Numbers names that are alike, from the second one on; upper and lower case are one, as some file systems have it. */
function unlike(names: readonly string[], mark: string): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let number = 2; taken.has(free.toLowerCase()); number++) free = `${name}${mark}${number}`;
    taken.add(free.toLowerCase());
    return free;
  });
}
