/** What running steps share and planning never opens. Each tool is a file here: what it reaches enters the keys of those who use it. */
import type { WebGpuDeviceOptions } from "../../kernels/webgpu.ts";
import type { WorkerLayerPool } from "../../layers/pool.ts";
import type { SharedDevice } from "../../layers/shared_device.ts";
import type { Forward } from "../../models/forward.ts";
import type { Provider } from "../../models/provider.ts";
import { type ForwardTool, openForwardTool } from "./forward.ts";
import { shareGpu } from "./gpu.ts";
import { type LayersTool, openLayersTool } from "./layers.ts";
import { type ModelFileTool, openModelFileTool } from "./model_file.ts";
import { openPackingTool, type PackingTool } from "./packing.ts";
import { openShelf, type Shelf } from "./shelf.ts";
import { openTasksTool, type TasksTool, type TasksToolOptions } from "./tasks.ts";
import { openTextTool, type TextTool } from "./text.ts";
import type { Weights } from "./weights.ts";

/** All tools, by the names of their files. */
export interface Tools {
  /** Forward passes of this model. */
  readonly forward: ForwardTool;
  /** Weights of the original model. */
  readonly weights: Weights;
  /** Token windows. */
  readonly text: TextTool;
  /** Questions of zero-shot tasks. */
  readonly tasks: TasksTool;
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
export interface ToolsOptions extends TasksToolOptions {
  readonly weights: Weights;
  /** onnxruntime's execution provider. */
  readonly provider: Provider;
  /** How the GPU is opened that kernels run on; the cores are used without it. */
  readonly gpu?: WebGpuDeviceOptions;
}

/** What tools of runs that follow one another hand on. */
export interface ToolShelves {
  /** Workers of forward passes with onnxruntime's sessions. */
  readonly forward: Shelf<Forward>;
  /** Workers that quantize layers. */
  readonly layers: Shelf<WorkerLayerPool>;
  /** The GPU that kernels run on. */
  readonly gpu: Shelf<SharedDevice>;
  /** Closes what lies there. */
  close(): Promise<void>;
}

/** Makes empty shelves. */
export function openToolShelves(): ToolShelves {
  const forward = openShelf<Forward>((passes) => passes.close());
  const layers = openShelf<WorkerLayerPool>((pool) => pool.close());
  const gpu = openShelf<SharedDevice>((device) => device.close());
  return {
    ...{ forward, layers, gpu },
    async close() {
      for (const shelf of [layers, gpu, forward]) await shelf.close();
    },
  };
}

/**
 * The tools, each opened on first use, and what closes them together.
 *
 * @param shared shelves where earlier runs may have left theirs, and whoever made them closes them; by default nothing outlives the tools
 */
export function openTools(
  options: ToolsOptions,
  shared?: ToolShelves,
): { readonly tools: Tools; close(): Promise<void> } {
  const shelves = shared ?? openToolShelves();
  const kind = JSON.stringify(options.gpu?.apart ?? false);
  const device = options.gpu && (shelves.gpu.take(kind) ?? shareGpu(options.gpu));
  const forward = openForwardTool(options, shelves.forward), layers = openLayersTool(device, shelves.layers);
  const model_file = openModelFileTool();
  return {
    tools: {
      forward,
      weights: options.weights,
      text: openTextTool(options),
      tasks: openTasksTool(options),
      layers,
      packing: openPackingTool(device),
      model_file,
    },
    async close() {
      await layers.close();
      if (device) await shelves.gpu.leave(kind, device, { whole: device.reusable() });
      await forward.close();
      await model_file.close();
      options.weights.close();
      if (shelves !== shared) await shelves.close();
    },
  };
}
