import assert from "node:assert/strict";
import { openShelf } from "./shelf.ts";

Deno.test("take() gives a thing to one taker, and closes one of another kind", async () => {
  const closed: string[] = [], shelf = openShelf<string>((thing) => void closed.push(thing));
  await shelf.leave("pool", "first", { whole: true });
  await shelf.leave("pool", "second", { whole: true });
  assert.deepEqual(closed, ["first"], "there is room for one");
  assert.equal(shelf.take("device"), undefined);
  assert.deepEqual(closed, ["first", "second"]);
  assert.equal(shelf.take("pool"), undefined);
  await shelf.leave("pool", "third", { whole: true });
  assert.equal(shelf.take("pool"), "third");
  await shelf.close();
  assert.deepEqual(closed, ["first", "second"], "what was taken is the taker's");
  await shelf.leave("pool", "third", { whole: true });
  assert.deepEqual(closed, ["first", "second", "third"], "a shelf that was closed keeps nothing");
});

Deno.test("close() waits until everything is closed, and tells of what could not be", async () => {
  const order: string[] = [],
    shelf = openShelf<string>(async (thing) => {
      await new Promise((done) => setTimeout(done, 5));
      if (thing === "stuck") throw new Error("it is stuck");
      order.push(thing);
    });
  await shelf.leave("a", "first", { whole: true });
  shelf.take("b");
  await shelf.leave("b", "second", { whole: true });
  await shelf.close();
  assert.deepEqual(order, ["first", "second"]);
  const other = openShelf<string>(() => Promise.reject(new Error("it is stuck")));
  await other.leave("a", "stuck", { whole: true });
  await assert.rejects(other.close(), /it is stuck/);
});
