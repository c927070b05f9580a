import assert from "node:assert/strict";
import { makeRunId } from "./run_id.ts";

Deno.test("makeRunId() sorts by time, differs within a moment, and is a plain folder name", () => {
  const now = new Date("2025-01-02T03:04:05.678Z");
  assert.match(makeRunId(now, "../my recipe"), /^20250102-030405678-[0-9a-f]{6}-my-recipe$/);
  assert.match(makeRunId(now, "…"), /-run$/);
  assert.notEqual(makeRunId(now, "a"), makeRunId(now, "a"));
  assert.ok(makeRunId(new Date(now.getTime() + 1), "a") > makeRunId(now, "z"));
});
