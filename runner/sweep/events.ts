/** What happens in a sweep, as one union: the events of its runs, and those of its points. */
import type { RunEvent } from "../events.ts";
import type { SweepPoint } from "./record.ts";

/** One event; `at` is milliseconds since the epoch. */
export type SweepEvent =
  & { readonly at: number }
  & (
    | {
      readonly type: "sweep-started";
      readonly sweep: string;
      readonly name: string;
      /** Absolute path. */
      readonly folder: string;
      /** In the recipe's order. */
      readonly points: readonly { readonly id: string; readonly label: string; readonly state: SweepPoint["state"] }[];
      /** Ids of the points that will run, in that order, with the seconds expected of each. */
      readonly order: readonly { readonly point: string; readonly seconds: number }[];
    }
    | { readonly type: "point-started"; readonly point: string; readonly label: string }
    | { readonly type: "point-event"; readonly point: string; readonly label: string; readonly event: RunEvent }
    | {
      readonly type: "point-finished";
      readonly point: string;
      readonly label: string;
      readonly state: SweepPoint["state"];
      readonly seconds: number;
      /** Of a point that failed. */
      readonly exit?: number;
      readonly error?: string;
      readonly step?: string;
    }
    | { readonly type: "warning"; readonly message: string }
    | {
      readonly type: "sweep-finished";
      readonly exit: number;
      readonly seconds: number;
      readonly finished: number;
      readonly failed: number;
      readonly left: number;
    }
  );
