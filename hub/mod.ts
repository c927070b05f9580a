/** The Hugging Face Hub: what a repository holds at a commit, its files by range, and its files on this disk. */
export { endpointOf, findToken, type HubAccess, UnreachableError } from "./access.ts";
export { downloadDatasetFile, downloadFile, downloadPath } from "./download.ts";
export { openRemote } from "./remote_file.ts";
export { fileOf, type HubFile, type HubRepo, listDataset, resolveModel } from "./repo.ts";
