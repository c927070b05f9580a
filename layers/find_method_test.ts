import assert from "node:assert/strict";
import { findMethod, METHODS } from "./find_method.ts";

Deno.test("findMethod() finds every method by its name, and fills in its defaults", () => {
  for (const method of METHODS) {
    const found = findMethod(method.name, {});
    assert.equal(found.method, method);
    assert.deepEqual(found.params, method.params.parse({}));
  }
});

Deno.test("findMethod() refuses a name that none has, and settings that its method does not have", () => {
  assert.throws(() => findMethod("unheard", {}), /method must be one of .*spbo.*: current value is unheard/);
  assert.throws(() => findMethod("spbo", { unheard: 1 }), /unheard/);
});
