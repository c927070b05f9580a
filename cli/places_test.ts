import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { cacheFolder, locate, runsFolder, workingFolder } from "./places.ts";

/** Sets variables for as long as `work` takes. */
function withEnvironment(variables: Readonly<Record<string, string>>, work: () => void): void {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  try {
    for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
    work();
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  }
}

const home = resolve("/home", "me");

Deno.test("folders that begin with ~ are in the home folder, whether an option, a variable or an argument names them", () =>
  withEnvironment({ HOME: home, USERPROFILE: home, PBS2P_CACHE: "~/c", PBS2P_RUNS: "~" }, () => {
    assert.equal(cacheFolder("~/x"), join(home, "x"));
    assert.equal(runsFolder("~/x/y"), join(home, "x", "y"));
    assert.deepEqual([cacheFolder(), runsFolder()], [join(home, "c"), home]);
    assert.equal(locate("~/model"), join(home, "model"));
    assert.equal(cacheFolder("./~/x"), join(workingFolder(), "~", "x"));
  }));

Deno.test("folders in another user's home are a usage error", () =>
  withEnvironment({ PBS2P_CACHE: "~you/c" }, () => {
    for (
      const use of [() => cacheFolder(), () => cacheFolder("~you"), () => runsFolder("~you/r"), () => locate("~+/m")]
    ) {
      assert.throws(use, { name: "UsageError", message: /^Cannot use path ~.*: only the own home folder/ });
    }
  }));
