/**
 * The house itself: imports point one way and in no circle, rooms are entered through their doors, files are short, what
 * comments and the README name is there.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { loadRecipe, loadSweep } from "../pipeline/mod.ts";
import { readSource, resolve as targetOf } from "../runner/reach.ts";
import { stages } from "../stages/mod.ts";
import { project, tasks } from "./command_line_test_support.ts";

/** All rooms, the lowest first: a room imports itself and lower ones. */
const ROOMS: readonly string[] = [
  "telemetry",
  "files",
  "onnx",
  "recipes",
  "kernels",
  "hub",
  "checkpoints",
  "tokenizers",
  "datasets",
  "models",
  "tasks",
  "layers",
  "inference",
  "export",
  "runner",
  "report",
  "stages",
  "pipeline",
  "mod.ts",
  "server",
  "cli",
  "fuzz",
  "bench",
];

/** Rooms that know less than what lies below them. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  recipes: ["files"],
  runner: ["files", "recipes", "telemetry"],
  // Results are told apart by what they are, not by the stage that made them.
  report: ["files", "checkpoints", "runner"],
  // It shows what the runner leaves behind, and computes nothing but texts.
  server: ["files", "recipes", "inference", "runner", "report", "stages", "pipeline"],
  // Products on the CPU are ONNX graphs too.
  kernels: ["onnx", "telemetry"],
  hub: ["files"],
};

/** What everyone may take of kernels/ besides the operations of its rooms. */
const KERNELS_FRONT = /^kernels\/(device|op|cpu|cpu_buffer|webgpu)\.ts$/;
/** Operations of a room of kernels/. */
const OPS = /^kernels\/\w+\/ops\.ts$/;
/** What runs on a GPU only, and so may take the ground floor of the WebGPU device. */
const GPU_CODE = /^kernels\/(op|webgpu)\.ts$|_(webgpu|wgsl)\.ts$/;

/** Lines that a file may have without a reason. */
const MOST_LINES = 400;

/** Longer files, and why they are. */
const LONGER: Readonly<Record<string, string>> = {
  "recipes/diagnostics_test.ts": "what is printed of every kind of mistake, whole",
  "runner/cache/cache.ts": "one cache is one thing: folders and index change together",
  "runner/run.ts": "one run is one state machine",
  "runner/run_test.ts": "one run is told in one place, as its states depend on each other",
  "tests/keys_test.ts": "a row for every option of every stage",
};

/** Folders that hold nothing of the project's own, or records alone. */
const FOREIGN = new Set(["node_modules", "runs", "shared"]);

function* filesIn(folder: string): Generator<string> {
  for (const entry of readdirSync(join(project, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) yield* filesIn(path);
    else yield path;
  }
}

const folders = readdirSync(project, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith(".") && !FOREIGN.has(entry.name))
  .map(({ name }) => name).sort();
const sources = ["mod.ts", ...folders.flatMap((folder) => [...filesIn(folder)])].filter((path) => path.endsWith(".ts"));
const isSupport = (path: string) => /_(test|bench|test_support)\.ts$/.test(path);
const isCode = (path: string) => !isSupport(path) && !path.startsWith("tests/");
const roomOf = (path: string) => path.split("/")[0];
/** The room of kernels/ that a file is in; empty for those in front. */
const innerRoom = (path: string) => path.split("/").length > 2 ? path.split("/")[1] : "";

/** Files of the project that each file leads to: for their values, their types, or as workers. */
const links = new Map(
  sources.map((path) => {
    const targets = readSource(project, path).links.map(({ target }) => targetOf(path, target));
    return [path, [...new Set(targets.filter((target) => target !== undefined))]];
  }),
);
/** Without tests, which may look everywhere. */
const code = new Map([...links].filter(([path]) => isCode(path)));

/** Links of code for which a rule holds, to be shown. */
function linksWhere(rule: (from: string, to: string) => boolean): string[] {
  return [...code].flatMap(([from, targets]) => targets.filter((to) => rule(from, to)).map((to) => `${from} → ${to}`));
}

/** What the runtime itself finds that each file imports, as it is written there. */
async function specifiersOf(paths: readonly string[]): Promise<Map<string, readonly string[]>> {
  const folder = await Deno.makeTempDir();
  try {
    const entry = join(folder, "entry.ts");
    const url = (path: string) => pathToFileURL(join(project, path)).href;
    await Deno.writeTextFile(entry, paths.map((path) => `import ${JSON.stringify(url(path))};\n`).join(""));
    const args = ["info", "--json", "--no-npm", "--no-lock", "--config", join(project, "deno.json"), entry];
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const { modules }: { modules: { specifier: string; dependencies?: { specifier: string }[] }[] } = JSON.parse(
      new TextDecoder().decode(stdout),
    );
    const found = new Map(modules.map(({ specifier, dependencies = [] }) => [specifier, dependencies]));
    return new Map(paths.map((path) => {
      const dependencies = found.get(url(path));
      assert.ok(dependencies, `deno info does not list ${path}`);
      return [path, dependencies.map(({ specifier }) => specifier)];
    }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("no import is overlooked: the runtime finds the same ones in every file", async () => {
  assert.ok(sources.length > 300);
  const wrong: string[] = [];
  for (const [path, expected] of await specifiersOf(sources)) {
    const found = readSource(project, path).links.filter(({ late }) => late !== "worker").map(({ target }) => target);
    const [ours, theirs] = [new Set(found), new Set(expected)];
    for (const target of theirs) if (!ours.has(target)) wrong.push(`${path} imports ${target}, which is not seen`);
    // Tests may hold code in strings.
    for (const target of isCode(path) ? ours : []) {
      if (!theirs.has(target)) wrong.push(`${path} does not import ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("no worker is overlooked: each is started by a plain path", () => {
  const wrong = [...code.keys()].filter((path) => {
    const { code: text, links } = readSource(project, path);
    return text.split("new Worker(").length - 1 !== links.filter(({ late }) => late === "worker").length;
  });
  assert.deepEqual(wrong, []);
});

Deno.test("every folder of code is a room, and every room is there", () => {
  assert.deepEqual([...new Set([...code.keys()].map(roomOf))].sort(), [...ROOMS].sort());
});

Deno.test("imports point one way: a room imports itself and lower ones", () => {
  const height = (path: string) => ROOMS.indexOf(roomOf(path));
  assert.deepEqual(linksWhere((from, to) => height(to) < 0 || height(to) > height(from)), []);
});

Deno.test("imports point one way: some rooms know less than that", () => {
  const wrong = linksWhere((from, to) => {
    const [room, other] = [roomOf(from), roomOf(to)];
    return room !== other && room in ONLY && !ONLY[room].includes(other);
  });
  assert.deepEqual(wrong, []);
});

Deno.test("imports go in no circle, types and workers included", () => {
  assert.deepEqual(circles(code).map((files) => files.join(" ↔ ")), []);
  const loop = new Map([["a", ["b"]], ["b", ["c", "d"]], ["c", ["a"]], ["d", ["d"]], ["e", ["a"]]]);
  assert.deepEqual(circles(loop), [["a", "b", "c"], ["d"]]);
});

/** Groups of files that all lead to each other. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const reach = (from: string): Set<string> => {
    const seen = new Set<string>();
    const open = [...graph.get(from) ?? []];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      open.push(...graph.get(next) ?? []);
    }
    return seen;
  };
  const reached = new Map([...graph.keys()].map((path) => [path, reach(path)]));
  const found = new Map<string, string[]>();
  for (const [path, seen] of reached) {
    if (!seen.has(path)) continue;
    const group = [...seen].filter((other) => reached.get(other)?.has(path)).sort();
    found.set(group[0], group);
  }
  return [...found.values()];
}

Deno.test("code imports no tests; fuzz/, which is a tool of tests, imports what they are supported by", () => {
  const allowed = (from: string, to: string) => roomOf(from) === "fuzz" && to.endsWith("_test_support.ts");
  assert.deepEqual(linksWhere((from, to) => !isCode(to) && to.endsWith(".ts") && !allowed(from, to)), []);
});

Deno.test("kernels/ is entered by its front, its rooms by ops.ts only", () => {
  const wrong = linksWhere((from, to) => {
    if (roomOf(to) !== "kernels" || OPS.test(to) || !isCode(to)) return false;
    if (roomOf(from) !== "kernels") return !KERNELS_FRONT.test(to);
    const room = innerRoom(to);
    return room !== "" && room !== innerRoom(from) && !(room === "gpu" && GPU_CODE.test(from));
  });
  assert.deepEqual(wrong, []);
});

Deno.test("runner/ and recipes/ know no stage", () => {
  const names = stages.map(({ name }) => name);
  assert.ok(names.length >= 7, names.join());
  const named = new RegExp(`["'\`](${names.join("|")})["'\`]|\\bstages\\.(${names.join("|")})\\b`);
  const wrong: string[] = [];
  for (const path of code.keys()) {
    if (!["runner", "recipes"].includes(roomOf(path))) continue;
    for (const line of readSource(project, path).code.split("\n")) {
      if (named.test(line)) wrong.push(`${path}: ${line.trim()}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("files that comments name are there", () => {
  const all = [...folders.flatMap((folder) => [...filesIn(folder)]), ...readdirSync(project)].map((path) => `/${path}`);
  const wrong: string[] = [];
  for (const path of [...sources, ...all.map((each) => each.slice(1)).filter((each) => each.endsWith(".wgsl"))]) {
    for (const comment of commentsOf(readFileSync(join(project, path), "utf8"))) {
      for (const [, name] of comment.matchAll(/`(?:\.{1,2}\/)*([\w/]+\.(?:ts|wgsl|md|yaml))`/g)) {
        if (!all.some((each) => each.endsWith(`/${name}`))) wrong.push(`${path} names ${name}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

/** What a source says to people. */
function commentsOf(text: string): string[] {
  return text.match(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm) ?? [];
}

Deno.test("the README's map shows every room", () => {
  const readme = readFileSync(join(project, "README.md"), "utf8");
  const map = /## The house\n+```text\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const shown = [...map.matchAll(/^([\w.]+)\/?(?= )/gm)].map(([, name]) => name);
  assert.deepEqual(shown.sort(), ["mod.ts", ...folders].sort());
});

Deno.test("packages are imported by the names that deno.json pins, one version each", () => {
  // Methods of the user's own name this project's files so; the project itself does not.
  const { imports: { pbs2p, "pbs2p/": folder, ...imports } } = JSON.parse(
    readFileSync(join(project, "deno.json"), "utf8"),
  );
  assert.deepEqual([pbs2p, folder], ["./mod.ts", "./"]);
  for (const [name, target] of Object.entries(imports)) {
    assert.match(String(target), /^npm:.+@\d+\.\d+\.\d+(-[\w.]+)?$/, `${name} is not pinned`);
  }
  const used = new Set<string>();
  for (const path of sources) {
    for (const { target } of readSource(project, path).links) {
      if (/^[.]|^node:/.test(target) || (/^pbs2p\b/.test(target) && !isCode(path))) continue;
      const name = Object.keys(imports).find((each) => target === each || target.startsWith(`${each}/`));
      assert.ok(name, `${path} imports ${target}, which deno.json does not pin`);
      used.add(name);
    }
  }
  const unused = Object.keys(imports).filter((name) => !used.has(name));
  assert.deepEqual(unused, [], "deno.json pins packages that nothing imports");
});

Deno.test("files are short, or there is a reason", () => {
  const long = sources.filter((path) => readFileSync(join(project, path), "utf8").split("\n").length - 1 > MOST_LINES);
  assert.deepEqual(long, Object.keys(LONGER));
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
    const sweep = await loadSweep(resolve(project, path));
    const { warnings, ...single } = sweep ?? await loadRecipe(resolve(project, path));
    assert.deepEqual(warnings, [], path);
    const text = readFileSync(join(project, path), "utf8");
    for (const { recipe: { model } } of "points" in single ? single.points : [single]) {
      if ("hub" in model && !/^[0-9a-f]{40}$/.test(model.revision)) {
        assert.match(text, /`main` moves: .*lock/, `${path} does not pin its model, and does not say so`);
      }
    }
    assert.match(text, /yaml-language-server: \$schema=/, path);
    assert.ok(text.includes(path) || !/^configs\/[^/]+$/.test(path), `${path} does not state its command`);
  }
});
