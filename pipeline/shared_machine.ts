/** The machine as several recipes see it that are opened one after another: what was found out once is not asked again. */
import { chooseDevice, chooseForward } from "./device.ts";
import type { Machine } from "./subject.ts";

/**
 * A machine that remembers its devices, and what forward passes of a model run on: trying a provider takes seconds.
 *
 * @param machine by default this one
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sharedMachine } from "./shared_machine.ts";
 *
 * const { chooseDevice } = sharedMachine();
 * assert.equal(await chooseDevice("cpu"), await chooseDevice("cpu"));
 * ```
 */
export function sharedMachine(machine: Machine = { chooseDevice, chooseForward }): Machine {
  const devices = new Map<string, ReturnType<Machine["chooseDevice"]>>();
  const providers = new Map<string, ReturnType<Machine["chooseForward"]>>();
  return {
    ...machine,
    chooseDevice: (wanted) => {
      const known = devices.get(wanted) ?? machine.chooseDevice(wanted);
      devices.set(wanted, known);
      return known;
    },
    chooseForward: (spec, device, options) => {
      const key = JSON.stringify([spec, device.kind, options.wanted ?? null, options.length]);
      const known = providers.get(key) ?? machine.chooseForward(spec, device, options);
      providers.set(key, known);
      return known;
    },
  };
}
