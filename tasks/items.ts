/** The questions of a task: the rows of its dataset on the hub, or of a file in that dataset's own form. */
import { basename } from "node:path";
import type { Facts } from "../datasets/dataset.ts";
import { readRows, type Row } from "../datasets/rows.ts";
import { type FileHashes, hashFile, inMemoryHashes } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";
import { downloadFile, type HubAccess, type HubFile, type HubRepo, listDataset } from "../hub/mod.ts";
import { FieldError, type Item, type Task } from "./task.ts";

/** Where the rows are, and how they are reached. */
export interface ItemsFrom {
  /** A file of this machine, absolute; default: the dataset on the hub. */
  readonly file?: string;
  /** So many of the first questions; default: all. */
  readonly limit?: number;
  readonly hashes?: FileHashes;
  /** Needed where no file is given. */
  readonly hub?: HubAccess;
  readonly signal?: AbortSignal;
}

/** Questions, and where they come from. */
export interface LoadedItems {
  readonly items: readonly Item[];
  /** For people, of each question: file and row. */
  readonly places: readonly string[];
}

/** The branch on which the hub keeps a Parquet copy of every dataset, whatever form that has. */
const PARQUET = "refs/convert/parquet";

/** What a task asks, as far as it can be told without reading it: decides the questions; never a path. @throws {InputError} */
export async function describeItems(task: Task, from: ItemsFrom): Promise<{ readonly identity: Facts }> {
  const limit: Facts = from.limit === undefined ? {} : { limit: from.limit };
  if (from.file !== undefined) {
    return {
      identity: { task: task.name, sha256: await hashFile(from.file, from.hashes ?? inMemoryHashes()), ...limit },
    };
  }
  const { files } = await filesOf(task, from);
  const hashes = Object.fromEntries(files.map(({ path, oid, sha256 = oid }) => [path, sha256]));
  return { identity: { task: task.name, dataset: task.dataset.id, files: hashes, ...limit } };
}

/**
 * Reads a task's questions.
 *
 * @throws {InputError} naming file, row and field of what is not as the dataset has it; when there is no row
 */
export async function loadItems(task: Task, from: ItemsFrom): Promise<LoadedItems> {
  const items: Item[] = [], places: string[] = [];
  const left = () => from.limit === undefined ? {} : { limit: from.limit - items.length };
  const take = (rows: readonly Row[], label: string) => {
    for (const { value, place } of rows) {
      items.push(itemOf(task, value, `${place} of ${label}`));
      places.push(`${place} of ${label}`);
    }
  };
  if (from.file !== undefined) {
    const label = basename(from.file);
    take(await readRows(from.file, { label, ...left() }), label);
  } else {
    const { repo, files, hub } = await filesOf(task, from);
    for (const { path } of files) {
      if (from.limit !== undefined && items.length >= from.limit) break;
      from.signal?.throwIfAborted();
      take(await readRows(await downloadFile(repo, path, hub), { label: path, ...left() }), path);
    }
  }
  if (items.length > 0) return { items, places };
  const what = from.file === undefined ? `${task.dataset.split} of ${task.dataset.id}` : basename(from.file);
  throw new InputError(`Cannot ask ${task.name} as ${what} has no rows`);
}

function itemOf(task: Task, value: Row["value"], place: string): Item {
  const checked = task.row.safeParse(value);
  if (!checked.success) {
    const [{ path, message }] = checked.error.issues, field = path.join(".") || "(row)";
    const [top] = path, missing = top !== undefined && !(String(top) in value);
    throw new InputError(
      missing
        ? `Cannot ask ${task.name}: ${place} has no field "${String(top)}"; it has ${
          Object.keys(value).join(", ") || "none"
        }`
        : `Cannot ask ${task.name}: \`${field}\` in ${place} is not what the dataset has there: ${message}`,
    );
  }
  try {
    return task.item(checked.data);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new InputError(`Cannot ask ${task.name}: \`${error.field}\` in ${place}: ${error.message}`, { cause: error });
  }
}

async function filesOf(
  { name, dataset: { id, config, split } }: Task,
  { hub, signal }: ItemsFrom,
): Promise<{ readonly repo: HubRepo; readonly files: readonly HubFile[]; readonly hub: HubAccess }> {
  if (hub === undefined) throw new InputError(`Cannot load the dataset of ${name} without access to a hub`);
  const access = { signal, ...hub };
  const repo = await listDataset(id, PARQUET, access, config);
  const pattern = new RegExp(`^${config}/(${split}/\\d+|[^/]*-${split})\\.parquet$`);
  const files = [...repo.files.values()].filter(({ path }) => pattern.test(path))
    .sort((a, b) => a.path < b.path ? -1 : 1);
  if (files.length > 0) return { repo, files, hub: access };
  throw new InputError(
    `Cannot load the dataset of ${name}: ${id} at ${PARQUET} (${repo.commit}) has no Parquet file of its ${split} split in ${config}`,
  );
}
