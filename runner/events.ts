/** What happens in a run, as one union: the journal, the terminal, the report and the API read only this. */
import type { DeviceRecord } from "./stage.ts";

/** Why a step runs although something like it may have been cached. */
export interface Reason {
  /**
   * The first field of the content key that differs: a recipe path (`stages.spbo.iterations`), `facts.…`, `code` or
   * `inputs.…`. Where nothing differs: `first run`; `evicted`, its results are gone from the cache; `transient`, it was
   * cached, but what it hands on was deleted after use and is needed again; `forced`, the user asks for it;
   * `corrupt`, damage was found while running; `unfetched`, a mirror said that it has the step, or a later one, and did not
   * give it.
   */
  readonly field: string;
  /** The step whose field it is, where that is not the step itself but one before it. */
  readonly step?: string;
  readonly before?: unknown;
  readonly now?: unknown;
  /** Where the recipe says so. */
  readonly at?: { readonly file: string; readonly line: number };
}

/** One step of a plan, as people and programs see it. */
export interface StepSummary {
  readonly id: string;
  readonly stage: string;
  readonly block?: number;
  /** `fetch`: a mirror has what is needed of it; `skip`: nothing that must run needs it, so its (evicted or transient) outputs are not made again. */
  readonly state: "cached" | "run" | "fetch" | "skip";
  readonly why?: Reason;
  /** Content key; journals of older runs do not have it. */
  readonly key?: string;
  /** The mirror that a step is fetched from, and the bytes to fetch. */
  readonly fetch?: { readonly from: string; readonly bytes: number };
  readonly seconds: number;
  /** Bytes of memory at its peak. */
  readonly memory: number;
  /** Bytes it writes. */
  readonly disk: number;
  /** Steps whose outputs it takes; missing in journals of older runs. */
  readonly inputs?: readonly string[];
}

/**
 * One event; `at` is milliseconds since the epoch.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { RunEvent } from "./events.ts";
 *
 * const secondsOf = (events: readonly RunEvent[]) =>
 *   events.reduce((sum, event) => event.type === "step-finished" ? sum + event.seconds : sum, 0);
 * assert.equal(secondsOf([
 *   { at: 0, type: "step-started", step: "embed", stage: "embed" },
 *   { at: 2000, type: "step-finished", step: "embed", seconds: 2, stages: {}, bytes: 64 },
 * ]), 2);
 * ```
 */
export type RunEvent =
  & { readonly at: number }
  & (
    | {
      readonly type: "run-started";
      readonly run: string;
      readonly recipe: string;
      readonly method: string;
      readonly model: string;
      readonly device: DeviceRecord;
      readonly folder: string;
      readonly steps: readonly StepSummary[];
    }
    | {
      readonly type: "step-started";
      readonly step: string;
      readonly stage: string;
      readonly block?: number;
      readonly why?: Reason;
      /** Whether it is asked of a mirror. */
      readonly fetch?: boolean;
    }
    | {
      readonly type: "step-progress";
      readonly step: string;
      readonly done: number;
      readonly total: number;
      readonly note?: string;
    }
    | { readonly type: "step-measured"; readonly step: string; readonly values: Readonly<Record<string, unknown>> }
    | {
      readonly type: "step-finished";
      readonly step: string;
      readonly seconds: number;
      /** Seconds by stage, where one step does the work of several. */
      readonly stages: Readonly<Record<string, number>>;
      readonly bytes: number;
      /** Most bytes that the process was seen to hold since the step before; missing in journals of older runs. */
      readonly memory?: number;
      /** Another run made the results meanwhile; the seconds are those of waiting. */
      readonly reused?: boolean;
      /** The mirror that the results were fetched from; the seconds are those of fetching. */
      readonly from?: string;
    }
    | {
      readonly type: "step-failed";
      readonly step: string;
      readonly error: { readonly name: string; readonly message: string };
    }
    | { readonly type: "artifact-corrupt"; readonly key: string; readonly step: string; readonly detail: string }
    | { readonly type: "artifact-evicted"; readonly key: string; readonly bytes: number }
    | { readonly type: "warning"; readonly message: string }
    | { readonly type: "run-interrupted"; readonly next: string }
    | {
      readonly type: "run-failed";
      readonly error: { readonly name: string; readonly message: string };
      readonly exit: number;
    }
    | {
      readonly type: "run-finished";
      readonly folder: string;
      readonly seconds: number;
      readonly peakMemory: number;
      /** Steps that ran in it; journals of older runs call it `run`. */
      readonly ran: number;
      /** Steps that did not have to. */
      readonly cached: number;
      /** Of these, fetched from a mirror; absent where there is none. */
      readonly fetched?: number;
    }
  );
