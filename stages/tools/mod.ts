/** What running steps share and planning never opens. Each tool is a file here: what it reaches enters the keys of those who use it. */
import type { Device } from "../../kernels/device.ts";
import type { Provider } from "../../models/provider.ts";
import { type ForwardTool, openForwardTool } from "./forward.ts";
import { type LayersTool, openLayersTool } from "./layers.ts";
import { type ModelFileTool, openModelFileTool } from "./model_file.ts";
import { openPackingTool, type PackingTool } from "./packing.ts";
import { type SharedDevice, shareDevice } from "../../layers/shared_device.ts";
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
export const ON_DEVICE: readonly (keyof Tools)[] = ["layers", "packing"];

/** How tools are opened. */
export interface ToolsOptions extends TextToolOptions {
  readonly weights: Weights;
  /** onnxruntime's execution provider. */
  readonly provider: Provider;
  /** Opens the device that kernels run on, where it is one for the whole machine; the cores are used without it. */
  readonly openDevice?: () => Promise<Device>;
}

/** The tools, each opened on first use, and what closes them together. */
export function openTools(options: ToolsOptions): { readonly tools: Tools; close(): Promise<void> } {
  const device: SharedDevice | undefined = options.openDevice && shareDevice(options.openDevice);
  const forward = openForwardTool(options), layers = openLayersTool(device);
  return {
    tools: {
      forward,
      weights: options.weights,
      text: openTextTool(options),
      layers,
      packing: openPackingTool(device),
      model_file: openModelFileTool(),
    },
    async close() {
      layers.close();
      device?.close();
      await forward.close();
      options.weights.close();
    },
  };
}
