import assert from "node:assert/strict";
import type { ArtifactInfo } from "./cache_index.ts";
import { chooseEvicted } from "./eviction.ts";
import { usageRows } from "./usage.ts";

function artifact(key: string, more: Partial<ArtifactInfo> = {}): ArtifactInfo {
  return {
    key,
    stepKey: `step of ${key}`,
    step: "s[0]",
    stage: "s",
    output: "o",
    model: "m",
    retain: "keep",
    bytes: 10,
    seconds: 10,
    created: 0,
    used: 0,
    ...more,
  };
}

const keysOf = (artifacts: readonly ArtifactInfo[]) => artifacts.map(({ key }) => key);

Deno.test("chooseEvicted() takes what is cheapest to make again per byte, then what was used longest ago", () => {
  const all = [
    artifact("dear", { seconds: 100 }),
    artifact("b", { used: 2 }),
    artifact("a", { used: 2 }),
    artifact("old", { used: 1 }),
    artifact("large", { bytes: 100, seconds: 99 }),
  ];
  const order = (size: number) => keysOf(chooseEvicted(all, { size, pinned: new Set() }).evicted);
  assert.deepEqual(order(0), ["large", "old", "a", "b", "dear"]);
  assert.deepEqual(order(30), ["large", "old"]);
  assert.deepEqual(order(140), []);
});

Deno.test("chooseEvicted() never takes what is pinned, and says how much that is", () => {
  const all = [artifact("a", { bytes: 5 }), artifact("b", { bytes: 7 })];
  assert.deepEqual(chooseEvicted(all, { size: 0, pinned: new Set(["a", "to be made"]) }), {
    evicted: [all[1]],
    bytes: 7,
    kept: 5,
    pinned: 5,
  });
});

Deno.test("usageRows() sums up by stage and output", () => {
  const all = [artifact("a"), artifact("b", { output: "p", bytes: 1 }), artifact("c", { seconds: 5 })];
  assert.deepEqual(usageRows(all), [
    { stage: "s", output: "o", artifacts: 2, bytes: 20, seconds: 15 },
    { stage: "s", output: "p", artifacts: 1, bytes: 1, seconds: 10 },
  ]);
});
