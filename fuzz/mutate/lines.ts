/** Changes of text by its lines: YAML, NDJSON, merges. */
import type { Draw } from "../draw.ts";
import { spoilJson } from "./json.ts";
import type { Mutator } from "./mutator.ts";

type Change = (lines: string[], at: number, draw: Draw) => string;

/** What is put among lines, and within them. */
const LINES: readonly string[] = [
  ...[
    "---",
    "...",
    "%YAML 1.2",
    "\t",
    "<<: *a",
    "a: &a {b: 1}",
    "&a",
    "*a",
    "? x",
    "- x",
    "x",
    "{",
    "]",
    "#",
    "!!binary x",
  ],
  ...["x: !!js/function y", "__proto__: {x: 1}", "constructor: 1", "a: &a [*a]", "\u0000", "'", "|", ": :", "stages:"],
];

const VALUES: readonly string[] = [
  ...["", "~", "null", "yes", "0", "-1", "0.5", "1e999", ".inf", "-.inf", ".nan", "0x10", "0o7", "1_000", "2026-01-01"],
  ...[
    "9007199254740992",
    "[]",
    "{}",
    "[[[]]]",
    "{a: 1}",
    "''",
    '""',
    '"\\x00"',
    "*a",
    "&a",
    "!!int x",
    "|",
    ">",
    "@",
    "`",
  ],
  ...["x".repeat(20_000), "[".repeat(2000), "{a: ".repeat(2000), "../../x", "/dev/null/x", "\u202e", "\ud83e\udd99"],
];

const CHANGES: readonly Change[] = [
  (lines, at) => (lines.splice(at, 1), "is gone"),
  (lines, at) => (lines.splice(at, 0, lines[at]), "is there twice"),
  (lines, at, draw) => {
    const [to] = [draw.below(lines.length)];
    [lines[at], lines[to]] = [lines[to], lines[at]];
    return `changes places with line ${to + 1}`;
  },
  (lines, at) => (lines[at] = ` ${lines[at]}`, "is indented"),
  (lines, at) => (lines[at] = lines[at].replace(/^ {1,2}/, ""), "is indented less"),
  (lines, at) => (lines[at] = lines[at].replace(/^ *| {2}/, "\t"), "has a tab"),
  (lines, at, draw) => {
    const line = draw.pick(LINES);
    const indent = /^ */.exec(lines[at])?.[0] ?? "";
    lines.splice(at, 0, (draw.once(2) ? indent : "") + line);
    return `comes after ${JSON.stringify(line)}`;
  },
  setValue,
  setValue,
  setValue,
  (lines, at, draw) => {
    const key = draw.pick(["__proto__", "x", "", "extends", "stages", "model", "pack", "1", "'", "<<", "toString"]);
    lines[at] = lines[at].replace(/[\w-]+(?=:)/, () => key);
    return `has the key ${JSON.stringify(key)}`;
  },
  (lines, at, draw) => {
    const letter = draw.pick([..."'\"{}[]:,&*#?|>%@`!\\-\t\r\0"]);
    const to = draw.below(lines[at].length + 1);
    lines[at] = lines[at].slice(0, to) + letter + lines[at].slice(to);
    return `has ${JSON.stringify(letter)} at ${to}`;
  },
  (lines, at) => {
    const joined = lines.splice(at, 2).join(" ");
    lines.splice(at, 0, joined);
    return "is one with the next";
  },
  (lines, at, draw) => {
    const spoilt = spoilJson(lines[at], draw);
    if (spoilt) lines[at] = spoilt.text;
    else lines[at] = lines[at].toUpperCase();
    return spoilt ? `has ${spoilt.change}` : "is in capitals";
  },
];

/** Spoils one line. */
export const mutateLines: Mutator = ({ bytes, draw }) => {
  const lines = new TextDecoder().decode(bytes).split("\n");
  const at = draw.below(lines.length);
  const change = draw.pick(CHANGES)(lines, at, draw);
  return { bytes: new TextEncoder().encode(lines.join("\n")), change: `line ${at + 1} ${change}` };
};

/** Spoils a line of JSON as JSON. */
export const mutateJsonLine: Mutator = ({ bytes, draw }) => {
  const lines = new TextDecoder().decode(bytes).split("\n");
  const at = draw.below(lines.length);
  const spoilt = spoilJson(lines[at], draw);
  if (spoilt === undefined) return undefined;
  lines[at] = spoilt.text;
  return { bytes: new TextEncoder().encode(lines.join("\n")), change: `line ${at + 1}: ${spoilt.change}` };
};

function setValue(lines: string[], at: number, draw: Draw): string {
  const value = draw.pick(VALUES);
  lines[at] = lines[at].replace(/(:\s*)[^:,{}]*?(?=[,}]|$)/, (_all, colon: string) => `${colon.trimEnd()} ${value}`);
  return `has the value ${JSON.stringify(value.slice(0, 40))}`;
}
