/** Profiles of spbo make codes that GGUF's types of one and two bits hold exactly. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportModel } from "../export/mod.ts";
import { fitModel } from "../models/fit.ts";
import { openModel } from "../models/open_model.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import { RecipeError } from "../recipes/diagnostics.ts";
import { project, succeed } from "./command_line_test_support.ts";
import { cutModel, models, writeRecipe } from "./small_models_test_support.ts";

const PROFILES = {
  binary: ["Q1_0", 128, {}],
  ternary: ["Q2_0", 64, { "coarse-search": { keep: 6, of: 8 }, "fine-search": {} }],
} as const;

for (const [profile, [type, group, stages]] of Object.entries(PROFILES)) {
  Deno.test(`spbo with profile ${profile} packs what GGUF's ${type} holds exactly, and another recipe does not`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "profile-"));
    try {
      const model = join(folder, "model"), runs = join(folder, "runs");
      cutModel(models.llama, model, 1);
      const spbo = { profile, salient: false, split_points: 0, group_size: group, solver: "joint", resign: 1 };
      const base = join(project, "configs", "bases", "tiny-llama.yaml");
      const more = { compensate: { mode: "exact" }, pack: { scales: "f16" }, calibrate: { inputs: "sequential" } };
      const recipe = writeRecipe(folder, {
        model,
        windows: models.llama,
        extends: base,
        stages: { ...more, ...stages, spbo },
      });
      const places = ["--runs", runs, "--cache", join(folder, "cache"), "--device", "cpu"];
      await succeed("run", [recipe, ...places]);
      const packed = [...Deno.readDirSync(runs)].map(({ name }) => join(runs, name, "model"))[0];
      const { checkpoint, spec } = await fitModel(await openModel({ path: packed }, { packed: openPacked }));
      const exportable = { checkpoint, spec, name: "mine" };
      const { closeness } = await exportModel(exportable, { format: "gguf", type }, { to: join(folder, "out") });
      assert.equal(closeness.exact, closeness.tensors);
      if (profile === "ternary") {
        await assert.rejects(
          exportModel(exportable, { format: "gguf", type: "Q1_0" }, { to: join(folder, "out") }),
          /0 at \d+ stands beside .*profile: binary/,
        );
      }
      checkpoint.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

const wrong: readonly (readonly [string, RegExp])[] = [
  ["stages.spbo.salient=true", /profile binary needs salient false: it is true/],
  ["stages.spbo.split_points=1", /profile binary needs split_points 0: it is 1/],
  ["stages.spbo.group_size=64", /profile binary needs group_size a multiple of 128: it is 64/],
  ["stages.spbo.solver=none", /profile binary needs solver alternate or joint/],
  ["stages.pack.scales=f32", /profile binary needs scales f16: it is f32/],
];

for (const [set, says] of wrong) {
  Deno.test(`a recipe with profile binary and ${set} is refused where it says so`, async () => {
    const path = join(project, "configs", "methods", "pbs2p-binary.yaml");
    const sets = set.endsWith("solver=none") ? [set, "stages.spbo.resign=0"] : [set];
    await assert.rejects(loadRecipe(path, { set: sets }), (error) => {
      assert.ok(error instanceof RecipeError);
      assert.ok(error.diagnostics.some(({ message }) => says.test(message)), JSON.stringify(error.diagnostics));
      return true;
    });
  });
}
