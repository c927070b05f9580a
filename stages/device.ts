/** Which device the kernels run on, and why. */
import { availableParallelism, cpus } from "node:os";
import { InputError } from "../checkpoints/input_error.ts";
import type { OpenOptions, Subject } from "../runner/stage.ts";

/**
 * The device of a run: there is one kind so far, so that `auto` means the CPU.
 *
 * @throws {InputError} when a kind is asked for that this version does not have; nothing falls back in silence
 */
export function chooseDevice(wanted: OpenOptions["device"]): Subject["device"] {
  if (wanted === "webgpu") {
    throw new InputError(
      "Cannot run on webgpu as this version computes on the CPU only; use --device cpu, or leave the option out",
    );
  }
  const name = `${cpus()[0]?.model.trim() || "CPU"}, ${availableParallelism()} threads`;
  const why = wanted === "cpu" ? "asked for with --device cpu" : "auto: the CPU is the only kind in this version";
  return { kind: "cpu", name, why };
}
