/** The datasets a recipe can name, and what identifies each. */
import { basename } from "node:path";
import { type ByteSource, openFile } from "../files/byte_source.ts";
import { type FileHashes, hashFile, inMemoryHashes } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";
import { parseHeader } from "../files/safetensors.ts";
import { lookAt } from "../files/what_is_it.ts";
import type { HubAccess } from "../hub/mod.ts";
import { findText, type HubDataset, type HubText, type Split } from "./hub_text.ts";

/** A recipe's dataset; paths are absolute. */
export type Dataset =
  | HubDataset
  | { readonly text: string }
  | {
    readonly windows: string;
    readonly tensor: string;
    /** Windows at its front that are passed over. */
    readonly skip?: number;
    /** Whether windows are drawn by the seed, rather than the first taken. Default: no. */
    readonly shuffle?: boolean;
  };

/** Facts, as JSON can say them. */
export interface Facts {
  readonly [name: string]: string | number | readonly (string | number)[] | Facts;
}

/** What a dataset is, as far as it can be told without loading it. */
export interface DatasetDescription {
  /** For people: the dataset's name, or its file's. */
  readonly source: string;
  /** Decides the content of the windows, together with tokenizer, samples, length and seed; for content keys. */
  readonly identity: Facts;
  /** Where it comes from; for the lock file. */
  readonly facts: Facts;
}

/** How datasets are reached. */
export interface DatasetAccess {
  readonly split: Split;
  /** Memo of the content hashes of local files. */
  readonly hashes?: FileHashes;
  /** Needed for the datasets that are known by name. */
  readonly hub?: HubAccess;
  readonly signal?: AbortSignal;
}

/**
 * What a dataset is: hashes of its files, and which part of them is meant. That files are of their kind is seen here already, so that a
 * plan says it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { fileURLToPath } from "node:url";
 * const text = fileURLToPath(new URL("../configs/models/tiny-llama/config.json", import.meta.url));
 * const { source, identity } = await describeDataset({ text }, { split: "evaluation" });
 * assert.equal(source, "config.json");
 * assert.equal(identity.kind, "text");
 * ```
 * @throws {InputError} when it cannot be found or read
 */
export async function describeDataset(dataset: Dataset, access: DatasetAccess): Promise<DatasetDescription> {
  if (typeof dataset === "string") {
    return describeText(dataset, await findText(dataset, access.split, requireHub(dataset, access)), access.split);
  }
  if ("windows" in dataset) await look(dataset.windows, async (file) => void await parseHeader(file));
  else {
    await look(dataset.text, async (file) => {
      const other = await lookAt(file, "text");
      if (other !== undefined) throw new InputError(`Cannot read ${dataset.text} as text: ${other}`);
    });
  }
  return await describeFile(dataset, access);
}

/** As `describeDataset`, for a file that has been read. @throws {InputError} when it cannot be hashed */
export async function describeFile(
  dataset: Exclude<Dataset, string>,
  { hashes = inMemoryHashes(), split }: DatasetAccess,
): Promise<DatasetDescription> {
  if ("windows" in dataset) {
    const sha256 = await hashFile(dataset.windows, hashes), { tensor, shuffle, skip } = dataset;
    const skipped: Facts = skip === undefined ? {} : { skip };
    return {
      source: `${basename(dataset.windows)} ${dataset.tensor}`,
      identity: { kind: "windows", sha256, tensor, ...skipped, ...(shuffle ? { shuffled: "yes" } : {}) },
      facts: { file: basename(dataset.windows), sha256, tensor, ...skipped },
    };
  }
  const sha256 = await hashFile(dataset.text, hashes);
  return {
    source: basename(dataset.text),
    identity: { kind: "text", sha256, split },
    facts: { file: basename(dataset.text), sha256 },
  };
}

/** Opens a file for a look. @throws {InputError} when it cannot be opened, and what the look throws */
async function look(path: string, at: (file: ByteSource) => Promise<void>): Promise<void> {
  const file = await openFile(path);
  try {
    await at(file);
  } finally {
    file.close();
  }
}

/** As `describeDataset`, for files that were found on the hub. The commit is a fact but not an identity. */
export function describeText(name: HubDataset, { repo, files }: HubText, split: Split): DatasetDescription {
  const hashes = Object.fromEntries(files.map(({ path, oid, sha256 = oid }) => [path, sha256]));
  return {
    source: name,
    identity: { kind: name, files: hashes, split },
    facts: { dataset: repo.id, commit: repo.commit, files: hashes },
  };
}

/** The hub, for a dataset that needs it. @throws {InputError} when none is given */
export function requireHub(name: HubDataset, { hub, signal }: DatasetAccess): HubAccess {
  if (hub === undefined) throw new InputError(`Cannot load dataset ${name} without access to a hub`);
  return { signal, ...hub };
}
