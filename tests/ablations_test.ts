/** The sweeps of `configs/ablations`: every value of every axis makes a recipe. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { loadRecipe } from "../pipeline/mod.ts";
import { project } from "./command_line_test_support.ts";

type Axes = Readonly<Record<string, unknown>>;

interface Sweep {
  readonly extends?: string;
  readonly matrix?: Readonly<Record<string, readonly unknown[]>>;
  readonly include?: readonly Axes[];
  readonly stages?: Readonly<Record<string, Axes>>;
}

const folder = join(project, "configs", "ablations");

/** What is laid over a method's recipe is checked with the sweep; here one value at a time is laid over the method's own. */
function recipesOf({ extends: base, matrix }: Sweep): readonly string[] {
  const named = base === undefined ? matrix?.extends ?? [] : [base];
  return named.map((path) => {
    const file = resolve(folder, String(path));
    return file.startsWith(folder) ? resolve(folder, (parse(readFileSync(file, "utf8")) as Sweep).extends ?? "") : file;
  });
}

/** Settings that come with the second stream of hidden states. */
function isLater(path: string, value: unknown): boolean {
  return path.startsWith("stages.calibrate.propagation") || value === "renewed" ||
    path === "stages.calibrate.target" && value === "original";
}

for (const file of readdirSync(folder).filter((name) => name.endsWith(".yaml"))) {
  Deno.test(`configs/ablations/${file}: every value of every axis makes a recipe without a warning`, async () => {
    const text = readFileSync(join(folder, file), "utf8"), sweep = parse(text) as Sweep;
    assert.match(text, new RegExp(`^# deno task (sweep|run) configs/ablations/${file}$`, "m"));
    assert.match(text, /^# yaml-language-server: \$schema=\.\.\/recipe\.schema\.json\n/);
    const axes = [...Object.entries(sweep.matrix ?? {}), ...(sweep.include ?? []).flatMap(Object.entries)]
      .filter(([path]) => path !== "extends");
    // Windows are drawn by settings that come later, too.
    const own = Object.entries(sweep.stages ?? {}).filter(([stage]) => stage !== "calibrate").flatMap(([stage, keys]) =>
      Object.entries(keys).map(([key, value]) => `stages.${stage}.${key}=${JSON.stringify(value)}`)
    );
    for (const recipe of recipesOf(sweep)) {
      for (const [path, values] of axes) {
        for (const value of Array.isArray(values) ? values : [values]) {
          if (isLater(path, value)) continue;
          const { warnings } = await loadRecipe(recipe, { set: [...own, `${path}=${JSON.stringify(value)}`] });
          assert.deepEqual(warnings, [], `${path} ${JSON.stringify(value)}`);
        }
      }
    }
  });
}
