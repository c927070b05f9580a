import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { project, temporaryFolder } from "../tests/command_line_test_support.ts";
import { readPluginCode, ROOMS } from "./plugin_code.ts";

const MAIN = `import { inner } from "./in/inner.ts";
import * as z from 'zod'
import type { Method } from "pbs2p";
import { type Op } from "pbs2p/kernels/op.ts";
import {
  decode,
  KEPT as kept,
} from "pbs2p/kernels/binary/ops.ts";
import table from "./table.json" with { type: "json" };
export { twice } from './in/twice.mts';
export const a = [inner, z, decode, kept, table, 5] satisfies unknown as Method & Op;
const later = () => import("./later.ts"), shader = new URL('./a.wgsl', import.meta.url);
`;

const FILES: Readonly<Record<string, string>> = {
  "main.ts": MAIN,
  "in/inner.ts": "import '../side.ts'; export const inner = 1;\n",
  "in/twice.mts": "export const twice = 2;\n",
  "side.ts": "export {};\n",
  "later.ts": `import { main } from "./main.ts";\nimport { copy } from "PROJECT/kernels/matrix/ops.ts";\n`,
  "table.json": "[1]\n",
  "a.wgsl": "// shader\n",
  "unused.ts": "export const unused = 1;\n",
};

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text.replace("PROJECT", `file://${project.replace(/\/$/, "")}`));
  }
}

Deno.test("readPluginCode() follows imports in any layout: own files, this project's by name and by path, packages; types not", () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, FILES);
  const { files, reaches, packages } = readPluginCode(join(folder, "main.ts"));
  const own = Object.keys(files).map((file) => relative(folder, file)).sort();
  assert.deepEqual(own, Object.keys(FILES).filter((name) => name !== "unused.ts").sort());
  assert.deepEqual(packages, ["zod"]);
  assert.deepEqual(reaches.toSorted(), [
    ["kernels/binary/ops.ts", ["decode", "KEPT"]],
    ["kernels/matrix/ops.ts", ["copy"]],
  ]);
});

Deno.test("readPluginCode() gives one hash for one content, wherever it lies and whatever is written about it", () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, hashOf = (...path: string[]) => readPluginCode(join(folder, ...path)).hash;
  write(join(folder, "a"), FILES);
  const before = hashOf("a", "main.ts");
  cpSync(join(folder, "a"), join(folder, "deep", "er"), { recursive: true });
  renameSync(join(folder, "deep", "er", "main.ts"), join(folder, "deep", "er", "other.ts"));
  write(join(folder, "deep", "er"), { "later.ts": FILES["later.ts"].replace("./main.ts", "./other.ts") });
  // What names the file by its new name has other text.
  assert.notEqual(hashOf("deep", "er", "other.ts"), before);
  write(join(folder, "b"), { ...FILES, "main.ts": `// Words.\n\n${MAIN}`, "unused.ts": "" });
  assert.equal(hashOf("b", "main.ts"), before);
  for (const [name, text] of Object.entries(FILES)) {
    if (name === "unused.ts") continue;
    write(join(folder, "b"), { ...FILES, [name]: `${text}\nvoid 1;\n` });
    assert.notEqual(hashOf("b", "main.ts"), before, name);
  }
});

Deno.test("readPluginCode() takes words in texts and comments for imports at most where there is such a file", () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, {
    "main.ts": '// from "https://x.org/y.ts"\nexport const a = \'taken from "./b.ts", not from "./c.ts"\';\n',
    "b.ts": "export {};\n",
  });
  assert.deepEqual(Object.keys(readPluginCode(join(folder, "main.ts")).files).length, 2);
});

Deno.test("readPluginCode() refuses what is fetched or only named as it runs", () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, file = join(folder, "main.ts");
  for (
    const text of ['import "npm:left-pad@1.3.0";', 'import "jsr:@std/yaml";', `${"im"}port("data:text/javascript,1");`]
  ) {
    write(folder, { "main.ts": `${text}\n` });
    assert.throws(() => readPluginCode(file), /imports ".*", whose content keys cannot cover; .*pbs2p\/….*zod/);
  }
  for (const text of ["import(name);", "import( `./${name}.ts` );", 'import("./a" + ".ts");']) {
    write(folder, { "main.ts": `const name = 1;\nawait ${text}\n` });
    assert.throws(() => readPluginCode(file), /only known as it runs/);
  }
});

Deno.test("readPluginCode() knows all rooms of this project", () => {
  const other = new Set(["configs", "docs", "node_modules", "runs", "shared", "tests"]);
  const folders = readdirSync(project, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith(".") && !other.has(entry.name));
  assert.deepEqual(folders.map(({ name }) => name).sort(), [...ROOMS].sort());
});
