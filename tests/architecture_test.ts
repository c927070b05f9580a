/** The house itself: which folder may import which, how long files are, and that the README's commands exist. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, resolve } from "node:path";
import { loadRecipe } from "../pipeline/mod.ts";
import { project, tasks } from "./command_line_test_support.ts";

/** What each folder may import besides itself; a file name stands for that file only. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  kernels: [],
  hub: ["checkpoints/input_error.ts", "checkpoints/byte_source.ts", "checkpoints/file_hashes.ts"],
  checkpoints: ["kernels", "hub"],
  datasets: ["checkpoints", "hub"],
  models: ["checkpoints"],
  runner: ["checkpoints/safetensors.ts", "checkpoints/file_hashes.ts", "checkpoints/input_error.ts"],
  report: ["runner", "checkpoints"],
  stages: ["kernels", "models", "checkpoints", "datasets", "hub", "runner", "report"],
  cli: ["runner", "stages", "report", "models", "checkpoints", "datasets", "hub", "bench"],
  bench: ["cli", "runner", "stages", "report", "models", "checkpoints", "datasets", "kernels"],
};

/** Lines that a file may have without a reason. */
const MOST_LINES = 400;

/** Longer files, and why they are. */
const LONGER: Readonly<Record<string, string>> = {
  "kernels/cpu.ts": "one device is one thing: its memory and all its operations",
  "kernels/webgpu_context.ts": "one adapter's command stream: encoding, limits and errors belong together",
  "runner/run.ts": "one run is one state machine",
  "runner/cache.ts": "one cache is one thing: folders and index change together",
};

function* filesIn(folder: string): Generator<string> {
  for (const entry of readdirSync(join(project, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else yield path;
  }
}

const folders = [...Object.keys(ALLOWED), "tests"];
const sources = folders.flatMap((folder) => [...filesIn(folder)]).filter((path) => path.endsWith(".ts"));
const isSupport = (path: string) => /_(test|bench|test_support)\.ts$/.test(path);

/** Project files that a file imports, types and workers too. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(project, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const found = text.matchAll(/(?:\bfrom|\bimport|\bimport\(|\bnew URL\()\s*"(\.[^"]+\.ts)"/g);
  return [...found].map(([, target]) => posix.normalize(posix.join(posix.dirname(path), target)));
}

Deno.test("imports point one way: every edge between folders is one that the design has", () => {
  assert.ok(sources.length > 100);
  const wrong: string[] = [];
  for (const path of sources.filter((path) => !isSupport(path))) {
    const folder = path.split("/")[0];
    for (const target of importsOf(path)) {
      const other = target.split("/")[0];
      const allowed = other === folder || [other, target].some((each) => ALLOWED[folder]?.includes(each));
      if (!allowed || isSupport(target)) wrong.push(`${path} → ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("imports point one way: no file is in a circle with files of another folder", () => {
  const graph = new Map(sources.filter((path) => !isSupport(path)).map((path) => [path, importsOf(path)]));
  const reach = (from: string): Set<string> => {
    const seen = new Set<string>();
    const stack = [...graph.get(from) ?? []];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      stack.push(...graph.get(next) ?? []);
    }
    return seen;
  };
  const circles: string[] = [];
  for (const path of graph.keys()) {
    for (const target of reach(path)) {
      const crosses = target.split("/")[0] !== path.split("/")[0];
      if (crosses && path < target && reach(target).has(path)) circles.push(`${path} ↔ ${target}`);
    }
  }
  assert.deepEqual(circles, []);
});

Deno.test("packages are imported by the names that deno.json pins, one version each", () => {
  const { imports } = JSON.parse(readFileSync(join(project, "deno.json"), "utf8"));
  for (const [name, target] of Object.entries(imports)) {
    assert.match(String(target), /^npm:.+@\d+\.\d+\.\d+(-[\w.]+)?$/, `${name} is not pinned`);
  }
  const used = new Set<string>();
  for (const path of sources) {
    const text = readFileSync(join(project, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
    for (const [, target] of text.matchAll(/^(?:(?:import|export)\s[^;"]*?\sfrom|import) "([^"]+)"/gm)) {
      if (/^[.]|^node:/.test(target)) continue;
      const name = Object.keys(imports).find((each) => target === each || target.startsWith(`${each}/`));
      assert.ok(name, `${path} imports ${target}, which deno.json does not pin`);
      used.add(name);
    }
  }
  const text = sources.map((path) => readFileSync(join(project, path), "utf8")).join("\n");
  const unused = Object.keys(imports).filter((name) => !used.has(name) && !text.includes(`"${name}`));
  assert.deepEqual(unused, [], "deno.json pins packages that nothing imports");
});

Deno.test("files are short, or there is a reason", () => {
  const long = sources.filter((path) => readFileSync(join(project, path), "utf8").split("\n").length - 1 > MOST_LINES);
  assert.deepEqual(long.filter((path) => !(path in LONGER)), []);
});

Deno.test("file names are snake_case, and no file is a heap of leftovers", () => {
  for (const path of sources) {
    const name = path.split("/").at(-1) ?? "";
    assert.match(name, /^[a-z0-9]+(_[a-z0-9]+)*\.ts$/, path);
    assert.doesNotMatch(name, /^(utils?|helpers?|common|misc)\.ts$/, path);
  }
});

Deno.test("README's commands are tasks, its recipes and links exist", () => {
  const readme = readFileSync(join(project, "README.md"), "utf8");
  const commands = [...readme.matchAll(/(?:deno|deno@[\d.]+) task (?:-q |--quiet )?([a-z][\w-]*)/g)].map(([, task]) =>
    task
  );
  assert.ok(commands.includes("run") && commands.includes("test"), commands.join());
  for (const task of commands) assert.ok(task in tasks, `the README names task ${task}`);
  for (const [recipe] of readme.matchAll(/configs\/[\w./-]+\.yaml/g)) readFileSync(join(project, recipe));
  for (const [, target] of readme.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
    assert.ok(readdirSync(dirname(join(project, target))).length > 0, target);
  }
});

Deno.test("tasks need no shell, and none asks for all permissions", () => {
  for (const [name, { command }] of Object.entries(tasks)) {
    assert.match(command, /^deno /, name);
    assert.doesNotMatch(command, /(^|\s)(-A|--allow-all)(\s|$)/, name);
    // deno task itself puts variables in, on every system.
    assert.doesNotMatch(command.replace("$PBS2P_NET", ""), /[|;`$><]/, name);
  }
});

Deno.test("every shipped recipe loads, pins its model or says that it moves, and states its command", async () => {
  const recipes = [...filesIn("configs")].filter((path) => path.endsWith(".yaml"));
  assert.ok(recipes.length >= 11);
  for (const path of recipes.filter((path) => !path.startsWith("configs/bases/"))) {
    const { recipe, warnings } = await loadRecipe(resolve(project, path));
    assert.deepEqual(warnings, [], path);
    const text = readFileSync(join(project, path), "utf8");
    if ("hub" in recipe.model && !/^[0-9a-f]{40}$/.test(recipe.model.revision)) {
      assert.match(text, /`main` moves: .*lock/, `${path} does not pin its model, and does not say so`);
    }
    assert.match(text, /yaml-language-server: \$schema=/, path);
    assert.ok(text.includes(path) || !/^configs\/[^/]+$/.test(path), `${path} does not state its command`);
  }
});
