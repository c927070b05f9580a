import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { RecipeError } from "./diagnostics.ts";
import * as z from "zod";
import { loadRecipe, loadSweep } from "../pipeline/mod.ts";
import { RecipeSchema } from "../stages/schema.ts";
import { recipeJsonSchema } from "./json_schema.ts";
import { error, type Recipe, type RecipeLanguage } from "./language.ts";
import { oneMethod } from "./one_method_test_support.ts";
import { readRecipe, renderRecipe } from "./recipe.ts";

const configs = fileURLToPath(new URL("../configs/", import.meta.url));

/** Runs a test in a folder that holds some files. */
async function withFiles(files: Readonly<Record<string, string>>, test: (folder: string) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), "recipe-"));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    await test(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const model = "model: { path: weights }\n";

/** Stages without which nothing comes of a recipe, as a recipe to extend. */
const packs = "stages: { calibrate: {}, spbo: {}, pack: {} }\n";

Deno.test("loadRecipe() fills in every default of the stages that are named, leaves what is stated, and adds no stage", async () => {
  const text = `${model}stages: { calibrate: {}, spbo: { iterations: 20 }, pack: }\n`;
  await withFiles({ "a.yaml": text }, async (folder) => {
    const { recipe: { model, stages }, name, warnings } = await loadRecipe("a.yaml", { cwd: folder });
    assert.deepEqual(model, { path: join(folder, "weights") });
    assert.deepEqual(Object.keys(stages), ["calibrate", "spbo", "pack"]);
    assert.equal(stages.spbo?.iterations, 20);
    assert.equal(stages.spbo?.group_size, 128);
    assert.deepEqual(stages.pack, { scales: "f16", mask: "enumerative", coding: "planes", embedding: "original" });
    assert.equal(name, "a");
    assert.deepEqual(warnings, []);
  });
});

Deno.test("loadRecipe() takes a stage with nothing after it as named, and leaves what an extended recipe says of it", async () => {
  const files = {
    "base.yaml": "stages:\n  calibrate:\n  spbo: { resign: 3 }\n",
    "a.yaml": `extends: base.yaml\n${model}stages:\n  spbo: # as it was\n  pack:\n`,
  };
  await withFiles(files, async (folder) => {
    const { recipe: { stages }, sources } = await loadRecipe("a.yaml", { cwd: folder, set: ["stages.evaluate="] });
    assert.equal(stages.spbo?.resign, 3);
    assert.equal(stages.pack?.scales, "f16");
    assert.deepEqual(stages.evaluate?.perplexity, ["wikitext2"]);
    assert.deepEqual(sources.get("stages.pack"), { file: "a.yaml", line: 5, column: 3 });
    assert.equal(sources.get("stages.evaluate"), "--set");
  });
});

Deno.test("loadRecipe() names a stage with a setting of it", async () => {
  await withFiles({ "a.yaml": `${model}stages: { calibrate: {}, pack: {} }\n` }, async (folder) => {
    await assert.rejects(readRecipe(oneMethod, "a.yaml", { cwd: folder }), {
      message: [
        "error: no stage makes `quantized`: add spbo",
        " --> a.yaml:2:26",
        "  |",
        "2 | stages: { calibrate: {}, pack: {} }",
        "  |                          ^^^^",
        "  = note: stages.pack needs it",
      ].join("\n"),
    });
    const { recipe: { stages }, sources } = await loadRecipe("a.yaml", {
      cwd: folder,
      set: ["stages.spbo.iterations=20"],
    });
    assert.equal(stages.spbo?.iterations, 20);
    assert.equal(stages.spbo?.solver, "alternate");
    assert.equal(sources.get("stages.spbo"), "--set");
    assert.equal(sources.get("stages.spbo.solver"), "default");
  });
});

Deno.test("loadRecipe() merges maps along extends, replaces lists, and resolves paths where they are stated", async () => {
  const files = {
    "base/deep.yaml": "stages: { spbo: { resign: 3, solver: joint }, evaluate: { perplexity: [ptb, c4] }, pack: {} }\n",
    "base/base.yaml": "extends: deep.yaml\nmodel: { path: w, config: c }\nstages: { spbo: { resign: 1 } }\n",
    "top.yaml": [
      "extends: base/base.yaml",
      "model: { path: other }",
      "stages:",
      "  calibrate: { dataset: { text: t.txt } }",
      "  evaluate: { perplexity: [{ name: x, dataset: { windows: w.safetensors, tensor: t } }] }",
      "",
    ].join("\n"),
  };
  await withFiles(files, async (folder) => {
    const { recipe, sources } = await loadRecipe(join(folder, "top.yaml"), { cwd: folder });
    assert.equal(recipe.extends, undefined);
    assert.deepEqual(recipe.model, { path: join(folder, "other"), config: join(folder, "base", "c") });
    assert.deepEqual(recipe.stages.calibrate?.dataset, { text: join(folder, "t.txt") });
    assert.equal(recipe.stages.spbo?.solver, "joint");
    assert.equal(recipe.stages.spbo?.resign, 1);
    assert.deepEqual(recipe.stages.evaluate?.perplexity, [
      { name: "x", dataset: { windows: join(folder, "w.safetensors"), tensor: "t" } },
    ]);
    assert.deepEqual(sources.get("stages.spbo.resign"), { file: "base/base.yaml", line: 3, column: 19 });
    assert.deepEqual(sources.get("stages.spbo.solver"), { file: "base/deep.yaml", line: 1, column: 30 });
    assert.deepEqual(sources.get("stages.evaluate.perplexity.0.name"), { file: "top.yaml", line: 5, column: 30 });
    assert.equal(sources.get("stages.spbo.iterations"), "default");
  });
});

Deno.test("loadRecipe() lays --set over the file: scalars, flow values, list items, other forms of a map", async () => {
  await withFiles(
    { "a.yaml": `model: { path: w, config: c }\nstages: { evaluate: { perplexity: [ptb] } }\n` },
    async (folder) => {
      const set = [
        "stages.calibrate={}",
        "stages.pack={}",
        "stages.spbo.iterations=1",
        "stages.spbo.iterations=20",
        "stages.spbo.search_target={salient: scores, segments: weights}",
        "stages.evaluate.perplexity.0=c4",
        "model.revision=v1",
        "model.hub=owner/name",
      ];
      const { recipe, sources } = await loadRecipe("a.yaml", { cwd: folder, set });
      assert.equal(recipe.stages.spbo?.iterations, 20);
      assert.deepEqual(recipe.stages.spbo?.search_target, { salient: "scores", segments: "weights" });
      assert.deepEqual(recipe.stages.evaluate?.perplexity, ["c4"]);
      assert.deepEqual(recipe.model, { hub: "owner/name", revision: "v1" });
      assert.equal(sources.get("stages.spbo.iterations"), "--set");
      assert.equal(sources.get("stages.spbo.search_target.salient"), "--set");
    },
  );
});

Deno.test("loadRecipe() expands aliases", async () => {
  const text =
    `${model}stages:\n  calibrate: { dataset: &text c4 }\n  spbo:\n  pack:\n  evaluate: { perplexity: [*text] }\n`;
  await withFiles({ "a.yaml": text }, async (folder) => {
    const { recipe } = await loadRecipe("a.yaml", { cwd: folder });
    assert.deepEqual(recipe.stages.evaluate?.perplexity, ["c4"]);
  });
});

Deno.test("loadRecipe() refuses aliases that expand without end", async () => {
  const rows = Array.from({ length: 8 }, (_, i) => `x${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(", ")}]`);
  await withFiles({ "a.yaml": `x0: &a0 [1]\n${rows.join("\n")}\n` }, async (folder) => {
    await assert.rejects(loadRecipe("a.yaml", { cwd: folder }), /expands to more than 10000 values/);
  });
});

Deno.test("renderRecipe() reads back as the same recipe", async () => {
  await withFiles({
    "a.yaml": `extends: b.yaml\n${model}stages: { calibrate: { dataset: { text: t.txt } } }\n`,
    "b.yaml": packs,
  }, async (folder) => {
    const { recipe } = await loadRecipe("a.yaml", { cwd: folder });
    const lock = renderRecipe({ schema: RecipeSchema }, recipe, { relativeTo: join(folder, "runs", "one") });
    assert.match(lock, /path: \.\.\/\.\.\/weights\n/);
    assert.match(lock, /iterations: 15\n/);
    await mkdir(join(folder, "runs", "one"), { recursive: true });
    await writeFile(join(folder, "runs", "one", "lock.yaml"), lock);
    assert.deepEqual((await loadRecipe("runs/one/lock.yaml", { cwd: folder })).recipe, recipe);
  });
});

Deno.test("Every shipped recipe loads without a warning, and names its schema and its command", async () => {
  const names = (await readdir(configs, { recursive: true })).map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".yaml"));
  for (const wanted of ["quickstart", "smollm2-135m-5of8", "llama7b-6of8", "llama3-8b-4of8", "opt-1.3b-4of8"]) {
    assert.ok(names.includes(`${wanted}.yaml`), wanted);
  }
  for (const name of names) {
    const text = await readFile(join(configs, name), "utf8");
    const schema = `${"../".repeat(name.split("/").length - 1)}recipe.schema.json`;
    assert.ok(text.startsWith(`# yaml-language-server: $schema=${schema}\n`), name);
    if (name.startsWith("bases/")) continue;
    const sweep = await loadSweep(name, { cwd: configs });
    assert.ok(text.includes(`\n# deno task ${sweep ? "sweep" : "run"} configs/${name}\n`), name);
    const { warnings, ...loaded } = sweep ?? await loadRecipe(name, { cwd: configs });
    assert.deepEqual(warnings, [], name);
    assert.ok("points" in loaded ? loaded.name : loaded.recipe.name, name);
  }
});

Deno.test("configs/recipe.schema.json is current; `deno task schema --write` makes it so", async () => {
  assert.equal(await readFile(join(configs, "recipe.schema.json"), "utf8"), recipeJsonSchema(RecipeSchema));
});

Deno.test("recipeJsonSchema() describes every key", () => {
  type Node = { description?: string; properties?: Record<string, Node>; anyOf?: Node[] };
  const visit = (node: Node, path: string) => {
    for (const [key, inner] of Object.entries(node.properties ?? {})) {
      assert.ok(inner.description, `${path}.${key} has no description`);
      visit(inner, `${path}.${key}`);
    }
    node.anyOf?.forEach((form) => visit(form, path));
  };
  visit(JSON.parse(recipeJsonSchema(RecipeSchema)), "");
});

Deno.test("loadRecipe() reports a circle of extends, and a missing file with one like it", async () => {
  await withFiles(
    { "a.yaml": "extends: b.yaml\n", "b.yaml": "extends: ./a.yaml\n", "quick.yaml": model },
    async (folder) => {
      await assert.rejects(loadRecipe("a.yaml", { cwd: folder }), (error) => {
        assert.ok(error instanceof RecipeError);
        assert.equal(
          error.message,
          [
            "error: recipes extend one another in a circle",
            " --> b.yaml:1:10",
            "  |",
            "1 | extends: ./a.yaml",
            "  |          ^^^^^^^^",
            "  = note: a.yaml → b.yaml → a.yaml",
          ].join("\n"),
        );
        return true;
      });
      await assert.rejects(
        loadRecipe("quik.yaml", { cwd: folder }),
        { message: "error: cannot read recipe `quik.yaml`: there is no such file\n = did you mean `quick.yaml`?" },
      );
    },
  );
});

/** A language of its own: nothing here knows the stages of this project. */
interface Menu extends Recipe {
  readonly model: string;
  readonly stages: {
    readonly cook?: { readonly from: { readonly tin: string } | { readonly market: string }; readonly minutes: number };
    readonly serve?: { readonly plates: Readonly<Record<string, string>> };
  };
}

const tin = z.strictObject({ tin: z.string().meta({ path: true }).describe("A tin") });

const menus: RecipeLanguage<Menu> = {
  schema: z.strictObject({
    extends: z.string().optional(),
    model: z.string(),
    stages: z.strictObject({
      cook: z.strictObject({
        from: z.union([tin, z.strictObject({ market: z.string() })]),
        minutes: z.int().min(1).default(9),
      }).optional(),
      serve: z.strictObject({ plates: z.record(z.string(), z.string().meta({ path: true })).default({}) }).optional(),
    }).prefault({}),
  }),
  rules: [
    {
      reads: ["stages.serve", "stages.cook"],
      partial: true,
      check: (menu) =>
        menu.value("stages.serve") !== undefined && menu.value("stages.cook") === undefined
          ? [error(["stages", "serve"], "nothing is cooked", { isKey: true })]
          : [],
    },
    {
      reads: ["stages.cook.minutes"],
      check: ({ value, blame }) =>
        (value<number>("stages.cook.minutes") ?? 0) > 30
          ? [error(blame("stages.cook.minutes"), "it burns", { allowed: "minutes up to 30" })]
          : [],
    },
  ],
};

Deno.test("loadRecipe() says of a base recipe only that it has no model, and of a chain where a stage is missed", async () => {
  await assert.rejects(loadRecipe("bases/paper.yaml", { cwd: configs }), {
    message: [
      "error: missing key `model`",
      " --> bases/paper.yaml:4:1",
      "  |",
      "4 | stages:",
      "  | ^^^^^^",
      "  = allowed: a map with `path`, or a map with `hub`",
    ].join("\n"),
  });
  const files = {
    "base.yaml": "stages:\n  calibrate:\n  pack:\n",
    "middle.yaml": `extends: base.yaml\n${model}`,
    "top.yaml": "extends: middle.yaml\nstages: { compensate: { mode: exact } }\n",
  };
  await withFiles(files, async (folder) => {
    await assert.rejects(readRecipe(oneMethod, "top.yaml", { cwd: folder }), {
      message: [
        "error: no stage makes `quantized`: add spbo",
        " --> base.yaml:3:3",
        "  |",
        "3 |   pack:",
        "  |   ^^^^",
        "  = note: stages.pack needs it",
      ].join("\n"),
    });
    const { recipe, warnings } = await loadRecipe("top.yaml", { cwd: folder, set: ["stages.spbo={}"] });
    assert.deepEqual(Object.keys(recipe.stages), ["calibrate", "spbo", "compensate", "pack"]);
    assert.deepEqual(warnings, []);
  });
});

Deno.test("readRecipe() makes paths absolute in unions and records, wherever a language marks them", async () => {
  const files = {
    "in/base.yaml": "stages: { serve: { plates: { small: s.txt } } }\n",
    "menu.yaml":
      "extends: in/base.yaml\nmodel: soup\nstages: { cook: { from: { tin: t } }, serve: { plates: { big: b } } }\n",
    "market.yaml": "model: soup\nstages: { cook: { from: { market: t } } }\n",
  };
  await withFiles(files, async (folder) => {
    const { recipe } = await readRecipe(menus, "menu.yaml", { cwd: folder });
    assert.deepEqual(recipe.stages, {
      cook: { from: { tin: join(folder, "t") }, minutes: 9 },
      serve: { plates: { small: join(folder, "in", "s.txt"), big: join(folder, "b") } },
    });
    assert.match(renderRecipe(menus, recipe, { relativeTo: folder }), /small: in\/s\.txt\n/);
    const { recipe: bought } = await readRecipe(menus, "market.yaml", { cwd: folder });
    assert.deepEqual(bought.stages.cook?.from, { market: "t" });
  });
});

Deno.test("readRecipe() checks a language's rules: of what is not there only those that ask for it", async () => {
  const refuses = async (text: string, wanted: RegExp | undefined) => {
    await withFiles({ "menu.yaml": text }, async (folder) => {
      const read = readRecipe(menus, "menu.yaml", { cwd: folder });
      if (wanted === undefined) await read;
      else await assert.rejects(read, wanted);
    });
  };
  await refuses("model: soup\n", undefined);
  await refuses("model: soup\nstages: { serve: }\n", /^RecipeError: error: nothing is cooked\n --> menu\.yaml:2:11/);
  await refuses(
    "model: soup\nstages: { cook: { from: { tin: t }, minutes: 31 } }\n",
    /it burns[^]*= allowed: minutes up to 30/,
  );
  await refuses("model: soup\nstages: { cook: { from: { tinn: t } } }\n", /unknown key `tinn`[^]*did you mean `tin`/);
});

Deno.test("recipeJsonSchema() keeps the marks of a language to itself", () => {
  const text = recipeJsonSchema(menus.schema);
  assert.doesNotMatch(text, /"path"/);
  assert.match(text, /"minutes"/);
  // `cook:` alone is allowed.
  assert.deepEqual(JSON.parse(text).properties.stages.properties.cook.type, ["object", "null"]);
  const marks: string[] = [];
  JSON.parse(recipeJsonSchema(RecipeSchema), (key, value) => {
    if (key === "path" && typeof value !== "object") marks.push(value);
    return value;
  });
  assert.deepEqual(marks, []);
});
