import assert from "node:assert/strict";
import { checkRules } from "../recipes/rules.ts";
import type { Stage } from "./planning.ts";
import { rolesRule } from "./roles.ts";

/** Stages as small as the rule sees them. */
const stages: readonly Pick<Stage, "name" | "makes" | "needs" | "uses">[] = [
  { name: "calibrate", makes: ["statistics"], needs: [] },
  { name: "coarse-search", makes: ["allocation"], needs: ["statistics"] },
  { name: "spbo", makes: ["quantized"], needs: ["statistics"], uses: ["allocation"] },
  { name: "pack", makes: ["packed"], needs: ["quantized"] },
  { name: "evaluate", makes: ["perplexity"], needs: ["packed"] },
];

/** What the rule says of a recipe that names some of the stages. */
function broken(named: readonly string[], all = stages) {
  const recipe = { stages: Object.fromEntries(named.map((name) => [name, {}])) };
  return checkRules(recipe, [rolesRule(all)]).map(({ severity, path, message, note }) => ({
    ...{ severity, path: path.join("."), message },
    ...(note === undefined ? {} : { note }),
  }));
}

Deno.test("rolesRule() has nothing to say where every role that is needed is made once", () => {
  assert.deepEqual(broken(["calibrate", "spbo", "pack"]), []);
  assert.deepEqual(broken(["calibrate", "coarse-search", "spbo", "pack", "evaluate"]), []);
});

Deno.test("rolesRule() names the stage to add where nothing makes what a stage needs", () => {
  assert.deepEqual(broken(["calibrate", "coarse-search", "pack"]).filter(({ severity }) => severity === "error"), [{
    ...{ severity: "error", path: "stages.pack" },
    ...{ message: "no stage makes `quantized`: add spbo", note: "stages.pack needs it" },
  }]);
});

Deno.test("rolesRule() asks for what a method needs", () => {
  assert.deepEqual(broken(["spbo", "pack"]), [{
    ...{ severity: "error", path: "stages.spbo" },
    ...{ message: "no stage makes `statistics`: add calibrate", note: "stages.spbo needs it" },
  }]);
});

Deno.test("rolesRule() names every stage that could be added", () => {
  const all = [...stages, { name: "rtn", makes: ["quantized"], needs: [] } as const];
  assert.deepEqual(broken(["pack"], all).map(({ message }) => message), [
    "no stage makes `quantized`: add one of spbo, rtn",
  ]);
});

Deno.test("rolesRule() says of a role once that it is missing, at the first stage that needs it", () => {
  assert.deepEqual(broken(["coarse-search", "spbo", "pack"]).map(({ path, message }) => [path, message]), [
    ["stages.coarse-search", "no stage makes `statistics`: add calibrate"],
  ]);
});

Deno.test("rolesRule() refuses a recipe that packs nothing, as every run ends in it", () => {
  const missing = {
    ...{ severity: "error", path: "stages" },
    ...{ message: "no stage makes `packed`: add pack", note: "every run ends in it" },
  };
  assert.deepEqual(broken(["calibrate", "spbo"]).filter(({ severity }) => severity === "error"), [missing]);
  const all = { ...missing, message: "no stage makes `packed`: add calibrate, spbo and pack" };
  assert.deepEqual(broken([]), [all]);
});

Deno.test("rolesRule() refuses two stages that make the same", () => {
  const all = [...stages, { name: "rtn", makes: ["quantized"], needs: [] } as const];
  assert.deepEqual(broken(["calibrate", "spbo", "rtn", "pack"], all), [{
    ...{ severity: "error", path: "stages.rtn" },
    message: "stages.spbo and stages.rtn both make `quantized`",
  }]);
});

Deno.test("rolesRule() warns of a stage whose work nothing takes, but not of results", () => {
  const all = [
    ...stages.filter(({ name }) => name !== "spbo"),
    { name: "rtn", makes: ["quantized"], needs: [] } as const,
  ];
  assert.deepEqual(broken(["calibrate", "coarse-search", "rtn", "pack", "evaluate"], all), [{
    ...{ severity: "warning", path: "stages.coarse-search" },
    message: "nothing takes the `allocation` that stages.coarse-search makes",
  }]);
});
