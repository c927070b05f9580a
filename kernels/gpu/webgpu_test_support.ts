/** Tests that need a WebGPU adapter: where none is found they say so and are skipped, or fail in CI. */
import { tmpdir } from "node:os";
import { openGpuContext, type WebGpuContext } from "./context.ts";

// Mesa's drivers complain where it is unset, once per device, and need it for nothing that is done here.
if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", tmpdir());

/** Whether this machine has a WebGPU adapter. */
export const hasAdapter = await navigator.gpu.requestAdapter() !== null;

if (!hasAdapter) {
  console.log("WebGPU tests are skipped: no adapter was found (Linux: mesa-vulkan-drivers)");
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

/** A GPU that can be lost: `destroy()` is what a crash of its driver looks like from above. */
export interface Opened<T> {
  readonly opened: T;
  readonly gpu: GPUDevice;
}

/** Opens something on a GPU device, and gets hold of that device. */
export async function withGpu<T>(open: () => Promise<T>): Promise<Opened<T>> {
  const request = GPUAdapter.prototype.requestDevice;
  const taken: GPUDevice[] = [];
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await request.call(this, descriptor);
    taken.push(device);
    return device;
  };
  try {
    const opened = await open(), gpu = taken.at(-1);
    if (!gpu) throw new Error("Cannot get hold of the GPU device as none was requested");
    return { opened, gpu };
  } finally {
    GPUAdapter.prototype.requestDevice = request;
  }
}
