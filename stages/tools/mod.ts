/** What running steps share and planning never opens. Each tool is a file here: what it reaches enters the keys of those who use it. */
import type { WebGpuDeviceOptions } from "../../kernels/webgpu.ts";
import type { Provider } from "../../models/provider.ts";
import { type ForwardTool, openForwardTool } from "./forward.ts";
import { shareGpu } from "./gpu.ts";
import { type LayersTool, openLayersTool } from "./layers.ts";
import { type ModelFileTool, openModelFileTool } from "./model_file.ts";
import { openPackingTool, type PackingTool } from "./packing.ts";
import { openTextTool, type TextTool, type TextToolOptions } from "./text.ts";
import type { Weights } from "./weights.ts";

/** All tools, by the names of their files. */
export interface Tools {
  /** Forward passes of this model. */
  readonly forward: ForwardTool;
  /** Weights of the original model. */
  readonly weights: Weights;
  /** Token windows. */
  readonly text: TextTool;
  /** What quantizes layers. */
  readonly layers: LayersTool;
  /** What packs and decodes layers. */
  readonly packing: PackingTool;
  /** The packed model's file. */
  readonly model_file: ModelFileTool;
}

/** Tools that run kernels on the run's device; all others stay on the CPU, whatever that is. */
const ON_DEVICE: readonly (keyof Tools)[] = ["layers", "packing"];

/** Files of this folder behind some tools, and the device that their code runs on: what stays on the CPU is shared by all runs. */
export function codeOfTools(
  names: readonly (keyof Tools)[],
  device: "cpu" | "webgpu",
): { readonly files: readonly string[]; readonly device: "cpu" | "webgpu" } {
  if (device === "cpu" || !names.some((tool) => ON_DEVICE.includes(tool))) return { files: names, device: "cpu" };
  return { files: [...names, "gpu"], device };
}

/** How tools are opened. */
export interface ToolsOptions extends TextToolOptions {
  readonly weights: Weights;
  /** onnxruntime's execution provider. */
  readonly provider: Provider;
  /** How the GPU is opened that kernels run on; the cores are used without it. */
  readonly gpu?: WebGpuDeviceOptions;
}

/** The tools, each opened on first use, and what closes them together. */
export function openTools(options: ToolsOptions): { readonly tools: Tools; close(): Promise<void> } {
  const device = options.gpu && shareGpu(options.gpu);
  const forward = openForwardTool(options), layers = openLayersTool(device), model_file = openModelFileTool();
  return {
    tools: {
      forward,
      weights: options.weights,
      text: openTextTool(options),
      layers,
      packing: openPackingTool(device),
      model_file,
    },
    async close() {
      layers.close();
      device?.close();
      await forward.close();
      await model_file.close();
      options.weights.close();
    },
  };
}
