import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { parseSource, type Reach, reachOf, type ReachOptions } from "./reach.ts";

type Files = Readonly<Record<string, string>>;

/** What `main.ts` reaches in a folder of its own. */
function reach(files: Files, options: Omit<ReachOptions, "root"> = {}): Reach {
  const root = Deno.makeTempDirSync();
  try {
    for (const [path, text] of Object.entries({ "deno.json": "{}", ...files })) {
      Deno.mkdirSync(dirname(join(root, path)), { recursive: true });
      Deno.writeTextFileSync(join(root, path), text);
    }
    return reachOf(["main.ts"], { root, ...options });
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

const filesOf = (files: Files, options?: Omit<ReachOptions, "root">) => reach(files, options).files;
const hashOf = (files: Files, options?: Omit<ReachOptions, "root">) => reach(files, options).hash;

const a = "export const a = 1;\n";

Deno.test("reachOf() follows imports to their end, also around circles", () => {
  const files = {
    "main.ts": `import { a } from "./rooms/a.ts";\nimport "./side.ts";\nexport { b } from "./b.ts";\n`,
    "rooms/a.ts": `import { b } from "../b.ts";\n${a}`,
    "b.ts": `import { a } from "./rooms/a.ts";\nexport const b = 2;\n`,
    "side.ts": "globalThis.name = 1;\n",
    "other.ts": a,
  };
  assert.deepEqual(filesOf(files), ["b.ts", "main.ts", "rooms/a.ts", "side.ts"]);
});

Deno.test("reachOf() follows what is loaded late: modules, workers, shaders", () => {
  const files = {
    "main.ts": [
      `import shader from "./x.wgsl" with { type: "text" };`,
      `export const late = () => import("./late.ts");`,
      `export const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });`,
      `export const other = new Worker(`,
      `  new URL(`,
      `    "./other.ts",`,
      `    import.meta.url,`,
      `  ),`,
      `);`,
    ].join("\n"),
    "x.wgsl": "fn main() {}\n",
    "late.ts": `import { a } from "./a.ts";\nexport const b = a;\n`,
    "worker.ts": "self.close();\n",
    "other.ts": "self.close();\n",
    "a.ts": a,
  };
  assert.deepEqual(filesOf(files), ["a.ts", "late.ts", "main.ts", "other.ts", "worker.ts", "x.wgsl"]);
  assert.notEqual(hashOf(files), hashOf({ ...files, "x.wgsl": "fn main() { }\n" }));
});

Deno.test("reachOf() does not follow types", () => {
  const files = {
    "main.ts": [
      `import type { A } from "./a.ts";`,
      `import { type B, type C } from "./b.ts";`,
      `import { type D, d } from "./d.ts";`,
      `export type { E } from "./e.ts";`,
      "export const x = d;",
    ].join("\n"),
    "d.ts": "export type D = 1;\nexport const d = 1;\n",
  };
  assert.deepEqual(filesOf(files), ["d.ts", "main.ts"]);
});

Deno.test("reachOf() sees through doors: what is taken by name, and no more", () => {
  const files = {
    "door.ts":
      `/** A door. */\nexport { a, b as c } from "./ab.ts";\nexport { d, type T } from "./d.ts";\nexport * from "./e.ts";\n`,
    "ab.ts": "export const a = 1;\nexport const b = 2;\n",
    "d.ts": "export type T = 1;\nexport const d = 1;\n",
    "e.ts": "export const e = 1;\n",
  };
  const taking = (clause: string) => filesOf({ ...files, "main.ts": `import ${clause} from "./door.ts";\n` });
  assert.deepEqual(taking("{ a }"), ["ab.ts", "main.ts"]);
  assert.deepEqual(taking("{ c, d }"), ["ab.ts", "d.ts", "main.ts"]);
  assert.deepEqual(taking("{ e }"), ["e.ts", "main.ts"]);
  assert.deepEqual(taking("* as all"), ["ab.ts", "d.ts", "e.ts", "main.ts"]);
  assert.deepEqual(taking("{ type T }"), ["main.ts"]);
});

Deno.test("reachOf() sees through doors behind doors, and aliases", () => {
  const files = {
    "main.ts": `import { z as y } from "./door.ts";\nexport const x = y;\n`,
    "door.ts": `export { inner as z } from "./rooms/door.ts";\nexport { b } from "./b.ts";\n`,
    "rooms/door.ts": `export { a as inner } from "../a.ts";\nexport { b } from "../b.ts";\n`,
    "a.ts": a,
    "b.ts": "export const b = 1;\n",
  };
  assert.deepEqual(filesOf(files), ["a.ts", "main.ts"]);
  // The door is not part of the code, but where it leads is.
  const elsewhere = { ...files, "door.ts": `export { b as z } from "./rooms/door.ts";\n` };
  assert.deepEqual(filesOf(elsewhere), ["b.ts", "main.ts"]);
  const same = { ...files, "b.ts": a, "rooms/door.ts": `export { a as inner } from "../b.ts";\n` };
  assert.notEqual(hashOf(files), hashOf(same));
  const more = { ...files, "door.ts": `${files["door.ts"]}export { c } from "./c.ts";\n` };
  assert.equal(hashOf(more), hashOf(files), "what a door has besides matters to nobody");
});

Deno.test("reachOf() enters a file that has code besides its re-exports", () => {
  const files = {
    "main.ts": `import { a } from "./mixed.ts";\n`,
    "mixed.ts": `export { a } from "./a.ts";\nexport { b } from "./b.ts";\nexport const c = 1;\n`,
    "a.ts": a,
    "b.ts": "export const b = 1;\n",
  };
  assert.deepEqual(filesOf(files), ["a.ts", "b.ts", "main.ts", "mixed.ts"]);
});

Deno.test("reachOf() replaces lists by what was chosen of them", () => {
  const files = {
    "main.ts": `import * as all from "./list.ts";\n`,
    "list.ts": `export { a } from "./a.ts";\nexport { b } from "./b.ts";\n`,
    "a.ts": a,
    "b.ts": "export const b = 1;\n",
  };
  assert.deepEqual(filesOf(files), ["a.ts", "b.ts", "main.ts"]);
  assert.deepEqual(filesOf(files, { chosen: { "list.ts": ["b.ts"] } }), ["b.ts", "main.ts"]);
  assert.deepEqual(filesOf(files, { chosen: { "list.ts": [] } }), ["main.ts"]);
});

Deno.test("reachOf() does not enter what is skipped, nor what only that leads to", () => {
  const files = {
    "main.ts": `import { a } from "./a.ts";\nimport { g } from "./gpu.ts";\n`,
    "gpu.ts": `import { b } from "./b.ts";\nexport const g = b;\n`,
    "a.ts": a,
    "b.ts": "export const b = 1;\n",
  };
  const skip = (path: string) => path === "gpu.ts";
  assert.deepEqual(filesOf(files, { skip }), ["a.ts", "main.ts"]);
  assert.equal(hashOf(files, { skip }), hashOf({ ...files, "gpu.ts": "export const g = 9;\n" }, { skip }));
});

Deno.test("reachOf() hashes every line of code, and no comment or empty line", () => {
  const text = `/** What it is. */\nexport function f(x: number) {\n  return x + 1; // more\n}\n`;
  const hash = hashOf({ "main.ts": text });
  for (
    const same of [
      text.replace("What it is", "What else it is"),
      text.replace("/** What it is. */\n", ""),
      text.replace("  return", "\n  // One more.\n  /* And\n   * another.\n   */\n\n  return"),
    ]
  ) assert.equal(hashOf({ "main.ts": same }), hash, same);
  for (
    const other of [text.replace("+ 1", "+ 2"), text.replace("x: number", "x: any"), text.replace("  return", "return")]
  ) {
    assert.notEqual(hashOf({ "main.ts": other }), hash, other);
  }
});

Deno.test("reachOf() hashes strings that look like comments", () => {
  const pairs: readonly (readonly [string, string])[] = [
    [`const s = "// one";\n`, `const s = "// two";\n`],
    [`const s = "/* one";\nconst t = 1;\n`, `const s = "/* one";\nconst t = 2;\n`],
    ["const s = `\n// one\n`;\n", "const s = `\n// two\n`;\n"],
    ["const s = `\n/* one\n`;\nconst t = 1;\n", "const s = `\n/* one\n`;\nconst t = 2;\n"],
    ["const s = `a\n\nb`;\n", "const s = `a\nb`;\n"],
    ['const s = "`";\nconst t = `\n// one\n`;\n', 'const s = "`";\nconst t = `\n// two\n`;\n'],
    ["const s = `\\`\n// one\n`;\n", "const s = `\\`\n// two\n`;\n"],
  ];
  for (const [one, two] of pairs) assert.notEqual(hashOf({ "main.ts": one }), hashOf({ "main.ts": two }), one);
  // Behind the literal, comments are comments.
  const behind = "const s = `\n// in\n`;\n";
  assert.equal(hashOf({ "main.ts": `${behind}// one\n` }), hashOf({ "main.ts": `${behind}// two\n` }));
});

Deno.test("reachOf() hashes which file is which", () => {
  const files = { "main.ts": `import "./a.ts";\nimport "./b.ts";\n`, "a.ts": "f(1);\n", "b.ts": "f(2);\n" };
  assert.notEqual(hashOf(files), hashOf({ ...files, "a.ts": "f(2);\n", "b.ts": "f(1);\n" }));
  assert.equal(hashOf(files), hashOf({ ...files, "unseen.ts": "f(3);\n" }));
});

Deno.test("reachOf() counts packages with the versions that deno.json pins", () => {
  const files = {
    "main.ts": `import { z } from "zod/mini";\nimport { join } from "node:path";\nimport type { T } from "unseen";\n`,
    "deno.json": JSON.stringify({
      imports: { zod: "npm:zod@4.0.0", yaml: "npm:yaml@2.0.0", unseen: "npm:unseen@1.0.0" },
    }),
  };
  assert.deepEqual(reach(files).packages, ["npm:zod@4.0.0"]);
  const raised = (from: string, to: string) => hashOf({ ...files, "deno.json": files["deno.json"].replace(from, to) });
  assert.notEqual(raised("zod@4.0.0", "zod@4.0.1"), hashOf(files));
  assert.equal(raised("yaml@2.0.0", "yaml@2.0.1"), hashOf(files));
  assert.equal(raised("unseen@1.0.0", "unseen@1.0.1"), hashOf(files));
  const late = { ...files, "main.ts": `const z = await import("yaml");\n` };
  assert.deepEqual(reach(late).packages, ["npm:yaml@2.0.0"]);
});

Deno.test("reachOf() tells what is missing", () => {
  assert.throws(() => reach({ "main.ts": `import { a } from "./gone.ts";\n` }), /gone\.ts as there is no such file/);
  const door = { "main.ts": `import { b } from "./door.ts";\n`, "door.ts": `export { a } from "./a.ts";\n`, "a.ts": a };
  assert.throws(() => reach(door), /Cannot follow "b" as door\.ts does not export it/);
});

Deno.test("parseSource() takes imports only where they are code", () => {
  const targets = (text: string) => parseSource(text).links.map(({ target }) => target);
  assert.deepEqual(targets(`/**\n * import { a } from "./a.ts";\n */\n// import { b } from "./b.ts";\n`), []);
  assert.deepEqual(targets(`import {\n  a,\n  type B,\n} from "./a.ts";\nimport d, * as e from "./d.ts";\n`), [
    "./a.ts",
    "./d.ts",
  ]);
  assert.equal(parseSource(`export { a } from "./a.ts";\n`).door, true);
  assert.equal(parseSource(`export type { A } from "./a.ts";\n`).door, true);
  assert.equal(parseSource(`import { a } from "./a.ts";\n`).door, false);
  assert.equal(parseSource("").door, false);
  assert.deepEqual(parseSource("fn main() {}\n", false).links, []);
});
