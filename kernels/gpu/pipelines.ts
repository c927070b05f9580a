/** Compiled shaders by their code and constants, and what a dispatch may ask of them. */
import { type GpuBinding, type GpuContext, type GpuOp, type GpuParam, WINDOW_ALIGNMENT } from "./op.ts";
import { checkParams } from "./uniform.ts";

/** A compiled shader and how its buffers are bound. */
export interface GpuPipeline {
  readonly layout: GPUBindGroupLayout;
  readonly pipeline: GPUComputePipeline;
}

/** Compiles each shader once for its constants and the kinds of its bindings. */
export class GpuPipelines {
  /** One zero as group 1, for shaders that must hide from compilers that it is one; see `two_float.wgsl`. */
  readonly zero: GPUBindGroup;
  readonly #device: GPUDevice;
  readonly #report: (error: Error) => void;
  readonly #zeroBuffer: GPUBuffer;
  readonly #zeroLayout: GPUBindGroupLayout;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  /** By code, then by constants and kinds of bindings. */
  readonly #pipelines = new Map<string, Map<string, GpuPipeline>>();

  /** @param report hears of shaders that do not compile, before the next download ends */
  constructor(device: GPUDevice, report: (error: Error) => void) {
    this.#device = device;
    this.#report = report;
    const visibility = GPUShaderStage.COMPUTE;
    this.#zeroLayout = device.createBindGroupLayout({
      entries: [{ binding: 0, visibility, buffer: { type: "read-only-storage" } }],
    });
    this.#zeroBuffer = device.createBuffer({ label: "zero", size: 16, usage: GPUBufferUsage.STORAGE });
    this.zero = device.createBindGroup({
      layout: this.#zeroLayout,
      entries: [{ binding: 0, resource: { buffer: this.#zeroBuffer } }],
    });
  }

  /**
   * The pipeline of a shader; a uniform follows its bindings.
   * @throws {RangeError} when one is made, and the uniform has another number of members
   */
  get(op: GpuOp, bindings: readonly GpuBinding[], params: readonly GpuParam[]): GpuPipeline {
    let variants = this.#pipelines.get(op.code);
    if (!variants) this.#pipelines.set(op.code, variants = new Map());
    const kinds = bindings.map(({ access }) => access).join();
    const key = `${kinds} ${JSON.stringify(op.constants ?? {})}`;
    let found = variants.get(key);
    if (!found) {
      checkParams(op, params.length);
      const layout = this.#layout(kinds, bindings);
      this.#device.pushErrorScope("validation");
      const module = this.#device.createShaderModule({ label: op.name, code: op.code });
      const pipeline = this.#device.createComputePipeline({
        label: op.name,
        layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout, this.#zeroLayout] }),
        compute: { module, entryPoint: "main", constants: { ...op.constants } },
      });
      this.#device.popErrorScope().then((error) => {
        if (error) this.#report(new Error(`Cannot compile the WebGPU kernel "${op.name}": ${error.message.trim()}`));
      });
      variants.set(key, found = { layout, pipeline });
    }
    return found;
  }

  /** Frees its memory. */
  destroy(): void {
    this.#zeroBuffer.destroy();
  }

  #layout(kinds: string, bindings: readonly GpuBinding[]): GPUBindGroupLayout {
    let layout = this.#layouts.get(kinds);
    if (!layout) {
      const types: GPUBufferBindingType[] = bindings.map(({ access }) =>
        access === "read" ? "read-only-storage" : "storage"
      );
      layout = this.#device.createBindGroupLayout({
        entries: [...types, "uniform" as const].map((type, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type },
        })),
      });
      this.#layouts.set(kinds, layout);
    }
    return layout;
  }
}

/**
 * Checks what the GPU would only report later, or not at all.
 *
 * @throws {RangeError} see `GpuContext.run`
 */
export function checkDispatch(
  { limits, bindable }: Pick<GpuContext, "limits" | "bindable">,
  op: GpuOp,
  bindings: readonly GpuBinding[],
  workgroups: readonly (number | undefined)[],
): void {
  const most = limits.maxComputeWorkgroupsPerDimension;
  if (workgroups.some((count = 1) => count > most)) {
    throw new RangeError(
      `Cannot run "${op.name}" in ${workgroups.join("×")} workgroups: the most in one direction is ${most}`,
    );
  }
  const access = new Map<GpuBinding["buffer"], string>();
  for (const binding of bindings) {
    const { buffer, first = 0, count = buffer.length - first } = binding;
    if (count > bindable || first % WINDOW_ALIGNMENT !== 0 || first + count > buffer.length) {
      throw new RangeError(
        `Cannot run "${op.name}" on ${count} elements from ${first} of a buffer of ${buffer.length}: ` +
          `a binding takes at most ${bindable}, from a multiple of ${WINDOW_ALIGNMENT}`,
      );
    }
    if ((access.get(buffer) ?? binding.access) !== binding.access) {
      throw new RangeError(`Cannot run "${op.name}" as one buffer is bound both "read" and "read_write"`);
    }
    access.set(buffer, binding.access);
  }
}
