/** The model that a lock names by its files alone, fetched from a repository of the hub that has the same files. */
import { dirname } from "node:path";
import { InputError } from "../files/input_error.ts";
import { downloadFile, downloadPath, type HubAccess, resolveModel } from "../hub/mod.ts";
import type { LockedInputs } from "./lock_record.ts";

/** What lies at a model's top besides its weights: config, tokenizer, indexes; vocabularies have tens of megabytes. */
const DESCRIPTION = /^[^/]+\.(json|txt|model|jinja)$/, MOST_DESCRIPTION_BYTES = 1 << 28;

/**
 * Fetches a model's files, those of its weights only with the content that the lock says.
 *
 * @param revision commit, tag or branch
 * @returns its folder, or its one file where that is all a lock names of a model in GGUF
 * @throws {InputError} when a file is not there or has another content, or the hub refuses or does not answer
 */
export async function fetchModel(
  { id, revision }: { readonly id: string; readonly revision: string },
  inputs: Pick<LockedInputs, "files">,
  access: HubAccess,
): Promise<string> {
  const repo = await resolveModel(id, revision, access);
  const weights = inputs.files.filter(({ of }) => of === "model");
  const wrong = weights.find(({ name, bytes, sha256 }) => {
    const file = repo.files.get(name);
    return file?.size !== bytes || (file.sha256 ?? sha256) !== sha256;
  });
  if (wrong !== undefined) {
    const { name, bytes, sha256 } = wrong;
    throw new InputError(
      `Cannot take ${id} at ${
        repo.commit.slice(0, 8)
      } for the lock's model: it has no ${name} of ${bytes} bytes with sha256 ${sha256}`,
    );
  }
  const described = [...repo.files.values()].filter(({ path, size }) =>
    DESCRIPTION.test(path) && size <= MOST_DESCRIPTION_BYTES
  ).map(({ path }) => path);
  const names = weights.map(({ name }) => name);
  for (const path of new Set([...described, ...names])) await downloadFile(repo, path, access);
  const [first = "config.json"] = names, place = downloadPath(repo, first, access);
  return names.length === 1 && first.endsWith(".gguf") ? place : dirname(downloadPath(repo, "config.json", access));
}
