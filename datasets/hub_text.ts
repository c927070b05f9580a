/**
 * The texts of the published measurements, from the Hugging Face Hub: WikiText-2, Penn Treebank and C4.
 *
 * Which files, which rows and how they are joined; not how tokens become windows (`windows.ts`).
 */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { openFile } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { readParquet } from "../files/parquet.ts";
import { lookAt } from "../files/what_is_it.ts";
import { type HubAccess, type HubFile, type HubRepo, listDataset } from "../hub/mod.ts";

/** What a text is for: random windows to calibrate with, or all in order to measure perplexity on. */
export type Split = "calibration" | "evaluation";

/** A dataset that is known by name. */
export type HubDataset = "wikitext2" | "ptb" | "c4";

/** The files of one split of one dataset, at one commit of its repository. */
export interface HubText {
  readonly repo: HubRepo;
  /** In order of their paths. */
  readonly files: readonly HubFile[];
}

interface Source {
  readonly id: string;
  readonly revision: string;
  /** Holds the files; nothing else of the repository is listed. */
  readonly folder: string;
  readonly column: string;
  /** Between rows. */
  readonly joint: string;
  /** Only so many rows, counted from the first. */
  readonly rows?: Partial<Record<Split, number>>;
  readonly files: Readonly<Record<Split, RegExp>>;
}

/** Revisions are branches: the commit is looked up when a run is planned and written into its lock file. */
const SOURCES: Readonly<Record<HubDataset, Source>> = {
  wikitext2: {
    id: "Salesforce/wikitext",
    revision: "main",
    folder: "wikitext-2-raw-v1",
    column: "text",
    joint: "\n\n",
    files: { calibration: /^train-\d+-of-\d+\.parquet$/, evaluation: /^test-\d+-of-\d+\.parquet$/ },
  },
  // The repository itself holds a loading script only; the hub keeps a converted copy on a branch of its own.
  ptb: {
    id: "ptb-text-only/ptb_text_only",
    revision: "refs/convert/parquet",
    folder: "penn_treebank",
    column: "sentence",
    joint: " ",
    files: {
      calibration: /^(train\/\d+|[^/]*-train)\.parquet$/,
      evaluation: /^(test\/\d+|[^/]*-test)\.parquet$/,
    },
  },
  c4: {
    id: "allenai/c4",
    revision: "main",
    folder: "en",
    column: "text",
    joint: " ",
    rows: { evaluation: 1100 },
    files: {
      calibration: /^c4-train\.00000-of-01024\.json\.gz$/,
      evaluation: /^c4-validation\.00000-of-00008\.json\.gz$/,
    },
  },
};

/** Rows are JSON objects of some kilobytes; a longer line is not one. */
const LONGEST_LINE = 1 << 26;

/**
 * Finds the files of a split without downloading them.
 *
 * @throws {InputError} when the hub does not answer, or the dataset has no such files
 */
export async function findText(name: HubDataset, split: Split, hub: HubAccess): Promise<HubText> {
  const { id, revision, folder, files: patterns } = SOURCES[name];
  const repo = await listDataset(id, revision, hub, folder);
  const files = [...repo.files.values()]
    .filter(({ path }) => path.startsWith(`${folder}/`) && patterns[split].test(path.slice(folder.length + 1)))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  if (files.length === 0) {
    throw new InputError(
      `Cannot load dataset ${name}: ${id} at ${revision} (${repo.commit}) holds no file in ${folder} like ` +
        patterns[split].source,
    );
  }
  return { repo, files };
}

/**
 * The whole text of a split: its rows joined as the published measurements join them.
 *
 * WikiText-2 by blank lines, Penn Treebank by spaces, and of C4's validation shard the first 1100 documents by spaces.
 * @param paths local files of the split, in order
 * @throws {InputError} when a file is damaged or lacks the column
 */
export async function joinRows(
  name: HubDataset,
  paths: readonly string[],
  { split, signal }: { readonly split: Split; readonly signal?: AbortSignal },
): Promise<string> {
  const { column, joint, rows = {} } = SOURCES[name];
  const most = rows[split] ?? Infinity;
  const texts: string[] = [];
  for (const path of paths) {
    if (path.endsWith(".parquet")) {
      for (const text of await parquetColumn(path, column)) if (texts.length < most) texts.push(text);
    } else if (texts.length < most) {
      await eachLine(path, (line, number) => {
        texts.push(parseRow(line, { path, number, column }));
        return texts.length < most;
      }, signal);
    }
    signal?.throwIfAborted();
  }
  return texts.join(joint);
}

/**
 * Documents of a compressed shard by their place in it, in one pass.
 *
 * @param wanted places, counted from 0
 * @returns the documents that are there, by place
 * @throws {InputError} when the file is damaged
 */
export async function pickDocuments(
  path: string,
  wanted: ReadonlySet<number>,
  signal?: AbortSignal,
): Promise<ReadonlyMap<number, string>> {
  const { column } = SOURCES.c4;
  const last = Math.max(-1, ...wanted);
  const found = new Map<number, string>();
  await eachLine(path, (line, number) => {
    if (wanted.has(number)) found.set(number, parseRow(line, { path, number, column }));
    return number < last;
  }, signal);
  return found;
}

/** Number of documents in a compressed shard. @throws {InputError} when the file is damaged */
export async function countDocuments(path: string, signal?: AbortSignal): Promise<number> {
  let count = 0;
  await eachLine(path, () => {
    count++;
    return true;
  }, signal);
  return count;
}

async function parquetColumn(path: string, column: string): Promise<readonly string[]> {
  const source = await openFile(path);
  try {
    const rows = await readParquet(source, { columns: [column] });
    return rows.map((row, number) => rowText(row, { path, number, column }));
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    const why = await lookAt(source, "Parquet") ?? damaged(cause);
    throw new InputError(`Cannot read ${path} as parquet: ${why}`, { cause });
  } finally {
    await source.close();
  }
}

interface Place {
  readonly path: string;
  /** Row, counted from 0. */
  readonly number: number;
  readonly column: string;
}

function parseRow(line: Uint8Array, place: Place): string {
  let row: unknown;
  try {
    row = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch (cause) {
    throw new InputError(`Cannot read row ${place.number} of ${place.path}: it is not JSON`, { cause });
  }
  return rowText(row, place);
}

function rowText(row: unknown, { path, number, column }: Place): string {
  const value = typeof row === "object" && row !== null
    ? (row as Readonly<Record<string, unknown>>)[column]
    : undefined;
  if (typeof value !== "string") {
    throw new InputError(`Cannot read row ${number} of ${path}: it has no text in column "${column}"`);
  }
  return value;
}

/** Calls `visit` with the lines of a gzip file, as bytes without their end, until it returns false. */
async function eachLine(
  path: string,
  visit: (line: Uint8Array, number: number) => boolean,
  signal?: AbortSignal,
): Promise<void> {
  // Not DecompressionStream: it refuses files of several gzip members, and takes twice the time.
  const gunzip = createGunzip({ chunkSize: 1 << 18 });
  const file = createReadStream(path, { highWaterMark: 1 << 18 });
  file.on("error", (error) => gunzip.destroy(error));
  let number = 0;
  let rest = new Uint8Array(0);
  try {
    for await (const chunk of file.pipe(gunzip) as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted();
      let begin = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, begin)) {
        const line = rest.length === 0 ? chunk.subarray(begin, end) : joined(rest, chunk.subarray(begin, end));
        rest = new Uint8Array(0);
        begin = end + 1;
        if (!visit(line, number++)) return;
      }
      rest = joined(rest, chunk.subarray(begin));
      if (rest.length > LONGEST_LINE) {
        throw new InputError(`Cannot read row ${number} of ${path}: it is longer than ${LONGEST_LINE} bytes`);
      }
    }
    if (rest.length > 0) visit(rest, number);
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof InputError) throw cause;
    const source = await openFile(path);
    const why = await lookAt(source, "gzip").finally(() => source.close()) ?? damaged(cause);
    throw new InputError(`Cannot read ${path}: ${why}`, { cause });
  } finally {
    file.destroy();
    gunzip.destroy();
  }
}

/** @param cause what a library says, which is no sentence */
function damaged(cause: unknown): string {
  return `it is damaged (${cause instanceof Error ? cause.message : cause}); remove it, so that it is downloaded again`;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
