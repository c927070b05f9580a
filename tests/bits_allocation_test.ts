/** Bits allocated by measured sensitivity, from recipe to result, on a small model whose layers are not alike. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { renderResultTable } from "../report/mod.ts";
import type { RunResult } from "../runner/mod.ts";
import type { ArtifactReader } from "../runner/stage.ts";
import { coarseSearch } from "../stages/coarse_search.ts";
import type { Planning, Stage } from "../stages/planning.ts";
import type { Divergences } from "../stages/sensitivity.ts";
import { stages } from "../stages/mod.ts";
import { temporaryFolder } from "./command_line_test_support.ts";
import { runTiny, tinyMetrics, writeTinyModel } from "./tiny_model_test_support.ts";

type Settings = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const BITS = 3;

/** A recipe with the trellis method for the model in `folder`. */
function writeRecipe(folder: string, change: Settings = {}): string {
  const from = (tensor: string) => ({ windows: join(folder, "windows.safetensors"), tensor });
  const path = join(folder, "recipe.yaml");
  writeFileSync(
    path,
    stringify({
      model: { path: folder },
      stages: {
        calibrate: { dataset: from("calibration"), samples: 8, length: 32, ...change.calibrate },
        "coarse-search": { metric: "sensitivity", bits: BITS, spread: 1, ...change["coarse-search"] },
        trellis: { states: 4, ...change.trellis },
        compensate: { mode: "columnwise" },
        pack: {},
      },
    }),
  );
  return path;
}

/** The allocation of a run that went well. */
function allocationOf(result: RunResult) {
  if (result.error !== undefined) throw result.error;
  return tinyMetrics(result).allocation ?? assert.fail("There is no allocation");
}

/** Weights of the tiny model's layers, by the end of their names. */
const weightsOf = (name: string) => name.includes(".mlp.") ? 64 * 128 : 64 * 64;

function eventsOf({ folder }: RunResult) {
  return readFileSync(join(folder, "events.ndjson"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
}

function ranOf(result: RunResult): string[] {
  return eventsOf(result).filter(({ type }) => type === "step-finished").map(({ step }) => step);
}

Deno.test("coarse-search with bits and sensitivity", async (test) => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await writeTinyModel(folder, { layers: { q_proj: 0.5, k_proj: 0.5, v_proj: 0.5, o_proj: 0.5, down_proj: 1.5 } });
  const recipe = writeRecipe(folder);
  const stopped = await runTiny(folder, recipe, stoppedAt("coarse-search.check[0]"));
  const first = await runTiny(folder, recipe);
  const found = allocationOf(first);

  await test.step("goes on where a run has stopped, without measuring again", () => {
    assert.match(stopped.error?.message ?? "", /out of patience/);
    assert.ok(ranOf(stopped).includes("coarse-search.sensitivity[0]"));
    const again = ranOf(first).filter((id) => id.startsWith("coarse-search"));
    assert.deepEqual(again, ["coarse-search.check[0]", "coarse-search"]);
  });

  await test.step("gives layers different bits, the mean of which is what was asked for, and keeps to them", () => {
    const total = found.layers.reduce((sum, { name }) => sum + weightsOf(name), 0);
    const mean = found.layers.reduce((sum, { name, bits }) => sum + weightsOf(name) * bits, 0) / total;
    assert.ok(Math.abs(mean - BITS) < 1e-9, `${mean}`);
    assert.equal(found.mean, BITS);
    assert.ok(Math.abs(found.blocks[0] - BITS) < 1e-9);
    const { check } = found;
    assert.ok(check && check.kept && check.allocated < check.uniform, JSON.stringify(check));
    assert.ok(new Set(found.layers.map(({ bits }) => bits.toFixed(3))).size > 3);
    assert.ok(found.layers.every(({ bits }) => Math.abs(bits - BITS) <= 1 + 1e-9));
    const { stored } = tinyMetrics(first).bits;
    assert.ok(stored.total <= BITS && stored.total > 0.9 * BITS, `${stored.total}`);
  });

  await test.step("says so in its result and its report", () => {
    const table = renderResultTable(tinyMetrics(first), {}).join("\n");
    assert.match(table, /^bits by block +3\.00$/m);
    assert.match(table, /kept, as on windows held out/);
    const report = readFileSync(join(first.folder, "report.html"), "utf8");
    assert.match(report, /<h3>Bits per layer</);
  });

  await test.step("measures once for every target, and once for every spread", async () => {
    const target = await runTiny(folder, writeRecipe(folder, { calibrate: { target: "original" } }));
    assert.deepEqual(allocationOf(target), found);
    assert.ok(!ranOf(target).some((id) => id.startsWith("coarse-search")), ranOf(target).join());
    const narrow = await runTiny(folder, writeRecipe(folder, { "coarse-search": { spread: 0.25 } }));
    assert.ok(allocationOf(narrow).layers.every(({ bits }) => Math.abs(bits - BITS) <= 0.25 + 1e-9));
    const again = ranOf(narrow).filter((id) => id.startsWith("coarse-search"));
    assert.deepEqual(again, ["coarse-search.candidate", "coarse-search.check[0]", "coarse-search"]);
    const other = await runTiny(folder, writeRecipe(folder, { trellis: { states: 8 } }));
    assert.ok(ranOf(other).includes("coarse-search.sensitivity[0]"));
  });

  await test.step("falls back to the same bits for all where what was measured is wrong, and says so", async () => {
    const warnings: string[] = [],
      wrong = await runTiny(folder, writeRecipe(folder, { "coarse-search": { spread: 1.5 } }), misled(warnings));
    const { check, layers } = allocationOf(wrong);
    assert.ok(check && !check.kept && check.allocated > check.uniform, JSON.stringify(check));
    assert.deepEqual([...new Set(layers.map(({ bits }) => bits))], [BITS]);
    assert.deepEqual(warnings.map((message) => message.slice(0, 29)), ["All layers have the same bits"]);
    assert.match(renderResultTable(tinyMetrics(wrong), {}).join("\n"), /the same for all, as on windows held out/);
  });
});

Deno.test("coarse-search with bits and redundancy, or none, gives the mean", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await writeTinyModel(folder);
  for (const metric of ["lr", "none"]) {
    const { layers, check } = allocationOf(await runTiny(folder, writeRecipe(folder, { "coarse-search": { metric } })));
    assert.deepEqual([...new Set(layers.map(({ bits }) => bits))], [BITS]);
    assert.equal(check, undefined);
  }
});

/** The stages, one step of which fails. */
function stoppedAt(id: string): readonly Stage[] {
  return stages.map((stage) => ({
    ...stage,
    plan: (planning: Planning, settings) =>
      stage.plan(planning, settings).map((step) =>
        step.id === id ? { ...step, run: () => Promise.reject(new Error("out of patience")) } : step
      ),
  } satisfies Stage));
}

/** The stages, with a coarse-search that takes what harms most for what harms least. @param warnings get what it warns of */
function misled(warnings: string[]): readonly Stage[] {
  const wrong: typeof coarseSearch = {
    ...coarseSearch,
    plan: (planning: Planning, settings) =>
      coarseSearch.plan({ ...planning, warn: (message) => warnings.push(message) }, settings).map((step) =>
        step.id !== "coarse-search.candidate" ? step : {
          ...step,
          code: `${step.code} misled`,
          run: (context) =>
            step.run({
              ...context,
              input: async (name) => reversed(await context.input(name)),
              param: (path) => context.param(path),
              output: (name) => context.output(name),
              measure: (values) => context.measure(values),
            }),
        }
      ),
  };
  return stages.map((stage) => stage.name === coarseSearch.name ? wrong as Stage : stage);
}

/** What each layer changes, turned upside down; divergences stay as they are. */
function reversed(reader: ArtifactReader): ArtifactReader {
  const value = reader.value as Partial<Divergences> & { readonly layers?: Readonly<Record<string, number>> };
  if (value.layers === undefined) return reader;
  const layers = Object.fromEntries(Object.entries(value.layers).map(([name, change]) => [name, 1 / change]));
  return { ...reader, value: { ...reader.value as object, layers } };
}
