/** Folders of runs as the server's tests need them: many, long ones, ones that failed. All are what real runs write, but for their number. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sayNumbers } from "../files/json_number.ts";
import { buildMetrics, type ResultFacts } from "../report/metrics.ts";
import { FACTS } from "../report/metrics_test_support.ts";
import { METHODS, sweepOf, type TestPoint } from "../report/sweep_test_support.ts";
import type { RunEvent, StepSummary } from "../runner/events.ts";
import { JOURNAL, LOCK } from "../runner/journal.ts";
import { ORIGINS } from "../runner/origins.ts";

/** How a written run looks. */
export interface WrittenRun {
  readonly recipe?: string;
  readonly blocks?: number;
  /** Steps of each block. */
  readonly lanes?: number;
  readonly end?: "finished" | "failed" | "interrupted" | "unfinished";
  /** Milliseconds since the epoch. */
  readonly at?: number;
  readonly facts?: Partial<ResultFacts>;
}

const LANES = ["calibrate", "coarse-search", "fine-search", "spbo", "pack"];
const KINDS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** Writes a run's folder. @returns its id */
export function writeRun(runs: string, number: number, options: WrittenRun = {}): string {
  const { recipe = "quickstart", end = "finished", at = Date.UTC(2026, 0, 2, 3, 4, number % 60) } = options;
  const day = new Date(at).toISOString().replace(/[-:.Z]/g, "").replace("T", "-");
  const run = `${day}-${number.toString(16).padStart(6, "0")}-${recipe}`, folder = join(runs, run);
  mkdirSync(folder, { recursive: true });
  const events = eventsOf(run, { ...options, recipe, end, at }, folder);
  writeFileSync(join(folder, JOURNAL), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
  writeFileSync(
    join(folder, LOCK),
    `recipe:\n  model: { path: ../../home/someone/model }\n  seed: ${number}\nlock: { deno: 2.9.6 }\n`,
  );
  writeFileSync(
    join(folder, ORIGINS),
    JSON.stringify({ "model.path": { file: "/home/someone/a.yaml", line: 3 }, seed: "default" }),
  );
  if (end === "finished") {
    const metrics = buildMetrics({ ...FACTS, ...options.facts, run });
    writeFileSync(join(folder, "metrics.json"), JSON.stringify(metrics, sayNumbers));
  }
  return run;
}

function eventsOf(
  run: string,
  { recipe, blocks = 6, lanes = 5, end, at, facts }: WrittenRun & Required<Pick<WrittenRun, "recipe" | "end" | "at">>,
  folder: string,
): RunEvent[] {
  const { model = FACTS.model, method = FACTS.method, device = FACTS.device } = facts ?? {};
  const steps: StepSummary[] = [];
  for (let block = 0; block < blocks; block++) {
    for (let lane = 0; lane < lanes; lane++) {
      const stage = LANES[lane % LANES.length], line = lane < LANES.length ? stage : `${stage}.text${lane}`;
      const before = lane > 0 ? steps[steps.length - 1].id : block > 0 ? `${stage}[${block - 1}]` : undefined;
      steps.push({
        ...{ id: `${line}[${block}]`, stage, block, state: block === 0 && lane === 0 ? "cached" : "run" },
        ...{
          seconds: 1,
          memory: 1e6,
          disk: 1e6,
          key: `${run}${line}${block}`,
          inputs: before === undefined ? [] : [before],
        },
        why: { field: "stages.spbo.iterations", before: 15, now: 20, at: { file: "a.yaml", line: 7 } },
      });
    }
  }
  const events: RunEvent[] = [{ at, type: "run-started", run, recipe, method, model, device, folder, steps }];
  const ended = end === "finished" ? steps.length : Math.floor(steps.length / 2);
  for (const [i, { id, stage, block = 0, state }] of steps.slice(0, ended).entries()) {
    if (state !== "run") continue;
    const time = at + 1000 * i;
    events.push({ at: time, type: "step-started", step: id, stage, block });
    if (stage === "spbo") {
      const errors = Object.fromEntries(
        KINDS.map((kind, k) => [`model.layers.${block}.mlp.${kind}`, 0.01 * (k + 1 + block % 7)]),
      );
      events.push({ at: time + 400, type: "step-measured", step: id, values: { keep: 3 + block % 3, errors } });
    }
    events.push({
      at: time + 500,
      type: "step-finished",
      step: id,
      seconds: 0.5,
      stages: { [stage]: 0.5 },
      bytes: 1e6,
      memory: 5e8 + 1e6 * (i % 50),
    });
  }
  const last = at + 1000 * ended;
  const message = `Cannot read "/home/someone/model/model.safetensors" with hf_abcdefghijklmnopqrstuvwxyz`;
  if (end === "failed") {
    events.push({ at: last, type: "step-failed", step: steps[ended].id, error: { name: "InputError", message } });
    events.push({ at: last, type: "run-failed", error: { name: "InputError", message }, exit: 3 });
  }
  if (end === "interrupted") events.push({ at: last, type: "run-interrupted", next: "deno task run a.yaml" });
  if (end === "finished") {
    const ran = steps.length - 1;
    events.push({ at: last, type: "run-finished", folder, seconds: ended, peakMemory: 8e8, ran, cached: 1 });
  }
  return events;
}

/** Writes a sweep's folder with points of every state, two of which have runs. @returns its id */
export function writeSweep(runs: string): string {
  const id = "20260103-000000000-aaaaaa-methods", folder = join(runs, "sweeps", id);
  const good = writeRun(join(folder, "points"), 1, { recipe: "pbs2p-4of8" });
  const bad = writeRun(join(folder, "points"), 2, { recipe: "of-24", end: "failed" });
  const points: TestPoint[] = METHODS.map((point, i) => i === 0 ? { ...point, run: `points/${good}` } : point);
  points.push({
    label: "of 24",
    state: "failed",
    exit: 3,
    error: `Cannot prune /home/someone/x`,
    run: `points/${bad}`,
  });
  writeFileSync(join(folder, "sweep.json"), JSON.stringify(sweepOf(points, { sweep: id }), sayNumbers));
  return id;
}
