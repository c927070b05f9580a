/** One run of the arithmetic pipeline in a process of its own, to be killed, interrupted or raced by the tests. */
import { join } from "node:path";
import { openArithmetic, recipeWith } from "./arithmetic_test_support.ts";
import { openCache } from "./cache/cache.ts";
import { makePlan } from "./plan.ts";
import { executeRun } from "./run.ts";

const [folder, slow, full] = Deno.args;
const controller = new AbortController();
const stop = () => controller.abort();
Deno.addSignalListener("SIGINT", stop);
const recipe = recipeWith();
const cache = await openCache(join(folder, "cache"));
const subject = openArithmetic(recipe, {
  slow: Number(slow),
  tamper: (step) => step.id === full ? { ...step, run: () => Promise.reject(fillDisk()) } : step,
});
const plan = await makePlan(subject, cache, { recipe });
const result = await executeRun(plan, subject, {
  ...{ cache, recipe, runsDir: join(folder, "runs"), signal: controller.signal },
  onEvent: ({ type }) => console.log(type),
});
cache.close();
Deno.removeSignalListener("SIGINT", stop);
if (result.error !== undefined) console.error(`${result.error.name}: ${result.error.message}`);
Deno.exit(result.exit);

/** What the system throws when a disk is full. */
function fillDisk(): unknown {
  try {
    Deno.writeTextFileSync("/dev/full", "x");
    return new Error("There was room on the full device");
  } catch (error) {
    return error;
  }
}
