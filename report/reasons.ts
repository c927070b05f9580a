/** Reasons and states in words, alike in the terminal and in the report: why a step runs, why on this device, what went wrong. */
import type { Reason, RunEvent, StepSummary } from "../runner/events.ts";
import type { DeviceRecord } from "../runner/stage.ts";

/** What becomes or became of a step. */
export const STATES: Readonly<Record<StepSummary["state"] | "partly" | "done", string>> = {
  run: "will run",
  cached: "cached",
  partly: "partly cached",
  fetch: "from the mirror",
  skip: "not needed",
  done: "run",
};

const sentences: Readonly<Record<string, string>> = {
  "first run": "first run",
  evicted: "its result is gone from the cache",
  transient: "what it hands on was not kept, and is needed again",
  forced: "asked for with --from",
  corrupt: "its result was damaged",
  unfetched: "a cache mirror did not give what it said to have",
  code: "the code that makes it has changed",
};

/**
 * A reason in words.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const at = { file: "my.yaml", line: 7 };
 * assert.equal(
 *   describeReason({ field: "stages.spbo.iterations", before: 15, now: 20, at }),
 *   "stages.spbo.iterations 15 → 20, my.yaml line 7",
 * );
 * ```
 */
export function describeReason({ field, step, before, now, at }: Reason): string {
  const change = before === undefined && now === undefined ? "" : ` ${show(before)} → ${show(now)}`;
  const place = at === undefined ? "" : `, ${at.file} line ${at.line}`;
  const cause = sentences[field] ?? `${field}${change}${place}`;
  return step === undefined ? cause : `because of ${step}: ${cause}`;
}

/**
 * Why kernels and forward passes run where they do, one sentence each.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const forward = { provider: "cpu", why: "auto: the kernels run on the CPU too" };
 * const device = { kind: "cpu", name: "2 threads", why: "auto: no WebGPU adapter was found", forward };
 * assert.deepEqual(describeDevice(device), [
 *   "kernels on cpu (auto: no WebGPU adapter was found)",
 *   "forward passes on cpu (auto: the kernels run on the CPU too)",
 * ]);
 * ```
 */
export function describeDevice({ kind, why, forward }: DeviceRecord): string[] {
  return [
    `kernels on ${kind} (${why})`,
    ...(forward ? [`forward passes on ${forward.provider} (${forward.why})`] : []),
  ];
}

/**
 * Where kernels and forward passes run, without why.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(describePlace({ kind: "cpu", name: "2 threads", why: "" }), "cpu (2 threads)");
 * ```
 */
export function describePlace({ kind, name, forward }: DeviceRecord): string {
  const passes = forward === undefined || forward.provider === kind ? "" : `, forward passes on ${forward.provider}`;
  return `${kind} (${name})${passes}`;
}

/**
 * What an event says that went wrong without ending the run.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(describeTrouble({ at: 0, type: "warning", message: "little room" }), "little room");
 * assert.equal(describeTrouble({ at: 0, type: "run-interrupted", next: "" }), undefined);
 * ```
 * @returns undefined where it says nothing of the kind
 */
export function describeTrouble(event: RunEvent): string | undefined {
  if (event.type === "warning") return event.message;
  if (event.type !== "artifact-corrupt") return undefined;
  return `the cached result of ${event.step} is damaged (${event.detail}): it is made again`;
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  // Hashes tell nobody anything beyond being different.
  const short = /^[0-9a-f]{40,64}$/.test(text) ? text.slice(0, 8) : text;
  return short.length > 40 ? `${short.slice(0, 39)}…` : short;
}
