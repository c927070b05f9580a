/**
 * From a tree of located values to a recipe, or to everything that is wrong with it.
 *
 * What zod says is put into words here, per value and key; rules between keys are checked by `rules.ts`.
 */
import * as z from "zod";
import { describe, describeValue, mayBeLeftOut, step, unwrap } from "./describe.ts";
import type { Problem } from "./diagnostics.ts";
import { find, type Located, plain, type Span } from "./located.ts";
import type { Recipe, RecipeLanguage } from "./language.ts";
import { checkRules } from "./rules.ts";
import { nearest } from "./suggest.ts";

/** A problem before it has a place. */
interface Finding {
  readonly path: readonly PropertyKey[];
  /** `key`: the key is unknown; `missing`: it is not there; `value`: what stands there is wrong. */
  readonly kind: "key" | "missing" | "value";
  readonly message: string;
  readonly found?: string;
  readonly allowed?: string;
  readonly suggestion?: string;
  readonly note?: string;
}

/**
 * Checks a tree against the schema and the rules between keys.
 *
 * @param incomplete whether parts of the recipe could not be read, so that missing keys mean nothing
 * @returns the recipe with all defaults, where nothing forbids it, and every problem found
 */
export function validate<R extends Recipe>(
  { schema, rules }: RecipeLanguage<R>,
  tree: Located,
  { incomplete = false }: { readonly incomplete?: boolean } = {},
): { recipe?: R; problems: Problem[] } {
  const value = plain(tree);
  const homes = listHomes(schema);
  const findings = findAll(schema, value, []).map((finding) => withHomes(finding, homes));
  const shown = incomplete ? findings.filter(({ kind }) => kind !== "missing") : findings;
  const problems = shown.map((finding): Problem => {
    const { path, kind, ...rest } = withSetting(finding, tree);
    return { severity: "error", at: placeOf(tree, kind === "missing" ? path.slice(0, -1) : path, kind), ...rest };
  });
  // Where a key is misspelt, the one that was meant is not known either.
  const bad = findings.flatMap(({ path, kind, suggestion }) =>
    (kind === "key" ? [path, [...path.slice(0, -1), suggestion ?? ""]] : [path]).map((each) => each.join("."))
  );
  // What could not be read may be what a rule misses.
  const checked = incomplete ? rules.filter(({ partial }) => !partial) : rules;
  const isStated = (at: readonly string[]) => find(tree, at) !== undefined;
  const rest = parseRest(schema, value, findings);
  const broken = rest === undefined ? [] : checkRules(rest, checked, { isStated, bad });
  for (const { path, isKey, ...more } of broken) {
    problems.push({ at: placeOf(tree, path, isKey ? "key" : "value"), ...more });
  }
  return { recipe: findings.length === 0 ? schema.safeParse(value).data : undefined, problems };
}

/** Everything a schema finds in a value. */
function findAll(schema: unknown, value: unknown, base: readonly PropertyKey[]): Finding[] {
  if (!(schema instanceof z.ZodType)) return [];
  // Only sentences written in the schema itself survive as messages.
  const parsed = schema.safeParse(value, { error: () => "" });
  const findings = parsed.error?.issues.flatMap((issue) => explain(issue, schema, value, base)) ?? [];
  const meant = new Set(
    findings.filter(({ kind }) => kind === "key").map(({ path, suggestion }) =>
      [...path.slice(0, -1), suggestion].join(".")
    ),
  );
  return findings.filter(({ kind, path }) => kind !== "missing" || !meant.has(path.join(".")));
}

function explain(
  issue: z.core.$ZodIssue,
  schema: unknown,
  root: unknown,
  base: readonly PropertyKey[],
): Finding[] {
  const reached = descend(schema, root, issue.path);
  const { value } = reached;
  // zod reports what is wrong inside a union where only one of its forms comes near.
  const [here, form] = issue.code === "invalid_union"
    ? [reached.schema, reached.form]
    : resolve(reached.schema, value, reached.form);
  const path = [...base, ...issue.path];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => explainKey(key, here, value, path, form));
  }
  if (value === undefined) {
    const allowed = describe(here);
    const at = path.length > 1 ? ` in ${nameOf(path.slice(0, -1))}` : "";
    return [{
      path,
      kind: "missing",
      message: `missing key \`${String(path[path.length - 1])}\`${at}`,
      allowed,
      note: otherForms(form),
    }];
  }
  if (issue.code === "invalid_union" && here instanceof z.ZodUnion) {
    const branch = chooseForm(here, value);
    if (branch && !(unwrap(branch) instanceof z.ZodEnum)) {
      const other = otherForms({ union: here, branch });
      return findAll(branch, value, path).map((each) =>
        each.kind !== "value" && each.path.length === path.length + 1 ? { ...each, note: each.note ?? other } : each
      );
    }
  }
  const note = issue.message === "" ? undefined : issue.message;
  const words = wordsOf(here);
  const suggestion = note === undefined && typeof value === "string" ? nearest(value, words) : undefined;
  return [{
    path,
    kind: "value",
    message: `${path.length > 0 ? nameOf(path) : "the recipe"} cannot be ${describeValue(value)}`,
    allowed: issue.code === "too_big" && issue.maximum === 0 ? "an empty list" : describe(here),
    suggestion,
    note: note ?? (suggestion === undefined ? undefined : strangeLetter(String(value))),
  }];
}

function explainKey(
  key: string,
  schema: unknown,
  value: unknown,
  path: readonly PropertyKey[],
  form: Form | undefined,
): Finding {
  const allowed = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const given = value as object;
  const suggestion = nearest(key, allowed.filter((each) => !Object.hasOwn(given, each))) ?? nearest(key, allowed);
  const strange = suggestion === undefined ? undefined : strangeLetter(key);
  return {
    path: [...path, key],
    kind: "key",
    message: `unknown key \`${shorten(key)}\`${path.length > 0 ? ` in ${nameOf(path)}` : ""}`,
    allowed: allowed.join(", "),
    suggestion,
    note: strange ?? otherForms(form) ?? (/^(x-|\.)/.test(key) ? OWN_KEYS : undefined),
  };
}

const OWN_KEYS =
  "recipes have no keys of one's own: `&name` can stand where a value is first used, and `extends` takes another file's";

/** A letter that looks like one of those keys are written with, or like nothing. */
function strangeLetter(text: string): string | undefined {
  const [letter] = text.match(/[^\x20-\x7e]/u) ?? [];
  if (letter === undefined) return undefined;
  const code = letter.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return `there is a U+${code} in it, which is no letter of the English alphabet: type the word anew`;
}

/** A path as text. */
function nameOf(path: readonly PropertyKey[]): string {
  return path.map((key) => shorten(String(key))).join(".");
}

function shorten(key: string): string {
  return key.length > 50 ? `${key.slice(0, 47)}…` : key;
}

/** What `--set a.b=…` makes a map of may be no map at all. */
function withSetting(finding: Finding, tree: Located): Finding {
  const value = finding.kind === "value" ? find(tree, finding.path)?.value : undefined;
  if (value?.kind !== "map" || value.at.source.kind !== "set") return finding;
  const { text } = value.at.source;
  if (text[value.at.start] === "{" || value.at.start > text.indexOf("=")) return finding;
  const name = nameOf(finding.path);
  const [key] = value.entries.keys();
  return {
    ...finding,
    message: finding.allowed === "a list"
      ? `${name} is not in the recipe, so that it has no item ${shorten(key)}`
      : `${name} is no map with keys of its own`,
    note: `a value as a whole is set by \`--set '${name}=…'\``,
  };
}

/** An unknown key that nothing like it explains may belong elsewhere. */
function withHomes(finding: Finding, homes: ReadonlyMap<string, readonly string[]>): Finding {
  const { path, kind, suggestion } = finding, key = String(path[path.length - 1]);
  const here = kind === "key" && suggestion === undefined ? homes.get(key) : undefined;
  return here === undefined ? finding : { ...finding, note: `\`${key}\` belongs to ${here.join(" or ")}` };
}

/** A union and the form of it that a value was taken for. */
interface Form {
  readonly union: z.ZodUnion;
  readonly branch: unknown;
}

/** The schema and value at a path; where several forms are possible, the one that fits best. */
function descend(schema: unknown, value: unknown, path: readonly PropertyKey[]) {
  let here = unwrap(schema);
  let there = value;
  let form: Form | undefined;
  for (const key of path) {
    [here, form] = resolve(here, there, form);
    here = unwrap(step(here, key));
    there = (there as Record<PropertyKey, unknown> | undefined)?.[key];
    if (here instanceof z.ZodUnion) form = undefined;
  }
  return { schema: here, value: there, form };
}

function resolve(schema: unknown, value: unknown, form: Form | undefined): [unknown, Form | undefined] {
  if (!(schema instanceof z.ZodUnion)) return [schema, form];
  const branch = chooseForm(schema, value);
  return branch === undefined ? [schema, form] : [unwrap(branch), { union: schema, branch }];
}

/** The form of a union that takes the fewest changes; undefined where the value is of no form's kind. */
function chooseForm(union: z.ZodUnion, value: unknown): unknown {
  let best: unknown;
  let least = Infinity;
  for (const option of union.options) {
    const cost = costOf(unwrap(option), value);
    if (cost < least) [best, least] = [option, cost];
  }
  return best;
}

function costOf(option: unknown, value: unknown): number {
  if (option instanceof z.ZodEnum) return typeof value === "string" ? 1 : Infinity;
  if (!(option instanceof z.ZodObject) || !isMap(value)) return Infinity;
  const given = Object.keys(value);
  const missing = Object.keys(option.shape).filter((key) => !given.includes(key));
  let cost = 0;
  for (const key of given.filter((each) => !Object.hasOwn(option.shape, each))) {
    const meant = nearest(key, missing);
    if (meant !== undefined) missing.splice(missing.indexOf(meant), 1);
    cost += meant === undefined ? 2 : 1;
  }
  return cost + missing.filter((key) => !mayBeLeftOut(option.shape[key])).length;
}

function otherForms(form: Form | undefined): string | undefined {
  const others = form?.union.options.filter((option) => option !== form.branch).map(describe) ?? [];
  return others.length > 0 ? `or else ${others.join(", or ")}` : undefined;
}

/** Words that a text may be. */
function wordsOf(schema: unknown): string[] {
  const here = unwrap(schema);
  if (here instanceof z.ZodEnum) return here.options.map(String);
  return here instanceof z.ZodUnion ? here.options.flatMap(wordsOf) : [];
}

/** Where in a recipe each key belongs. */
function listHomes(schema: unknown): Map<string, string[]> {
  const homes = new Map<string, string[]>();
  const visit = (schema: unknown, path: readonly string[]) => {
    const here = unwrap(schema);
    if (!(here instanceof z.ZodObject)) return;
    for (const [name, inner] of Object.entries(here.shape)) {
      homes.set(name, [...homes.get(name) ?? [], path.length > 0 ? path.join(".") : "the top of the recipe"]);
      visit(inner, [...path, name]);
    }
  };
  visit(schema, []);
  return homes;
}

/** The recipe as it would be without what is wrong: rules between the other keys can still be checked. */
function parseRest(schema: z.ZodObject, value: unknown, findings: readonly Finding[]): unknown {
  const rest = structuredClone(value);
  if (!isMap(rest)) return undefined;
  for (const { path } of findings) {
    const end = looseEnd(schema, path);
    const holder = path.slice(0, end - 1).reduce<unknown>(
      (each, key) => isMap(each) ? each[String(key)] : undefined,
      rest,
    );
    if (isMap(holder)) delete holder[String(path[end - 1])];
  }
  return schema.partial().safeParse(rest).data;
}

/** How many keys of a path lead to something that can be left out alone: nothing in lists, records and unions can. */
function looseEnd(schema: unknown, path: readonly PropertyKey[]): number {
  let here = unwrap(schema);
  for (const [at, key] of path.entries()) {
    if (!(here instanceof z.ZodObject)) return at;
    here = unwrap(step(here, key));
  }
  return path.length;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function placeOf(tree: Located, path: readonly PropertyKey[], kind: Finding["kind"]): Span {
  const found = find(tree, path);
  if (!found) return path.length > 0 ? placeOf(tree, path.slice(0, -1), kind) : tree.at;
  const { value, key } = found;
  if (kind !== "value") return key ?? firstKey(value);
  return key && value.at.start === value.at.end ? key : value.at;
}

function firstKey(tree: Located): Span {
  if (tree.kind !== "map") return tree.at;
  const [first] = tree.entries.values();
  return first?.key.source === tree.at.source ? first.key : { ...tree.at, end: tree.at.start };
}
