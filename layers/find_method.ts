/** Methods by name. */
import type { Method } from "./methods/method.ts";
import * as methods from "./methods/mod.ts";

/** All methods, in the order of their list. Each is given only settings that its own `params` has parsed. */
export const METHODS: readonly Method[] = Object.values(methods);

/**
 * The method of that name, with its settings parsed.
 *
 * @throws {RangeError} there is none
 */
export function findMethod(name: string, params: unknown): { readonly method: Method; readonly params: unknown } {
  const method = METHODS.find((each) => each.name === name);
  if (method === undefined) {
    throw new RangeError(
      `Cannot quantize as the method must be one of ${
        METHODS.map(({ name }) => name).join(", ")
      }: current value is ${name}`,
    );
  }
  return { method, params: method.params.parse(params) };
}
