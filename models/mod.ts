/** Models: families, shapes from configs, the forward pass by blocks. */
export * from "./spec.ts";
export { modelSpec } from "./config.ts";
export { fitModel, type FittedModel } from "./fit.ts";
export { openModel } from "./open_model.ts";
export { blockLinears, blockShapes, embeddingShapes, modelShapes, vocabularyTensors } from "./tensors.ts";
export { openForward, type Weights } from "./forward.ts";
export type { InputSums } from "./forward.ts";
export { openProviderProbes, problemWith, PROVIDERS } from "./provider.ts";
export type { Provider, ProviderProbes, WantedProvider } from "./provider.ts";
