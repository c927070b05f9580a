import assert from "node:assert/strict";
import { join } from "node:path";
import { expandHome } from "./home.ts";

Deno.test("expandHome() puts the home folder in place of a leading ~ and leaves every other path as it is", () => {
  const home = join("/home", "me");
  const cases: Readonly<Record<string, string>> = {
    "~": home,
    "~/": join(home, "/"),
    "~/a b/ü": join(home, "a b", "ü"),
    "./~/a": "./~/a",
    "a/~/b": "a/~/b",
    "/~": "/~",
    "a~": "a~",
    "": "",
  };
  for (const [path, expanded] of Object.entries(cases)) assert.equal(expandHome(path, home), expanded, path);
});

Deno.test("expandHome() refuses another user's home, and any where none is known", () => {
  for (const path of ["~root", "~me/x", "~+", "~~/x"]) {
    assert.throws(() => expandHome(path, "/home/me"), {
      name: "RangeError",
      message: /^Cannot use path ~.*: only the own/,
    });
  }
  assert.throws(() => expandHome("~/x", ""), { name: "RangeError", message: /no home folder is known/ });
});
