import assert from "node:assert/strict";
import { makeRunId } from "./run_id.ts";

const now = new Date("2025-01-02T03:04:05.678Z");

Deno.test("makeRunId() sorts by time, differs within a moment, and is a plain folder name", () => {
  assert.match(makeRunId(now, "../my recipe"), /^20250102-030405678-[0-9a-f]{6}-my-recipe$/);
  assert.match(makeRunId(now, "…"), /-run$/);
  assert.notEqual(makeRunId(now, "a"), makeRunId(now, "a"));
  assert.ok(makeRunId(new Date(now.getTime() + 1), "a") > makeRunId(now, "z"));
});

Deno.test("makeRunId() keeps letters and digits of any script, composed, and nothing that is unsafe in a path", () => {
  const cases: Readonly<Record<string, string>> = {
    "名前": "名前",
    "модель ٣": "модель-٣",
    "e\u0301te\u0301": "\u00e9t\u00e9",
    "हिन्दी": "हिन्दी",
    "emoji 🙂 x": "emoji-x",
    "../../escape": "escape",
    "a\\b:c*d?\u0000<|>\"'\n\u202ex": "a-b-c-d-x",
    "\u0301.-x.": "x",
    "C0N.": "C0N",
    "": "run",
    "。/…": "run",
    [`${"x".repeat(47)}--y`]: "x".repeat(47),
    ["𠮷".repeat(60)]: "𠮷".repeat(24),
    ["é".repeat(130)]: "é".repeat(48),
  };
  for (const [name, kept] of Object.entries(cases)) {
    const id = makeRunId(now, name);
    assert.equal(id.slice("20250102-030405678-123456-".length), kept, name);
    assert.ok(new TextEncoder().encode(id).length <= 143);
  }
});
