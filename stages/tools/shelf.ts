/** Where runs that follow one another leave what is costly to open, each for the next. */

/** Holds one thing at most. Whoever takes it has it alone, so that runs side by side cannot harm each other. */
export interface Shelf<T> {
  /** What lies there, if it is of that kind; a thing of another kind is closed, so that memory holds one of them. */
  take(kind: string): T | undefined;
  /**
   * Leaves a thing for whoever comes next. What lay there is closed.
   *
   * @param options `whole`: whether it is as good as a new one; otherwise it is closed
   */
  leave(kind: string, thing: T, options: { readonly whole: boolean }): Promise<void>;
  /** Closes what lies there, and from then on whatever is left. */
  close(): Promise<void>;
}

/**
 * Makes an empty shelf.
 *
 * @param end closes a thing
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openShelf } from "./shelf.ts";
 *
 * const closed: string[] = [];
 * const shelf = openShelf((thing: string) => void closed.push(thing));
 * await shelf.leave("tool", "a hammer", { whole: true });
 * assert.equal(shelf.take("tool"), "a hammer");
 * assert.equal(shelf.take("tool"), undefined);
 * await shelf.leave("tool", "a broken hammer", { whole: false });
 * assert.deepEqual(closed, ["a broken hammer"]);
 * await shelf.close();
 * ```
 */
export function openShelf<T>(end: (thing: T) => void | Promise<void>): Shelf<T> {
  let held: { readonly kind: string; readonly thing: T } | undefined;
  let ended = false;
  const ending = new Set<Promise<void>>();
  const clear = () => {
    if (held === undefined) return;
    const closing = Promise.resolve(end(held.thing));
    held = undefined;
    ending.add(closing);
    closing.then(() => ending.delete(closing), () => {});
  };
  return {
    take(kind) {
      if (held !== undefined && held.kind !== kind) clear();
      const thing = held?.thing;
      held = undefined;
      return thing;
    },
    async leave(kind, thing, { whole }) {
      if (!whole || ended) return await end(thing);
      clear();
      held = { kind, thing };
    },
    async close() {
      ended = true;
      clear();
      await Promise.all(ending);
    },
  };
}
