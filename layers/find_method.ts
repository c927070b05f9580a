/** Methods by name. */
import type { MethodSource } from "./job.ts";
import { methodsOf } from "./method_source.ts";
import type { AnyMethod } from "./methods/method.ts";
import * as methods from "./methods/mod.ts";

/** All methods, in the order of their list. Each is given only settings that its own `params` has parsed. */
export const METHODS: readonly AnyMethod[] = Object.values(methods);

/**
 * The method of that name, with its settings parsed.
 *
 * @param options `source`: the file it comes from, already loaded, where it is none of this project's
 * @throws {RangeError} there is none
 */
export function findMethod(
  name: string,
  params: unknown,
  { source }: { readonly source?: MethodSource } = {},
): { readonly method: AnyMethod; readonly params: unknown } {
  const known = source ? methodsOf(source) : METHODS;
  const method = known.find((each) => each.name === name);
  if (method === undefined) {
    throw new RangeError(
      `Cannot quantize as the method must be one of ${
        known.map(({ name }) => name).join(", ")
      }: current value is ${name}`,
    );
  }
  return { method, params: method.params.parse(params) };
}
