/** A run of the small model, and what its files say without what differs from time to time. */
import { join } from "node:path";
import { stringify } from "yaml";
import { projectFolder } from "../cli/places.ts";
import { writeSafetensors } from "../files/safetensors.ts";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { VOCAB, writeSmallModel } from "./small_model.ts";

/** The run's name, whenever it was made. */
export const RUN = "20260101-000000000-abcdef-small";

/** Numbers and texts that are others every time, or on another machine. */
const CHANGING = /^(at|seconds|memory|peak_?memory(_bytes)?|created|name|why|note|folder|run|deno|[a-z]+_seconds)$/i;

/** A whole run of the small model on the CPU. @returns its folder */
export async function smallRun(folder: string): Promise<string> {
  await Deno.mkdir(join(folder, "model"), { recursive: true });
  await writeSmallModel(join(folder, "model"));
  const data = Int32Array.from({ length: 64 }, (_, at) => at * 7 % VOCAB);
  const ids = { dtype: "I32", shape: [4, 16], data } as const;
  await writeSafetensors(join(folder, "windows.safetensors"), { ids }, {}, { flush: false });
  const dataset = { windows: "./windows.safetensors", tensor: "ids" };
  const path = join(folder, "small.yaml");
  await Deno.writeTextFile(
    path,
    stringify({
      extends: join(projectFolder, "configs", "bases", "best.yaml"),
      model: { path: "./model" },
      stages: {
        spbo: { group_size: 16 },
        calibrate: { dataset, samples: 4, length: 16 },
        evaluate: { perplexity: [{ name: "heldout", dataset, length: 16 }] },
      },
    }),
  );
  const { recipe, sources, name } = await loadRecipe(path);
  const cache = await openCache(join(folder, "cache"));
  const subject = await pipeline.open(recipe, { purpose: "run", device: "cpu", forward: "cpu", cache: cache.folder });
  try {
    const plan = await makePlan(subject, cache, { recipe, sources });
    const run = await executeRun(plan, subject, { cache, runsDir: join(folder, "runs"), recipe, name });
    if (run.error !== undefined) throw run.error;
    return run.folder;
  } finally {
    await subject.close();
    cache.close();
  }
}

/** What a file says, without what differs from time to time; other numbers are rounded, as machines add up differently. */
export function steady(value: unknown, key = ""): unknown {
  if (typeof value === "number") {
    if (CHANGING.test(key)) return Number.isInteger(value) ? 1 : 1.5;
    return Number.isInteger(value) ? value : Number(value.toPrecision(2));
  }
  if (typeof value === "string") {
    if (key === "run") return RUN;
    return /^[0-9a-f]{64}$/.test(value) ? "0".repeat(64) : CHANGING.test(key) ? key : value;
  }
  if (Array.isArray(value)) return value.map((item) => steady(item, key));
  if (typeof value !== "object" || value === null) return value;
  // Seconds by stage have stages for keys.
  const byStage = /^(stages|seconds)$/.test(key);
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      steady(inner, byStage && typeof inner === "number" ? "seconds" : name),
    ]),
  );
}
