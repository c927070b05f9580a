import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildMetrics, renderMetrics } from "../report/mod.ts";
import { FACTS } from "../report/metrics_test_support.ts";
import { sweepOf } from "../report/sweep_test_support.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import type { RunRecord } from "../runner/mod.ts";
import type { Json } from "../runner/stage.ts";
import { main } from "./main.ts";
import { projectFolder } from "./places.ts";
import { commandOfPoint, commandOfRun, commandOfSweep, shippedRecipes } from "./result_commands.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

const DEVICE = { kind: "cpu", name: "2 threads", why: "there is no other" };

function writeRun(folder: string, run: string, recipe: string): void {
  mkdirSync(join(folder, run), { recursive: true });
  const events = [
    {
      at: 5,
      type: "run-started",
      run,
      recipe,
      method: "pbs2p",
      model: "tiny-llama",
      device: DEVICE,
      folder: "/r",
      steps: [],
    },
    { at: 9000, type: "run-finished", folder: "/r", seconds: 9, peakMemory: 1, ran: 4, cached: 0 },
  ];
  writeFileSync(join(folder, run, "events.ndjson"), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  writeFileSync(join(folder, run, "recipe.lock.yaml"), `recipe: { name: ${recipe} }\nlock: { code: { pack: abc } }\n`);
  writeFileSync(join(folder, run, "metrics.json"), renderMetrics(buildMetrics({ ...FACTS, run })));
}

/** A place with two runs and a sweep, and the command in it. */
async function withResults(
  work: (folder: string, results: (...args: readonly string[]) => ReturnType<typeof command>) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-results-" });
  const where = [
    "--records",
    join(folder, "records"),
    "--out",
    join(folder, "PAGE.md"),
    "--runs",
    join(folder, "runs"),
  ];
  try {
    writeRun(join(folder, "runs"), "20260101-000000000-aaaaaa-mine", "mine");
    writeRun(join(folder, "runs"), "20260102-000000000-bbbbbb-mine", "mine");
    const sweep = join(folder, "sweep");
    writeRun(join(sweep, "points"), "20260103-000000000-cccccc-a", "a");
    const points = [{ label: "a", values: { k: 1 }, run: "points/20260103-000000000-cccccc-a" }, {
      label: "b c",
      values: { k: 2 },
      state: "failed" as const,
      error: "no",
    }];
    writeFileSync(join(sweep, "sweep.json"), JSON.stringify(sweepOf(points, { name: "two points" })));
    await work(folder, (...args) => command([...args, ...where]));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function command(args: readonly string[]) {
  const terminal = memoryTerminal();
  const code = await main(["results", ...args], terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

Deno.test("results keeps records of runs and sweeps by their recipes' names, and makes the page of all", () =>
  withResults(async (folder, results) => {
    const page = () => readFileSync(join(folder, "PAGE.md"), "utf8");
    const first = await results("20260101");
    assert.deepEqual([first.code, first.out, first.err], [
      0,
      "mine.json: 20260101-000000000-aaaaaa-mine\nPAGE.md: 1 record\n",
      "",
    ]);
    const second = await results("last", join(folder, "sweep"));
    assert.equal(
      second.out,
      "mine.json: 20260102-000000000-bbbbbb-mine, in place of 20260101-000000000-aaaaaa-mine\n" +
        "two-points.json: 20250102-030405-ab12-methods\nPAGE.md: 2 records\n",
    );
    assert.deepEqual(readdirSync(join(folder, "records")).sort(), ["mine.json", "two-points.json"]);
    assert.match(
      page(),
      /^\| a \| `20260103-000000000-cccccc-a` .* \| `deno task sweep 'two points\.yaml' --only a` \|$/m,
    );
    assert.match(page(), /^\| two points \| b c \| failed \| no \|$/m);
    assert.ok(!page().includes(folder) && !readFileSync(join(folder, "records", "mine.json"), "utf8").includes(folder));
    const before = page();
    assert.equal((await results()).code, 0);
    assert.equal(page(), before);
  }));

Deno.test("results --check tells where the page is not what the records make, and writes nothing", () =>
  withResults(async (folder, results) => {
    await results("last");
    assert.deepEqual(await results("--check"), { code: 0, out: "PAGE.md is what the records make.\n", err: "" });
    const path = join(folder, "PAGE.md"), page = readFileSync(path, "utf8");
    for (
      const [text, line] of [[page.replace("# Results", "# Better results"), 1], [
        `${page}more`,
        page.split("\n").length,
      ], ["", 1]] as const
    ) {
      writeFileSync(path, text);
      const { code, err } = await results("--check");
      assert.deepEqual([code, err], [
        10,
        `error: PAGE.md is not what the records make, from line ${line} on; run: deno task results\n`,
      ]);
      assert.equal(readFileSync(path, "utf8"), text);
    }
    assert.equal((await results("--check", "last")).code, 2);
    assert.equal((await results("nowhere")).code, 2);
    writeFileSync(join(folder, "records", "bad.json"), "{}");
    const damaged = await results("--check");
    assert.equal(damaged.code, 3);
    assert.match(damaged.err, /^error: Cannot read bad\.json as a record of results: version: /);
  }));

Deno.test("RESULTS.md is what the records in results/ make; otherwise run deno task results", async () => {
  const terminal = memoryTerminal();
  assert.equal(await main(["results", "--check"], terminal), 0, terminal.err());
});

Deno.test("commandOfRun() names the shipped recipe, and sets what differs from it but for places of files", async () => {
  const recipes = shippedRecipes();
  const path = "configs/reference/tiny-llama-4of8.yaml";
  assert.equal(recipes.get("reference-tiny-llama-4of8"), path);
  const settingsOf = async (...set: readonly string[]): Promise<Json> => {
    const { recipe } = await loadRecipe(join(projectFolder, path), { set, cwd: projectFolder });
    return JSON.parse(JSON.stringify(recipe));
  };
  const run = async (rest: Partial<RunRecord>): Promise<string> =>
    await commandOfRun({
      ...{
        run: "r",
        folder: "/r",
        recipe: "reference-tiny-llama-4of8",
        model: "m",
        method: "pbs2p",
        outcome: "finished",
      },
      ...{ started: 0, seconds: 1, steps: { run: 1, cached: 0 }, device: DEVICE, events: [] },
      ...rest,
    }, recipes);
  assert.equal(await run({ settings: await settingsOf() }), `deno task run ${path}`);
  const settings = await settingsOf(
    "stages.spbo.iterations=20",
    "stages.spbo.solver=joint",
    `model.path=${projectFolder}`,
  );
  assert.equal(
    await run({ settings, device: { ...DEVICE, why: "asked for with --device cpu" } }),
    `deno task run ${path} --device cpu --set stages.spbo.solver=joint --set stages.spbo.iterations=20`,
  );
  assert.equal(await run({ recipe: "my own" }), "deno task run 'my own.yaml'");
  const command = commandOfSweep(sweepOf([], { name: "quickstart" }), recipes);
  assert.equal(
    commandOfPoint(command, sweepOf([{ label: "it's" }]).points[0]),
    "deno task sweep configs/quickstart.yaml --only 'it'\\''s'",
  );
});

Deno.test("commandOfSweep() names what was laid on top of a sweep's recipe", () => {
  const recipes = shippedRecipes();
  const command = (name: string) => commandOfSweep({ name }, recipes);
  assert.equal(command("keep"), "deno task sweep configs/sweeps/keep.yaml");
  assert.equal(
    command("table1 with smollm2-135m-texts"),
    "deno task sweep configs/sweeps/table1.yaml --with configs/bases/smollm2-135m-texts.yaml",
  );
});
