/** Text to token windows: tokenizers, datasets and the protocols of the published measurements. */
export { type Dataset, type DatasetAccess, type DatasetDescription, describeDataset, type Facts } from "./dataset.ts";
export type { Split } from "./hub_text.ts";
export { loadWindows, type WindowOptions, type Windows } from "./windows.ts";
export { openTokenizer, type Tokenizer } from "../tokenizers/tokenizer.ts";
export type { StreamDecoder } from "../tokenizers/stream_decoder.ts";
