/** What a device has spent since it was asked last: seconds by section, calls by operation. */
import type { OpCount } from "./device.ts";

/** Accounts are closed by asking for them. */
export class DeviceAccount {
  #spent: Record<string, number> = {};
  #counters: Record<string, OpCount> = {};

  /** Adds seconds to a section. */
  spend(section: string, seconds: number): void {
    this.#spent[section] = (this.#spent[section] ?? 0) + seconds;
  }

  /** Adds one call of an operation. */
  count(op: string, { dispatches, flops }: Pick<OpCount, "dispatches" | "flops">): void {
    const before = this.#counters[op] ?? { calls: 0, dispatches: 0, flops: 0 };
    this.#counters[op] = {
      calls: before.calls + 1,
      dispatches: before.dispatches + dispatches,
      flops: before.flops + flops,
    };
  }

  /** See `Device.spent`. */
  spent(): Readonly<Record<string, number>> {
    const spent = this.#spent;
    this.#spent = {};
    return spent;
  }

  /** See `Device.counters`. */
  counters(): Readonly<Record<string, OpCount>> {
    const counters = this.#counters;
    this.#counters = {};
    return counters;
  }
}
