import assert from "node:assert/strict";
import { type FileStat, inMemoryHashes } from "./file_hashes.ts";
import { withoutReading } from "./unread_hashes.ts";

const file = (path: string, size: number): FileStat => ({ path, size, print: "1" });

Deno.test("withoutReading() leaves small files to be hashed, and marks large ones it has not seen", () => {
  const told: string[] = [];
  const known = inMemoryHashes();
  const hashes = withoutReading(known, ({ path }) => told.push(path));
  known.set(file("/seen", 1e9), "abc");
  assert.equal(hashes.get(file("/seen", 1e9)), "abc");
  assert.equal(hashes.get(file("/small", 1e7)), undefined);
  assert.match(hashes.get(file("/large", 1e9)) ?? "", /^unseen:/);
  assert.match(hashes.get(file("/large", 1e9)) ?? "", /^unseen:/);
  assert.deepEqual(told, ["/large"]);
  assert.equal(known.get(file("/large", 1e9)), undefined);
});
