/** Which device the kernels run on, and why; nothing falls back in silence. */
import { availableParallelism, cpus } from "node:os";
import { InputError } from "../checkpoints/input_error.ts";
import type { OpenOptions, Subject } from "../runner/stage.ts";

/**
 * The device of a run. `auto` means the CPU as long as the WebGPU kernels have not been measured on GPUs.
 *
 * @throws {InputError} webgpu is asked for and there is no adapter
 */
export async function chooseDevice(wanted: OpenOptions["device"]): Promise<Subject["device"]> {
  if (wanted === "webgpu") {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) {
      throw new InputError(
        "Cannot run on webgpu as no adapter was found: install a driver (Linux: Vulkan, such as mesa-vulkan-drivers, with " +
          "XDG_RUNTIME_DIR set), or use --device cpu",
      );
    }
    const { description, device, vendor, isFallbackAdapter } = adapter.info;
    const why = "asked for with --device webgpu; forward passes run on onnxruntime's cpu provider";
    return {
      kind: "webgpu",
      name: description || device || vendor || "unnamed adapter",
      why: isFallbackAdapter ? `${why}; the adapter is a software fallback` : why,
    };
  }
  const name = `${cpus()[0]?.model.trim() || "CPU"}, ${availableParallelism()} threads`;
  const why = wanted === "cpu"
    ? "asked for with --device cpu"
    : "auto: the CPU, as the WebGPU kernels have been measured on software Vulkan only; try --device webgpu";
  return { kind: "cpu", name, why };
}
