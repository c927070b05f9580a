/** The files of a model on the hub: configs are downloaded, weights only when they are to be computed with. */
import { downloadFile, fileOf, type HubAccess, type HubRepo, openRemote } from "../hub/mod.ts";
import { hashFile, inMemoryHashes } from "../files/file_hashes.ts";
import { openHashed } from "../files/hashed_file.ts";
import { InputError } from "../files/input_error.ts";
import { readTextFile } from "../files/text_file.ts";
import { type ModelFiles, wantedOf } from "./model_files.ts";

/**
 * The files of a hub repository; `names` has those at its top. Their hashes are the hub's own, so that a local copy of the same
 * files has the same identity.
 *
 * @param download whether opening a weight file downloads it; otherwise it is read by ranges
 * @throws {InputError} while reading, as the hub refuses
 */
export function hubFiles(repo: HubRepo, label: string, access: HubAccess, download: boolean): ModelFiles {
  const hashes = access.hashes ?? inMemoryHashes();
  const sha256 = async (name: string) =>
    fileOf(repo, name).sha256 ?? await hashFile(await downloadFile(repo, name, access), hashes);
  return {
    label,
    names: new Set([...repo.files.keys()].filter((path) => !path.includes("/"))),
    has: (path) => Promise.resolve(repo.files.has(path)),
    text: async (name) =>
      await readTextFile(await downloadFile(repo, name, access), {
        wanted: wantedOf(name),
        label: `${name} of ${label}`,
      }),
    async open(name) {
      if (!repo.files.has(name)) throw new InputError(`Cannot open ${name} of ${label}: there is no such file`);
      const source = download
        ? (await openHashed(await downloadFile(repo, name, access), hashes)).source
        : openRemote(repo, name, access);
      return { source, sha256: () => sha256(name) };
    },
  };
}
