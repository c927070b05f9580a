/** Tests that need a WebGPU adapter: where none is found they say so and are skipped, or fail in CI. */
import { openGpuContext, type WebGpuContext } from "./webgpu_context.ts";

/** Whether this machine has a WebGPU adapter. */
export const hasAdapter = await navigator.gpu.requestAdapter() !== null;

if (!hasAdapter) {
  console.log("WebGPU tests are skipped: no adapter was found (Linux: mesa-vulkan-drivers and XDG_RUNTIME_DIR)");
}

/** Registers a test that gets a context of its own. */
export function gpuTest(title: string, body: (context: WebGpuContext) => void | Promise<void>): void {
  const name = `${title} [webgpu]`;
  if (!hasAdapter && !Deno.env.get("CI")) return Deno.test.ignore(name, () => {});
  Deno.test(name, async () => {
    const context = await openGpuContext();
    try {
      await body(context);
    } finally {
      context.destroy();
    }
  });
}
