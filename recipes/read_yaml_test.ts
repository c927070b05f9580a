import assert from "node:assert/strict";
import fc from "fast-check";
import { fillEmptyMaps } from "./empty_maps.ts";
import { language } from "../stages/schema.ts";
import { renderDiagnostics, toDiagnostics } from "./diagnostics.ts";
import { overlay, plain, type Source } from "./located.ts";
import { validate } from "./problems.ts";
import { readYaml } from "./read_yaml.ts";
import { readSettings } from "./settings.ts";

const fileOf = (text: string): Source => ({ kind: "file", name: "a.yaml", folder: "/", text });

/** The value of a text, or what is wrong with it as `line:column message`. */
function read(text: string): unknown {
  const { tree, faults } = readYaml(fileOf(text));
  if (faults.length === 0) return tree && plain(tree);
  return toDiagnostics(faults.map((fault) => ({ severity: "error", ...fault })))
    .map(({ line, column, message }) => `${line}:${column} ${message}`);
}

const SECOND = "a recipe is one YAML document, and a second one begins here";
const one = { a: 1 };

const documents: readonly { name: string; text: string; is: unknown }[] = [
  { name: "a second document", text: "a: 1\n---\nb: 2\n", is: [`2:1 ${SECOND}`] },
  { name: "a second document that is broken", text: "a: 1\n---\n{[\n", is: [`2:1 ${SECOND}`] },
  { name: "a second document that is one tag", text: "a: 1\n---\n!!str\n", is: [`2:1 ${SECOND}`] },
  { name: "the first of two faults", text: "a: 1\n\n--- # c\n---\nb: 2\n", is: [`4:1 ${SECOND}`] },
  { name: "text after an end", text: "a: 1\n...\n# c\nb: 2\n", is: [`4:1 ${SECOND}`] },
  { name: "a recipe under a header", text: "title: x\n---\na: 1\n", is: [`2:1 ${SECOND}`] },
  { name: "an empty first document", text: "---\n---\na: 1\n", is: [`2:1 ${SECOND}`] },
  { name: "a document on a separator's line", text: "a: 1\n--- b\n", is: [`2:1 ${SECOND}`] },
  { name: "a start before the recipe", text: "# c\n---\n# c\na: 1\n", is: one },
  { name: "comments after a last start", text: "a: 1\n---\n# c\n\n", is: one },
  { name: "comments and blanks after an end", text: "a: 1\n...\n\n# c\n...\n", is: one },
  { name: "dashes inside a text", text: "a: x --- y\nb: |\n  ---\n", is: { a: "x --- y", b: "---\n" } },
  { name: "the version that recipes have", text: "%YAML 1.2\n---\na: no\n", is: { a: "no" } },
  {
    name: "an older version",
    text: "# c\n%YAML 1.1\n---\na: no\n",
    is: ["2:1 recipes are YAML 1.2, and this one says it is 1.1"],
  },
  { name: "a handle for tags that is not used", text: "%TAG ! tag:x,2000:\n---\na: 1\n", is: one },
  { name: "an unknown directive", text: "%FOO\n---\na: 1\n", is: ["1:1 this is not YAML: unknown directive %FOO"] },
  { name: "an unknown tag", text: "--- !foo\na: 1\n", is: ["1:5 this is no tag that recipes have: !foo"] },
  { name: "a tag that says what is so", text: "--- !!map\na: !!str 1\n", is: { a: "1" } },
];

const MERGES = "`<<` takes a map, or a list of maps, such as `*name`";

const merges: readonly { name: string; text: string; is: unknown }[] = [
  { name: "one map", text: "x: &x { a: 1, b: 2 }\ny: { <<: *x, b: 3 }\n", is: { a: 1, b: 3 } },
  { name: "a map after the map's own keys", text: "x: &x { a: 1, b: 2 }\ny:\n  b: 3\n  <<: *x\n", is: { a: 1, b: 3 } },
  {
    name: "several maps, of which the first counts",
    text: "x: &x { a: 1, b: 2 }\nz: &z { a: 4, c: 5 }\ny: { <<: [*x, *z] }\n",
    is: { a: 1, b: 2, c: 5 },
  },
  {
    name: "maps that merge maps",
    text: "x: &x { a: 1 }\nz: &z { <<: *x, b: 2 }\ny: { <<: *z, c: { <<: *x } }\n",
    is: { a: 1, b: 2, c: { a: 1 } },
  },
  { name: "a map written there", text: "y: { <<: { a: 1 }, b: 2 }\n", is: { a: 1, b: 2 } },
  {
    name: "the last map of its name",
    text: "x: &x { a: 1 }\nz: { <<: *x }\nq: &x { a: 2 }\ny: { <<: *x }\n",
    is: { a: 2 },
  },
  { name: "a quoted key, which is a key", text: 'y: { "<<": 1 }\n', is: { "<<": 1 } },
];

for (const { name, text, is } of documents) {
  Deno.test(`readYaml() on documents: ${name}`, () => assert.deepEqual(read(text), is));
}

for (const { name, text, is } of merges) {
  Deno.test(`readYaml() merges ${name}`, () => assert.deepEqual((read(text) as { y: unknown }).y, is));
}

Deno.test("readYaml() refuses what is no map, no text, or no end, at its place", () => {
  for (
    const [text, wanted] of [
      ["a: { <<: 3 }\n", `1:10 ${MERGES}`],
      ["x: &x [1]\na: { <<: *x }\n", `1:7 ${MERGES}`],
      ["a: &a { <<: *a }\n", "1:13 alias `*a` refers to a value that contains it"],
      ["a: { <<: {}, <<: {} }\n", "1:14 this key is given twice in one map"],
      ["x: &x { b: *y }\ny: &y 1\n", "1:12 alias `*y` has no anchor before it"],
      ["a: 1\nb: 2\na: 3\n", "3:1 this key is given twice in one map"],
      ['a: "\\ud800"\n', "1:4 a text in a recipe cannot hold U+0000 or half of a character"],
      ['"\\0": 1\n', "1:1 a key must be a word"],
      ["a: x\x1b[31m\n", "1:5 the control character U+001B has no place in YAML"],
      ["a: 2001-01-01\n? [1]\n: 2\n", "2:3 a key must be a word"],
      [`a: ${"[".repeat(200)}${"]".repeat(200)}\n`, "1:103 more than 100 maps and lists are in one another"],
    ]
  ) assert.deepEqual(read(text), [wanted], text);
});

Deno.test("readYaml() gives an alias the value that its anchor had there", () => {
  assert.deepEqual(read("x: &x { a: &n 1, b: *n }\ny: &n 2\nz: *x\nw: *n\n*n : key\n"), {
    ...{ x: { a: 1, b: 1 }, y: 2, z: { a: 1, b: 1 }, w: 2 },
    2: "key",
  });
});

/** Everything that reading a recipe's text comes to, without its file. */
function readWhole(text: string, set: readonly string[] = []): string {
  const { tree, faults } = readYaml(fileOf(text));
  const settings = readSettings(set, "/");
  const problems = [...faults.map((fault) => ({ severity: "error" as const, ...fault })), ...settings.problems];
  if (tree) {
    const under = fillEmptyMaps(tree, language.schema);
    const complain = (fault: typeof faults[number]) => problems.push({ severity: "error", ...fault });
    const whole = settings.tree ? overlay(under, settings.tree, { complain }) : under;
    problems.push(...validate(language, whole).problems);
  }
  return renderDiagnostics(toDiagnostics(problems));
}

Deno.test("readYaml() ends soon, and is told of briefly, whatever a text repeats", () => {
  const size = 6_000;
  const texts = [
    ...[
      "[",
      "]",
      "{",
      "}",
      "{a: ",
      "- ",
      "? ",
      ": ",
      "a: &a\n",
      "!a ",
      "'",
      '"',
      "[,",
      "*a ",
      "#\n",
      "%A\n",
      "---\n",
      "\t",
    ]
      .map((part) => part.repeat(size / part.length)),
    "model: {path: w}\n" + "x".repeat(size),
    "model: {path: w}\nstages: { " + "spboo: {}, ".repeat(size / 10) + "}",
    "model: {path: w}\nexpect: { " + Array.from({ length: 1000 }, (_, i) => `k${i}: 1, `).join("") + "}",
    Array.from({ length: 1000 }, (_, i) => `k${i}: 1\n`).join(""),
    `a: &a 1\nb: [${"*a, ".repeat(size / 4)}]`,
    "model: {path: w}\nstages: { evaluate: { perplexity: [ " + "{ nme: a }, ".repeat(500) + "] } }",
    "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" +
    Array.from({ length: 9 }, (_, i) => `a${i}: &a${i} [${`*a${i === 0 ? "" : i - 1}, `.repeat(10)}]\n`).join(""),
  ];
  for (const text of texts) {
    const began = performance.now();
    const told = readWhole(text);
    const spent = performance.now() - began;
    assert.ok(spent < 10_000, `${JSON.stringify(text.slice(0, 40))} took ${Math.round(spent)} ms`);
    assert.ok(told.startsWith("error: "), told.slice(0, 100));
    assert.ok(told.split("\n").length < 1000, text.slice(0, 40));
    for (const line of told.split("\n")) assert.ok(line.length <= 100, line);
  }
});

Deno.test("readYaml() and what follows never fail on a recipe with a few letters changed", () => {
  const recipe = [
    "# a recipe",
    "model: { path: ../models/tiny, config: c }",
    "stages:",
    "  calibrate: &c",
    "    dataset: { windows: w.safetensors, tensor: calibration }",
    "    samples: 2",
    "  coarse-search: { keep: 6, of: 8 }",
    "  spbo: { iterations: 3, solver: joint }",
    "  pack:",
    "  evaluate:",
    '    perplexity: [ptb, { name: "a", <<: *c }]',
    "expect: { ptb: { value: 3.5, within: 1e-1 } }",
    "",
  ].join("\n");
  const pieces = [
    ..."-:[]{}&*!|>'\"%@`,#? \t\n\r\0\x1b0aA~<",
    "---\n",
    "...\n",
    "<<: ",
    "*c",
    "&c ",
    "\ufeff",
    "\u2028",
    "а",
    "漢",
  ];
  const letters = [...recipe];
  const change = fc.record({
    at: fc.nat({ max: letters.length }),
    remove: fc.nat({ max: 20 }),
    add: fc.array(fc.constantFrom(...pieces), { maxLength: 4 }),
    again: fc.boolean(),
  });
  const paths = [
    "name",
    "stages.spbo.iterations",
    "stages.evaluate.perplexity.1.name",
    "stages.evaluate.perplexity.7",
    "model.path.x",
  ];
  const setting = fc.tuple(fc.constantFrom(...paths), fc.array(fc.constantFrom(...pieces), { maxLength: 5 }))
    .map(([path, value]) => `${path}=${value.join("")}`);
  fc.assert(
    fc.property(
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.array(setting, { maxLength: 2 }),
      (changes, set) => {
        let text = letters;
        for (const { at, remove, add, again } of changes) {
          const cut = text.slice(at, at + remove);
          text = [...text.slice(0, at), ...add, ...(again ? [...cut, ...cut] : []), ...text.slice(at + remove)];
        }
        const told = readWhole(text.join(""), set);
        return told === "" || /^(error|warning): /.test(told);
      },
    ),
    { seed: 9, numRuns: 500 },
  );
});
