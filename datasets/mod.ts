/** Text to token windows: datasets and the protocols of the published measurements. */
export { checkDataset } from "./check_dataset.ts";
export { type Dataset, type DatasetAccess, describeDataset } from "./dataset.ts";
export { loadWindows, type WindowOptions, type Windows } from "./windows.ts";
