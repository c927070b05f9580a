/** Recipes that are being written: checked and planned as they are in memory, reading nothing that is none of theirs. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeRun } from "./folders_test_support.ts";
import type { RecipeCheck } from "./recipe_schemas.ts";
import { scene, writeRunWithModel } from "./scene_test_support.ts";

const CONFIGS = fileURLToPath(new URL("../configs", import.meta.url));
const QUICKSTART = readFileSync(join(CONFIGS, "quickstart.yaml"), "utf8");

Deno.test("a text is checked as it is in memory, each mistake with its place and what is allowed", async () => {
  using on = scene();
  const check = async (text: string, id: object = { file: "quickstart.yaml" }): Promise<RecipeCheck> => {
    const answer = await on.post("/api/recipes/check", { ...id, text });
    assert.equal(answer.status, 200, await answer.clone().text());
    return await answer.json();
  };
  const before = readFileSync(join(CONFIGS, "quickstart.yaml"), "utf8");
  assert.deepEqual(await check(QUICKSTART), { name: "quickstart", diagnostics: [] });
  const wrong =
    "extends: ./bases/paper.yaml\nmodel: { path: models/tiny-llama }\nstages:\n  spbo: { itertions: 20, resign: many }\n";
  const { name, diagnostics } = await check(wrong);
  assert.equal(name, undefined);
  assert.deepEqual(
    diagnostics.map(({ line, column, endColumn, suggestion }) => [line, column, endColumn, suggestion]),
    [
      [4, 11, 20, "iterations"],
      [4, 34, 38, undefined],
    ],
  );
  assert.ok(diagnostics.every((each) => each.severity === "error" && each.file === undefined && !("text" in each)));
  const [syntax] = (await check("stages: {\n")).diagnostics;
  assert.deepEqual([syntax.severity, syntax.line], ["error", 1]);
  assert.equal((await check("")).diagnostics.length, 1);
  assert.equal((await check("a\0b")).diagnostics.length, 1);
  const sweep = await check(readFileSync(join(CONFIGS, "sweeps", "keep.yaml"), "utf8"), { file: "sweeps/keep.yaml" });
  assert.deepEqual([sweep.points, sweep.diagnostics], [3, []]);
  const huge = `matrix:\n  seed: [${Array.from({ length: 600 }, (_, i) => i)}]\n`;
  assert.match((await check(huge)).diagnostics[0].message, /600/);
  assert.equal(readFileSync(join(CONFIGS, "quickstart.yaml"), "utf8"), before);
  assert.deepEqual(on.errors, []);
});

Deno.test("a text reads no file but recipes of configs/, and runs no code", async () => {
  using on = scene();
  const configs = join(on.folder, "project", "configs"), secret = join(on.folder, "secret.yaml");
  mkdirSync(join(configs, "bases"), { recursive: true });
  writeFileSync(join(configs, "a.yaml"), "model: { path: m }\n");
  writeFileSync(join(configs, "bases", "b.yaml"), "stages: { spbo: { itertions: 1 } }\n");
  writeFileSync(secret, "password: correct horse\n");
  writeFileSync(join(on.folder, "code.ts"), `Deno.writeTextFileSync(${JSON.stringify(join(on.folder, "ran"))}, "");`);
  symlinkSync(secret, join(configs, "link.yaml"));
  symlinkSync(on.folder, join(configs, "folder"));
  using desk = scene({ configs });
  const check = async (text: string) => {
    const answer = await desk.post("/api/recipes/check", { file: "a.yaml", text });
    return JSON.stringify(await answer.json());
  };
  for (
    const path of [
      "../../secret.yaml",
      secret,
      "/etc/passwd",
      "link.yaml",
      "folder/secret.yaml",
      "~/x.yaml",
      "bases/../../../secret.yaml",
    ]
  ) {
    for (
      const text of [
        `extends: ${path}\n`,
        `matrix:\n  extends: [${path}, bases/b.yaml]\n`,
        `extends: [bases/b.yaml, ${path}]\n`,
      ]
    ) {
      const told = await check(text);
      assert.match(told, /it lies outside of configs\//, `${path}: ${told}`);
      assert.ok(!told.includes("horse") && !told.includes("root:"), told);
    }
  }
  const code = await check(`use: [../../code.ts]\nmodel: { path: m }\nstages: {}\n`);
  assert.match(code, /code that a recipe names is not run here/);
  assert.ok(!existsSync(join(on.folder, "ran")));
  // What is wrong in a recipe that it extends is told with its file, and no line of it.
  const base = await check("extends: bases/b.yaml\nmodel: { path: m }\n");
  assert.match(base, /"file":"configs\/bases\/b.yaml"/);
  assert.ok(!base.includes(on.folder));
  const names = [
    "../a.yaml",
    "link.yaml",
    "folder/secret.yaml",
    "/etc/passwd",
    "a.yaml/..",
    "recipe.schema.json",
    "",
    "bases",
  ];
  for (const file of names) {
    assert.equal((await desk.post("/api/recipes/check", { file, text: "a: 1" })).status, 404, file);
    assert.equal((await desk.ask(`/api/recipes/text?file=${encodeURIComponent(file)}`)).status, 404, file);
    assert.equal((await desk.ask(`/recipes/edit?file=${encodeURIComponent(file)}`)).status, 404, file);
  }
  assert.deepEqual((await desk.json("/api/recipes")).recipes.map(({ file }: { file: string }) => file), [
    "a.yaml",
    "bases/b.yaml",
  ]);
  assert.deepEqual(desk.errors, []);
});

Deno.test("a plan says what a run of the text would do, why and at what cost; of mistakes, why not", async () => {
  using on = scene({ device: "cpu" });
  const plan = async (text: string) => {
    const answer = await on.post("/api/recipes/plan", { file: "quickstart.yaml", text });
    return { status: answer.status, ...await answer.json() };
  };
  const { status, recipe, totals, groups, device } = await plan(QUICKSTART);
  assert.deepEqual([status, recipe, totals.run, totals.cached], [200, "quickstart", 40, 0]);
  assert.match(device, /^cpu/);
  assert.ok(totals.seconds > 0 && totals.memory > 1e6 && totals.disk > 1e6);
  const spbo = groups.find(({ step }: { step: string }) => step === "spbo[0–5]");
  assert.deepEqual([spbo.state, spbo.words, spbo.why, spbo.steps], ["run", "will run", "first run", 6]);
  const wrong = await plan("stages: { spb: {} }\n");
  assert.deepEqual([wrong.status, wrong.error], [422, "Cannot plan this recipe: there are 2 errors in it"]);
  const gone = await plan("model: { path: gone }\nstages: { pack: {} }\n");
  assert.equal(gone.status, 422);
  assert.match(gone.error, /^Cannot /);
  assert.ok(!gone.error.includes(CONFIGS));
  const [one, other] = await Promise.all([plan(QUICKSTART), plan(QUICKSTART)]);
  assert.deepEqual([one.status, other.status].sort(), [200, 429]);
  assert.deepEqual(on.errors, []);
});

Deno.test("the plan of a sweep says what its points will run and share, and which cannot run", async () => {
  using on = scene({ device: "cpu" });
  const plan = async (text: string) => {
    const answer = await on.post("/api/recipes/plan", { file: "sweeps/keep.yaml", text });
    return { status: answer.status, ...await answer.json() };
  };
  const { status, recipe, model, device, totals, words, points } = await plan(
    "extends: ../quickstart.yaml\nmatrix: { stages.coarse-search.keep: [4, 5] }\n",
  );
  assert.deepEqual([status, recipe, model, totals.points, totals.failed], [200, "keep", "tiny-llama", 2, 0]);
  assert.match(device, /^cpu/);
  const [first, second] = points;
  assert.deepEqual([first.state, first.run, first.rest], ["will run", 40, 0]);
  assert.ok(second.run < 40 && second.rest === 40 - second.run && second.label !== first.label);
  assert.equal(totals.run, first.run + second.run);
  assert.match(words, /^2 points, 2 calibrations, 15 of 80 steps shared, 65 to run, about /);
  const gone = await plan(
    "extends: ../quickstart.yaml\nmatrix: { model.path: [../models/tiny-llama, ../models/gone] }\n",
  );
  assert.deepEqual([gone.status, gone.points.map(({ state }: { state: string }) => state)], [200, [
    "will run",
    "cannot run",
  ]]);
  assert.match(gone.points[1].error, /^Cannot /);
  assert.ok(!JSON.stringify(gone).includes(CONFIGS));
  const all = await plan("extends: ../quickstart.yaml\nmatrix: { model.path: [../models/gone] }\n");
  assert.deepEqual([all.status, /^Cannot /.test(all.error)], [422, true]);
  assert.deepEqual(on.errors, []);
});

Deno.test("the recipe of a run is text again: complete, its paths as configs/ would state them", async () => {
  using on = scene({ device: "cpu" });
  const run = writeRunWithModel(on.runs, 1), folder = join(on.runs, run);
  writeFileSync(
    join(folder, "recipe.lock.yaml"),
    JSON.stringify({
      recipe: {
        model: { path: join(CONFIGS, "models/tiny-llama") },
        stages: { calibrate: { dataset: { text: join(CONFIGS, "x.txt") } }, rtn: { bits: 4 }, pack: {} },
      },
      lock: {},
    }),
  );
  const { text, name } = await on.json(`/api/recipes/text?run=${run}`);
  assert.equal(name, run);
  assert.match(text, /^model:\n {2}path: models\/tiny-llama$/m);
  assert.ok(!text.includes(on.folder));
  const checked = await (await on.post("/api/recipes/check", { run, text })).json();
  assert.deepEqual(checked.diagnostics, []);
  assert.match(await (await on.ask(`/runs/${run}`)).text(), /Edit recipe/);
  assert.equal((await on.ask(`/recipes/edit?run=${run}`)).status, 200);
  assert.equal((await on.ask("/recipes/edit?run=..%2f..")).status, 404);
  const bare = writeRun(on.runs, 2);
  const answer = await on.ask(`/api/recipes/text?run=${bare}`);
  assert.match((await answer.json()).error, /^Cannot open the recipe of .*: it left none, or one that uses code/);
});

Deno.test("what is asked of recipes is bounded", async () => {
  using on = scene();
  const cases: readonly (readonly [unknown, number])[] = [
    [{ file: "quickstart.yaml", text: "x".repeat(256 * 1024) }, 413],
    [{ file: "quickstart.yaml" }, 400],
    [{ text: "a: 1" }, 400],
    [{ file: "quickstart.yaml", run: "x", text: "a: 1" }, 400],
    [{ file: "quickstart.yaml", text: "a: 1", cwd: "/" }, 400],
    [{ run: "none", text: "a: 1" }, 404],
    ["nothing", 400],
  ];
  for (const path of ["/api/recipes/check", "/api/recipes/plan"]) {
    for (const [body, status] of cases) {
      const answer = await on.post(path, body);
      assert.equal(answer.status, status, JSON.stringify(body).slice(0, 80));
      assert.match((await answer.json()).error, /^Cannot /);
    }
    assert.equal(
      (await on.post(path, { file: "quickstart.yaml", text: "" }, { origin: "http://evil.example" })).status,
      403,
    );
    assert.equal((await on.ask(path)).status, 404);
  }
  // Aliases that expand without end are refused, not expanded.
  const bomb = `a: &a [${"x,".repeat(50)}]\n${
    Array.from({ length: 20 }, (_, i) =>
      `${"bcdefghijklmnopqrstuv"[i]}: &${"bcdefghijklmnopqrstuv"[i]} [${
        Array(9).fill(`*${"abcdefghijklmnopqrstu"[i]}`)
      }]`).join("\n")
  }\n`;
  const began = performance.now(),
    answer = await on.post("/api/recipes/check", { file: "quickstart.yaml", text: bomb });
  assert.equal(answer.status, 200);
  assert.ok(performance.now() - began < 5000);
  assert.deepEqual(on.errors, []);
});
