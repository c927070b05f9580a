import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { RecipeError, renderDiagnostics } from "../recipes/diagnostics.ts";
import { temporaryFolder } from "../tests/command_line_test_support.ts";
import { loadRecipe, renderRecipe } from "./mod.ts";
import { recordOf, stagesOf } from "./plugins.ts";

/** A method that can be loaded; what it would do is of no matter here. */
function method(change: Readonly<Record<string, string>> = {}): string {
  const parts = {
    ...{
      name: '"mine"',
      label: '"Mine"',
      summary: '"Nothing"',
      params: "z.strictObject({ size: z.int().default(8) })",
    },
    ...{
      needs: '["statistics"]',
      format: '"planes"',
      reads: '() => ["size"]',
      groupSize: "(p) => p.size",
      open: "() => {}",
    },
    ...change,
  };
  const body = Object.entries(parts).map(([key, value]) => `  ${key}: ${value},\n`).join("");
  return `import * as z from "zod";\nexport const mine = {\n${body}};\n`;
}

const RECIPE = "model: { path: m }\nuse: [./mine.ts]\nstages:\n  calibrate:\n  mine: { size: 16 }\n  pack:\n";

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

async function complaints(folder: string, options: Parameters<typeof loadRecipe>[1] = {}): Promise<string> {
  try {
    await loadRecipe("a.yaml", { cwd: folder, ...options });
  } catch (error) {
    assert.ok(error instanceof RecipeError, String(error));
    return renderDiagnostics(error.diagnostics, { width: 400 });
  }
  return assert.fail("the recipe was taken");
}

Deno.test("use: a method of a file is a stage of the recipe under its name, its defaults filled in, and the lock names its content", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, { "a.yaml": RECIPE.replace("{ size: 16 }", ""), "mine.ts": method() });
  const { recipe, sources } = await loadRecipe("a.yaml", { cwd: folder });
  assert.deepEqual(recipe.use, [join(folder, "mine.ts")]);
  assert.deepEqual(Object.keys(recipe.stages), ["calibrate", "mine", "pack"]);
  assert.deepEqual(recipe.stages.mine, { size: 8 });
  assert.equal(sources.get("stages.mine.size"), "default");
  assert.ok((await stagesOf(recipe)).some(({ name }) => name === "mine"));
  assert.match(
    renderRecipe(recipe, { relativeTo: join(folder, "runs", "one") }),
    /^use:\n {2}- \.\.\/\.\.\/mine\.ts$/m,
  );
  const { methods, code, files } = recordOf(join(folder, "mine.ts"));
  assert.deepEqual(methods, ["mine"]);
  assert.match(String(code), /^[0-9a-f]{64}$/);
  assert.deepEqual(Object.keys(files ?? {}), ["mine.ts"]);
});

Deno.test("use: what a base uses is used too, each file relative to the recipe that names it, and each once", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, other = method({ name: '"other"' });
  write(folder, {
    "bases/base.yaml": "use: [./mine.ts]\nstages: { mine: { size: 9 } }\n",
    "bases/mine.ts": method(),
    "other.ts": other,
    "a.yaml":
      "extends: bases/base.yaml\nuse: [other.ts, ./bases/mine.ts]\nmodel: { path: m }\nstages:\n  calibrate:\n  pack:\n",
  });
  const { recipe } = await loadRecipe("a.yaml", { cwd: folder });
  assert.deepEqual(recipe.use, [join(folder, "bases", "mine.ts"), join(folder, "other.ts")]);
  assert.deepEqual(recipe.stages.mine, { size: 9 });
  // A setting adds to it.
  write(folder, { "third.ts": method({ name: '"third"' }) });
  const set = ["use=[third.ts]"];
  assert.deepEqual((await loadRecipe("a.yaml", { cwd: folder, set })).recipe.use?.at(-1), join(folder, "third.ts"));
});

const wrong: readonly {
  readonly what: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly recipe?: string;
  readonly says: RegExp;
}[] = [
  {
    what: "a file that is not there",
    files: { "mine2.ts": method() },
    says:
      /^error: cannot use `mine\.ts`: there is no such file\n --> a\.yaml:2:7\n[^]*\^{9}\n {2}= note: there is `mine2\.ts`$/,
  },
  {
    what: "a file in no folder",
    recipe: RECIPE.replace("./mine", "./no/mine"),
    says: /there is no such file, nor its folder/,
  },
  {
    what: "a file of another kind",
    recipe: RECIPE.replace("mine.ts", "a.yaml"),
    says: /its name must end in \.ts, \.mts/,
  },
  { what: "a folder", recipe: RECIPE.replace("./mine.ts", "."), says: /it is no file/ },
  {
    what: "what is no TypeScript",
    files: { "mine.ts": "const a = 1;\nconst b = ;\n" },
    says:
      /cannot load `mine\.ts`: SyntaxError: Expression expected\n --> a\.yaml:2:7[^]*= note: at mine\.ts:2:11: const b = ;$/,
  },
  {
    what: "a file that throws",
    files: { "mine.ts": 'import "./in/deep.ts";\n', "in/deep.ts": "const a: number[] = [];\na[0].toFixed();\n" },
    says: /cannot load `mine\.ts`: TypeError: Cannot read[^]*= note: at in\/deep\.ts:2:6: a\[0\]\.toFixed\(\);$/,
  },
  {
    what: "an import of nothing",
    files: { "mine.ts": 'import { b } from "./b.ts";\nb();\n' },
    says: /cannot load `mine\.ts`: Module not found `b\.ts`[^]*= note: at mine\.ts:1:19: import/,
  },
  {
    what: "a package that is not there",
    files: { "mine.ts": 'import _ from "lodash";\n_();\n' },
    says: /cannot load `mine\.ts`: Import "lodash"[^]*= note: at mine\.ts:1:15/,
  },
  {
    what: "code from the network",
    files: { "mine.ts": 'import _ from "https://example.com/x.ts";\n_();\n' },
    says:
      /cannot use `mine\.ts`: mine\.ts imports "https:\/\/example\.com\/x\.ts", whose content keys cannot cover\n[^]*pbs2p\/…/,
  },
  {
    what: "an import by a computed name",
    files: { "mine.ts": "const name = './b.ts';\nawait import(name);\n" },
    says: /mine\.ts has an import\(\) whose module is only known as it runs/,
  },
  {
    what: "no method",
    files: { "mine.ts": "export const a = 1, b = { params: 3 };\n" },
    says: /`mine\.ts` exports no method\n[^]*it exports a, b$/,
  },
  {
    what: "a bad name",
    files: { "mine.ts": method({ name: '"My Method"' }) },
    says: /`mine` of `mine\.ts` is no method[^]*small letters/,
  },
  {
    what: "no summary",
    files: { "mine.ts": method({ summary: "undefined" }) },
    says: /summary must be text: it is nothing/,
  },
  {
    what: "no function",
    files: { "mine.ts": method({ groupSize: "3" }) },
    says: /groupSize must be a function: it is number/,
  },
  { what: "no schema", files: { "mine.ts": method({ params: "{}" }) }, says: /params must be made by z\.strictObject/ },
  {
    what: "a loose schema",
    files: { "mine.ts": method({ params: "z.object({ size: z.int().default(8) })" }) },
    says: /z\.strictObject, so/,
  },
  {
    what: "a setting without a default",
    files: { "mine.ts": method({ params: "z.strictObject({ size: z.int() })" }) },
    says: /every setting must have a default: params\.size has none/,
  },
  {
    what: "a need that none is",
    files: { "mine.ts": method({ needs: '["luck"]' }) },
    says: /needs must be a list of statistics, [^]*"luck" is none/,
  },
  { what: "no needs", files: { "mine.ts": method({ needs: "undefined" }) }, says: /needs must be a list of/ },
  {
    what: "a format of its own",
    files: { "mine.ts": method({ format: '"mine"' }) },
    says: /format is "mine", and methods of one's own pack in the formats that there are: planes/,
  },
  {
    what: "reads of no setting",
    files: { "mine.ts": method({ reads: '() => ["sise"]' }) },
    says: /reads\(\) must give names of settings \(size\): "sise" is none/,
  },
  {
    what: "reads that throw",
    files: { "mine.ts": method({ reads: '() => { throw new RangeError("no"); }' }) },
    says: /cannot load `mine\.ts`: RangeError: no\n[^]*= note: at mine\.ts:9:/,
  },
  {
    what: "a name of this project's",
    files: { "mine.ts": method({ name: '"spbo"' }) },
    says:
      /`mine\.ts` has a method named `spbo`, and there is a stage of that name\n --> a\.yaml:2:7[^]*this project's own/,
  },
  {
    what: "two files with one name",
    files: { "mine.ts": method(), "again.ts": method() },
    recipe: RECIPE.replace("./mine.ts", "./mine.ts, again.ts"),
    says: /`again\.ts` has a method named `mine`[^]*:2:18[^]*the other is that of `mine\.ts`/,
  },
  {
    what: "a setting that it has not",
    files: { "mine.ts": method() },
    recipe: RECIPE.replace("size", "sise"),
    says: /unknown key `sise` in stages\.mine\n[^]*did you mean `size`/,
  },
  {
    what: "no list",
    recipe: RECIPE.replace("[./mine.ts]", "3"),
    says: /use cannot be 3 \(a number\)[^]*unknown key `mine`/,
  },
];

for (const { what, files = {}, recipe = RECIPE, says } of wrong) {
  Deno.test(`use: ${what} is told where the recipe names it`, async () => {
    using temporary = temporaryFolder();
    write(temporary.path, { "a.yaml": recipe, ...files });
    assert.match(await complaints(temporary.path), says);
  });
}

Deno.test("use: what else is wrong is told too, and nothing that only follows", async () => {
  using temporary = temporaryFolder();
  write(temporary.path, { "a.yaml": RECIPE.replace("  pack:\n", "  pack: { scales: f8 }\n") });
  const told = await complaints(temporary.path);
  assert.match(told, /there is no such file[^]*stages\.pack\.scales cannot be "f8"[^]*2 errors$/);
});

Deno.test("use: code that a recipe of the hub names is refused without leave, and so is what it extends", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, {
    "hub/recipe.yaml": RECIPE.replace("use", "extends: ../mine/base.yaml\nuse"),
    "hub/mine.ts": method(),
    "mine/base.yaml": "use: [./own.ts]\n",
    "mine/own.ts": method({ name: '"own"' }),
    "a.yaml": "extends: [hub/plain.yaml, mine/base.yaml]\n",
    "hub/plain.yaml": RECIPE.replace("use: [./mine.ts]\n", "").replace("mine:", "own:"),
  });
  const originOf = (file: string) => file.includes(`${folder}/hub/`) ? "hub" as const : "local" as const;
  const load = (path: string, more = {}) => loadRecipe(path, { cwd: folder, originOf, ...more });
  await assert.rejects(load("hub/recipe.yaml"), (error) => {
    assert.ok(error instanceof RecipeError);
    assert.deepEqual(error.diagnostics.map(({ file, line }) => [file, line]), [["mine/base.yaml", 1], [
      "hub/recipe.yaml",
      3,
    ]]);
    assert.match(error.message, /a recipe of the hub names code to run, which is refused[^]*--allow-plugins/);
    return true;
  });
  const { recipe } = await load("hub/recipe.yaml", { allowPlugins: true });
  assert.deepEqual(recipe.use, [join(folder, "mine", "own.ts"), join(folder, "hub", "mine.ts")]);
  // A recipe of this machine may extend one of the hub, and name code of its own.
  write(folder, { "mine/base.yaml": "use: [./own.ts]\nstages: { own: { size: 4 } }\n" });
  assert.deepEqual((await load("a.yaml")).recipe.stages.own, { size: 4 });
});
