/**
 * The points of a sweep: which values stand at which paths, from `matrix`, `include`, `exclude` and `repeats`.
 *
 * Not the recipes that come of them (`sweep.ts`): whether a path or value means anything is found out there.
 */
import type { Problem } from "./diagnostics.ts";
import { type Entry, type Located, plain, type Source, type Span } from "./located.ts";
import { nearest } from "./suggest.ts";
import { type SweepEntries, SweepKeys } from "./sweep_keys.ts";

/** One value at one path. */
export interface Setting {
  /** Keys joined by dots; or `extends`. */
  readonly path: string;
  /** Where the path stands. */
  readonly key: Span;
  readonly value: Located;
}

/** The points of a sweep. */
export interface Points {
  /** Paths in which points differ, as they are first named. */
  readonly axes: readonly string[];
  /** Of these, those that only repeat. */
  readonly repeats: readonly string[];
  /** The settings of each, in the order of the axes. */
  readonly points: readonly (readonly Setting[])[];
}

/** A path with the values that it takes. */
interface Axis {
  readonly path: string;
  readonly key: Span;
  readonly values: readonly Located[];
}

/** Points that are never made: their list alone would fill the memory. */
const TOO_MANY = 1_000_000;

/**
 * Makes the points.
 *
 * @param most points that are taken for meant
 * @param problems what is wrong is added
 * @returns undefined where nothing can be made of it
 */
export function listPoints(
  entries: SweepEntries,
  { most, problems }: { readonly most: number; readonly problems: Problem[] },
): Points | undefined {
  const before = problems.length;
  const complain = (at: Span, message: string, more: Partial<Problem> = {}) =>
    problems.push({ severity: "error", at, message, ...more });
  const { matrix, include, exclude, repeats } = asPoints(entries);
  const anchor = matrix ?? include;
  if (anchor === undefined) {
    const [stray] = [exclude, repeats].filter((each) => each !== undefined);
    if (stray) complain(stray.key, "there are no points to choose from", { note: "add `matrix` or `include`" });
    return undefined;
  }
  const product = matrix ? readAxes(matrix.value, "matrix", complain) : undefined;
  const more = include ? readMaps(include, "include", complain) : [];
  const axes = [...new Set([...product ?? [], ...more.flat()].map(({ path }) => path))];
  const without = exclude ? readMaps(exclude, "exclude", complain) : [];
  for (const { path, key } of without.flat()) {
    if (!axes.includes(path)) {
      complain(key, `no point has a value of its own at ${path}`, suggest(path, axes));
    }
  }
  const repeated = repeats ? readRepeats(repeats, axes, complain) : [];
  if (problems.length > before) return undefined;

  const [whole, given] = [product ? sizeOf(product) : 0, more.reduce((sum, each) => sum + sizeOf(each), 0)];
  if (whole + given > TOO_MANY) {
    complain(anchor.key, `the sweep has ${count(whole + given)} points, and can have ${count(TOO_MANY)}`);
    return undefined;
  }
  const made = product && product.length > 0 ? combine(product) : [];
  const left = made.filter((point) => !without.some((map) => matches(point, map)));
  for (const [at, map] of without.entries()) {
    if (made.some((point) => matches(point, map))) continue;
    const { at: place } = exclude?.value.kind === "list" ? exclude.value.items[at] : exclude!.value;
    problems.push({ severity: "warning", at: place, message: "no point of the matrix has these values" });
  }
  const points = [...left, ...more.flatMap(combine)];
  if (points.length === 0) {
    if (made.length > 0) complain(exclude!.key, `all points are excluded (${count(made.length)})`);
    else complain(anchor.key, "the sweep has no points", { note: "give `matrix` a path with a list of values" });
    return undefined;
  }
  if (points.length > most) {
    complain(anchor.key, `the sweep has ${count(points.length)} points, more than ${count(most)}`, {
      note: "where that is meant, give --yes",
    });
    return undefined;
  }
  return { axes, repeats: repeated, points };
}

/** Two values that no recipe can tell apart have the same text. */
export function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, inner) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : 1));
  }) ?? "";
}

type Complain = (at: Span, message: string, more?: Partial<Problem>) => void;

/** A map of paths to lists of values. */
function readAxes(value: Located, name: "matrix" | "include" | "exclude", complain: Complain): Axis[] {
  if (value.kind !== "map") {
    complain(value.at, name === "matrix" ? "`matrix` takes a map" : `\`${name}\` takes a list of maps`, {
      allowed: "paths such as `stages.NAME.key`, each with a list of values",
    });
    return [];
  }
  return [...value.entries].flatMap(([path, entry]) => {
    if (!checkPath(path, entry.key, complain)) return [];
    const { value } = entry;
    if (value.kind !== "list" && name === "matrix") {
      const at = value.at.start === value.at.end ? entry.key : value.at;
      complain(at, `${path} takes a list of values here`, { note: "one value is a list too: `[4]`" });
      return [];
    }
    const values = value.kind === "list" ? value.items : [value];
    if (values.length === 0) complain(value.at, `${path} has no values, so that there would be no points`);
    return values.length === 0 ? [] : [{ path, key: entry.key, values }];
  });
}

function readMaps({ value }: Entry, name: "include" | "exclude", complain: Complain): Axis[][] {
  if (value.kind !== "list") {
    complain(value.at, `\`${name}\` takes a list of maps`, { note: "begin each map with `- `" });
    return [];
  }
  return value.items.map((item) => {
    const axes = readAxes(item, name, complain);
    if (item.kind === "map" && item.entries.size === 0) complain(item.at, `a map of \`${name}\` says nothing`);
    return axes;
  });
}

function readRepeats({ value }: Entry, axes: readonly string[], complain: Complain): string[] {
  if (value.kind !== "list") {
    complain(value.at, "`repeats` takes a list of paths");
    return [];
  }
  return value.items.flatMap((item) => {
    const path = item.kind === "scalar" ? String(item.value) : "";
    if (axes.includes(path)) return [path];
    complain(item.at, `no point has a value of its own at ${path || "this"}`, suggest(path, axes));
    return [];
  });
}

/** Where a path is no path at all; a path to nothing is found when recipes are made. */
function checkPath(path: string, at: Span, complain: Complain): boolean {
  const [first, ...rest] = path.split(".");
  if ([first, ...rest].some((key) => key.trim() === "" || key !== key.trim())) {
    complain(at, "a path is keys joined with single dots", { note: "for example `stages.NAME.key`" });
    return false;
  }
  if (!Object.hasOwn(SweepKeys, first)) return true;
  complain(at, "a point cannot be a sweep itself");
  return false;
}

function suggest(path: string, axes: readonly string[]): Partial<Problem> {
  return { allowed: axes.join(", "), suggestion: nearest(path, axes) };
}

function sizeOf(axes: readonly Axis[]): number {
  return axes.reduce((product, { values }) => product * values.length, 1);
}

/** All combinations, the last path changing first. */
function combine(axes: readonly Axis[]): Setting[][] {
  return axes.reduce<Setting[][]>(
    (points, { path, key, values }) =>
      points.flatMap((point) => values.map((value) => [...point, { path, key, value }])),
    [[]],
  );
}

function matches(point: readonly Setting[], map: readonly Axis[]): boolean {
  return map.every(({ path, values }) => {
    const own = point.find((setting) => setting.path === path);
    return own !== undefined && values.some((value) => textOf(plain(value)) === textOf(plain(own.value)));
  });
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** The same parts, as texts that state values of points. */
function asPoints(entries: SweepEntries): SweepEntries {
  const sources = new Map<Source, Source>();
  const span = (at: Span): Span => {
    const source = sources.get(at.source) ?? { ...at.source, kind: "point" as const };
    sources.set(at.source, source);
    return { ...at, source };
  };
  const tree = (value: Located): Located => {
    const at = span(value.at);
    if (value.kind === "scalar") return { ...value, at };
    if (value.kind === "list") return { ...value, at, items: value.items.map(tree) };
    return { ...value, at, entries: new Map([...value.entries].map(([key, each]) => [key, entry(each)])) };
  };
  const entry = ({ key, value }: Entry): Entry => ({ key: span(key), value: tree(value) });
  return Object.fromEntries(Object.entries(entries).map(([name, each]) => [name, entry(each)]));
}
