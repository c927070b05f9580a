/** `--set path=value` arguments as a tree that is laid over a recipe. */
import type { Problem } from "./diagnostics.ts";
import { type Entry, type Fault, type Located, overlay, type Source, type Span } from "./located.ts";
import { readYaml } from "./read_yaml.ts";
import { SweepKeys } from "./sweep_keys.ts";

/**
 * Reads `--set` arguments: a path of keys joined with dots, `=`, and a value in YAML (a scalar, or `[…]`, `{…}`).
 *
 * @param set arguments without the option's name, e.g. `stages.spbo.iterations=20`; later ones win
 * @param folder what relative paths in them are relative to
 * @returns one tree of them all (undefined where there are none), and what is wrong
 */
export function readSettings(set: readonly string[], folder: string): { tree?: Located; problems: Problem[] } {
  const problems: Problem[] = [];
  const complain = (fault: Fault) => problems.push({ severity: "error", ...fault });
  let tree: Located | undefined;
  for (const argument of set) {
    const source: Source = { kind: "set", name: "--set", folder, text: argument };
    const one = readSetting(source, problems);
    if (one) tree = tree ? overlay(tree, one, { complain }) : one;
  }
  return { tree, problems };
}

function readSetting(source: Source, problems: Problem[]): Located | undefined {
  const { text } = source;
  const equals = text.indexOf("=");
  const whole: Span = { source, start: 0, end: text.length };
  const example = "for example `--set model.path=../my-model`";
  if (equals < 0) {
    problems.push({ severity: "error", at: whole, message: "`--set` takes path=value", note: example });
    return undefined;
  }
  const keys = text.slice(0, equals).split(".");
  if (keys.some((key) => key.trim() === "")) {
    const at = { source, start: 0, end: Math.max(1, equals) };
    problems.push({ severity: "error", at, message: "`--set` takes keys joined with single dots", note: example });
    return undefined;
  }
  if (keys[0] === "extends" || Object.hasOwn(SweepKeys, keys[0])) {
    const message = `\`${keys[0]}\` cannot be set from the command line`;
    problems.push({ severity: "error", at: { source, start: 0, end: equals }, message });
    return undefined;
  }
  // After a key, `---`, `...` and `%` begin no document: one space before them, in place of `=`, says so.
  const { tree, faults } = /\n./.test(text.slice(equals))
    ? readYaml(source, equals + 1, text.slice(equals + 1))
    : readYaml(source, equals, ` ${text.slice(equals + 1)}`);
  problems.push(...faults.map((fault) => ({ severity: "error" as const, ...fault })));
  if (!tree || faults.length > 0) return undefined;
  let value = tree;
  let end = equals;
  for (const key of keys.toReversed()) {
    const at = { source, start: end - key.length, end };
    const entries = new Map<string, Entry>([[key.trim(), { key: at, value }]]);
    value = { kind: "map", entries, at: { source, start: at.start, end: text.length } };
    end = at.start - 1;
  }
  return value;
}
