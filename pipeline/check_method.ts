/** Whether a value that foreign code gives is a method (`methods/method.ts`), and what is wrong with it. */
import * as z from "zod";
import { FORMATS } from "../checkpoints/packed/formats.ts";
import type { Method, Need, WholeMethod } from "../layers/methods/method.ts";

const NEEDS: readonly Need[] = ["statistics", "allocation", "ranks", "feedback"];

/**
 * What is wrong with a method.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { spbo } from "../layers/methods/spbo.ts";
 * assert.equal(checkMethod(spbo), undefined);
 * assert.match(checkMethod({ ...spbo, format: "mine" }) ?? "", /^format is "mine".* pack in the formats that there are: .*planes/);
 * assert.match(checkMethod({ ...spbo, order: () => undefined }) ?? "", /^order .* format planes stores none$/);
 * ```
 * @returns undefined where it can be used
 */
export function checkMethod(method: object): string | undefined {
  const {
    name,
    label,
    summary,
    params,
    needs,
    format,
    reads,
    groupKeys,
    groupSize,
    open,
    whole,
    order,
    rules,
    budget,
  } = method as {
    [K in keyof Method | keyof WholeMethod]?: unknown;
  };
  if (typeof name !== "string" || !/^[a-z][a-z0-9_-]*$/.test(name)) {
    return `name must be made of small letters, digits, - and _: it is ${show(name)}`;
  }
  for (const [key, value] of Object.entries({ label, summary })) {
    if (typeof value !== "string" || value === "") return `${key} must be text: it is ${show(value)}`;
  }
  for (const [key, value] of Object.entries({ reads, groupSize, ...(whole === undefined ? { open } : { whole }) })) {
    if (typeof value !== "function") return `${key} must be a function: it is ${show(value)}`;
  }
  if (!(params instanceof z.ZodObject)) return 'params must be made by z.strictObject of the package "zod"';
  if (!(params.def.catchall instanceof z.ZodNever)) {
    return "params must be made by z.strictObject, so that misspelt settings are found";
  }
  const missing = params.safeParse({}).error?.issues[0];
  if (missing) return `every setting must have a default: params.${missing.path.join(".")} has none`;
  const wrong = list(needs)?.find((need) => !(NEEDS as readonly unknown[]).includes(need)) ??
    (list(needs) ? undefined : needs);
  if (wrong !== undefined || needs === undefined) {
    return `needs must be a list of ${NEEDS.join(", ")}: ${show(wrong)} is none of them`;
  }
  // Planes are coded when the file is written, whatever the method.
  const formats = FORMATS.filter(({ coding }) => coding === undefined);
  const found = formats.find((each) => each.name === format);
  if (found === undefined) {
    return `format is ${show(format)}, and methods of one's own pack in the formats that there are: ${
      formats.map((each) => each.name).join(", ")
    }`;
  }
  if (order !== undefined && typeof order !== "function") return `order must be a function: it is ${show(order)}`;
  if (order && !found.planes.includes("order")) {
    return `order must not be there, as columns would not find back: the format ${found.name} stores none`;
  }
  const settings = Object.keys(params.shape);
  const keys: unknown = (reads as Method["reads"])(params.parse({}));
  for (const [key, value] of [["reads()", keys], ["groupKeys", groupKeys ?? []]] as const) {
    const odd = list(value) ? list(value)?.find((each) => !settings.includes(String(each))) : value;
    if (odd !== undefined) {
      return `${key} must give names of settings (${settings.join(", ") || "none"}): ${show(odd)} is none`;
    }
  }
  if (budget !== undefined && !settings.includes(String(budget))) {
    return `budget must be the name of a setting (${settings.join(", ") || "none"}): ${show(budget)} is none`;
  }
  const functions = rules === undefined ? [] : list(rules);
  return functions?.every((rule) => typeof rule === "function") ? undefined : "rules must be a list of functions";
}

function list(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : typeof value === "string" ? JSON.stringify(value) : typeof value;
}
