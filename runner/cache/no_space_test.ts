import assert from "node:assert/strict";
import { asNoSpace, NoSpaceError } from "./no_space.ts";

Deno.test("asNoSpace() knows a full disk in all its disguises, and nothing else", () => {
  const system = Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
  const full: unknown[] = [
    system,
    Object.assign(new Error("Disk quota exceeded (os error 122)"), { code: "EDQUOT" }),
    new Error("There is not enough space on the disk. (os error 112)"),
    new Error("database or disk is full"),
    new Error("Cannot write layer 3", { cause: system }),
    new Error("Cannot pack", { cause: new Error("Cannot write layer 3", { cause: system }) }),
  ];
  for (const error of full) {
    const known = asNoSpace(error, ".", 3 * 2 ** 30);
    assert.ok(known instanceof NoSpaceError);
    assert.match(
      known.message,
      /^Cannot write to \. as the disk is full: about 3.0 GiB more are needed, .* are free\. Free/,
    );
    assert.equal(known.cause, error);
    assert.equal(asNoSpace(known, ".", 0), known);
  }
  const others = [new Error("Value is NaN"), new RangeError("(os error 112) of a step"), "ENOSPC", undefined, null, {
    code: "ENOSPC",
  }, Object.assign(new Error("Cannot print", { cause: system }), { code: "OUTPUT" })];
  for (const error of others) assert.equal(asNoSpace(error, ".", 1), undefined);
});
