/** The Hugging Face Hub: what a repository holds at a commit, its files by range, its files on this disk, and commits of one's own. */
export { endpointOf, findToken, type HubAccess, RefusedError, UnreachableError } from "./access.ts";
export { downloadDatasetFile, downloadFile, downloadPath } from "./download.ts";
export { describeModel, type ModelFacts } from "./model_info.ts";
export {
  type ComparedUpload,
  compareUploads,
  lookAtTarget,
  push,
  type Pushed,
  type PushOptions,
  type PushTarget,
  type Upload,
} from "./push.ts";
export { openRemote } from "./remote_file.ts";
export { fileOf, type HubFile, type HubRepo, listDataset, resolveModel } from "./repo.ts";
