/** Folders of runs: the lock, the journal and the metrics that a run left. */
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { loadLocked, openLock } from "../../cli/locks.ts";
import { runsCommand } from "../../cli/runs.ts";
import { writeSafetensors } from "../../files/safetensors.ts";
import { readOutcome } from "../../pipeline/lock_record.ts";
import { loadRecipe, pipeline } from "../../pipeline/mod.ts";
import { projectFolder } from "../../cli/places.ts";
import { executeRun, makePlan, openCache } from "../../runner/mod.ts";
import type { Kind, Target } from "../kind.ts";
import { runQuietly } from "../quiet.ts";
import { VOCAB, writeSmallModel } from "../small_model.ts";

/** The run's name, whenever it was made. */
const RUN = "20260101-000000000-abcdef-small";

/** Milliseconds since the epoch of its first event. */
const BEGAN = Date.UTC(2026, 0, 1);

/** Numbers and texts that are others every time, or on another machine. */
const CHANGING = /^(at|seconds|memory|peak_?memory(_bytes)?|created|name|why|note|folder|run|deno|[a-z]+_seconds)$/i;

/** The kind. */
export const lock: Kind = {
  name: "lock",
  async make(folder) {
    const place = join(folder, "runs", RUN);
    await Deno.mkdir(place, { recursive: true });
    const run = await smallRun(join(folder, "making"));
    const events = (await Deno.readTextFile(join(run, "events.ndjson"))).trimEnd().split("\n")
      .map((line, at) => JSON.stringify({ ...steady(JSON.parse(line)) as object, at: BEGAN + 100 * at }));
    await Deno.writeTextFile(join(place, "events.ndjson"), `${events.join("\n")}\n`);
    const locked = steady(parse(await Deno.readTextFile(join(run, "recipe.lock.yaml"))));
    await Deno.writeTextFile(join(place, "recipe.lock.yaml"), stringify(locked, { lineWidth: 120 }));
    const metrics = steady(JSON.parse(await Deno.readTextFile(join(run, "metrics.json"))));
    await Deno.writeTextFile(join(place, "metrics.json"), JSON.stringify(metrics, null, 2));
    await Deno.remove(join(folder, "making"), { recursive: true });
    const targets: Target[] = [
      { path: `${RUN}/recipe.lock.yaml`, syntax: "yaml" },
      { path: `${RUN}/events.ndjson`, syntax: "lines" },
      { path: `${RUN}/metrics.json`, syntax: "json" },
    ];
    return [{ name: "runs", targets }];
  },
  async read(folder) {
    const runs = ["--runs", folder];
    await runQuietly(runsCommand, ["list", ...runs]);
    await runQuietly(runsCommand, ["list", ...runs, "--json"]);
    await runQuietly(runsCommand, ["show", "last", ...runs]);
    await runQuietly(runsCommand, ["show", "last", ...runs, "--json"]);
    await runQuietly(runsCommand, ["compare", "last", RUN, ...runs]);
    const lock = openLock(join(folder, RUN, "recipe.lock.yaml"));
    readOutcome(lock.lock, lock.label);
    await loadLocked(lock);
  },
};

/** A whole run of the small model on the CPU. @returns its folder */
async function smallRun(folder: string): Promise<string> {
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
function steady(value: unknown, key = ""): unknown {
  if (typeof value === "number") {
    return CHANGING.test(key) ? 1.5 : Number.isInteger(value) ? value : Number(value.toPrecision(2));
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
