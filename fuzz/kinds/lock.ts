/** Folders of runs: the lock, the journal and the metrics that a run left. */
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { loadLocked, openLock } from "../../cli/locks.ts";
import { runsCommand } from "../../cli/runs.ts";
import { readOutcome } from "../../pipeline/lock_record.ts";
import type { Kind, Target } from "../kind.ts";
import { runQuietly } from "../quiet.ts";
import { RUN, smallRun, steady } from "../small_run.ts";

/** Milliseconds since the epoch of its first event. */
const BEGAN = Date.UTC(2026, 0, 1);

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
