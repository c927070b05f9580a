/** Models: shapes from configs, the forward pass by blocks, generation. */
export * from "./spec.ts";
export { modelSpec } from "./config.ts";
export {
  blockLinears,
  blockShapes,
  blockTensors,
  embeddingShapes,
  embeddingTensors,
  headShapes,
  headTensors,
} from "./tensors.ts";
export { type BlockRun, type Forward, type HeadRun, openForward, type Weights } from "./forward.ts";
export type { BlockOptions, BlockOutput, InputSums, Similarity, Windows } from "./forward.ts";
export { chooseProvider, openProviderProbes, problemWith, PROVIDERS } from "./provider.ts";
export type { Provider, ProviderChoice, ProviderProbes, WantedProvider } from "./provider.ts";
export { generate, type GenerateOptions } from "../inference/generate.ts";
export { type SampleOptions, sampler } from "../inference/sample.ts";
