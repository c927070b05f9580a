/** Text to token windows: tokenizers, datasets and the protocols of the published measurements. */
export { type Dataset, type DatasetAccess, type DatasetDescription, describeDataset, loadWindows } from "./windows.ts";
export type { Facts, Split, WindowOptions, Windows } from "./windows.ts";
export { openTokenizer, type Tokenizer } from "./tokenizer.ts";
export type { StreamDecoder } from "./stream_decoder.ts";
