/** Models: families, shapes from configs, the forward pass by blocks. */
export * from "./spec.ts";
export { modelSpec } from "./config.ts";
export type { Family } from "./families/family.ts";
export { openModel, type OpenModelOptions } from "./open_model.ts";
export { checkWindow } from "./sliding_window.ts";
export {
  blockLinears,
  blockShapes,
  blockTensors,
  embeddingShapes,
  embeddingTensors,
  headShapes,
  headTensors,
  linearInputs,
  linearWeights,
} from "./tensors.ts";
export { type BlockRun, type Forward, type HeadRun, openForward, type Weights } from "./forward.ts";
export type { BlockOptions, BlockOutput, InputSums, Similarity, Windows } from "./forward.ts";
export { chooseProvider, openProviderProbes, problemWith, PROVIDERS } from "./provider.ts";
export type { Provider, ProviderChoice, ProviderProbes, WantedProvider } from "./provider.ts";
