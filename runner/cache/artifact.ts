/**
 * Artifacts as stages see them: a draft folder that is written, and a published folder whose every byte is checked when
 * it is read. Where they lie and when they go is the cache's business (`cache.ts`).
 */
import { dirname, join } from "node:path";
import { clearMessage } from "../../files/clear_text.ts";
import type { Content } from "../../files/hash_content.ts";
import { readSafetensors, writeSafetensors } from "../../files/safetensors.ts";
import { type FileState, stateOf } from "../../files/file_state.ts";
import { CheckedFiles, type Patience } from "./checked_files.ts";
import {
  isFileName,
  MANIFEST,
  type Manifest,
  type ManifestFile,
  MOST_MANIFEST_BYTES,
  parseManifest,
} from "./manifest.ts";
import type { ArtifactReader, ArtifactWriter, Json } from "../stage.ts";

/** An artifact is damaged or gone. The runner heals it: it is discarded and made again. */
export class CorruptArtifactError extends Error {
  override readonly name = "CorruptArtifactError";
  /** For exit codes. */
  readonly code = "CACHE";
  readonly key: string;
  readonly detail: string;
  constructor(key: string, detail: string) {
    super(`Cannot use artifact ${key}: ${clearMessage(detail)}`);
    this.key = key;
    this.detail = clearMessage(detail);
  }
}

/** What a draft holds when it is complete. */
export interface Drafted {
  readonly value: Json;
  readonly files: readonly ManifestFile[];
}

/** How an artifact is read. */
export interface ReadOptions extends Patience {
  /** Told of damage before it is thrown, so that it cannot be swallowed by the code that reads. */
  readonly report?: (error: CorruptArtifactError) => void;
}

/** An artifact that is being written, in a folder of its own. */
export class Draft implements ArtifactWriter {
  readonly folder: string;
  #value: Json = null;
  #closed = false;
  readonly #files = new Map<string, ManifestFile | undefined>();
  readonly #states = new Map<string, FileState>();
  readonly #checked: CheckedFiles;
  readonly #flush: boolean;

  /**
   * @param folder must exist and be empty
   * @param options `flush`: wait until the disk has each file. What lives for minutes only, such as hidden states, need not:
   * a killed process loses nothing by that, and after a power cut the hashes tell what is damaged, and it is made again;
   * `checked` hashes what the step writes itself
   */
  constructor(
    folder: string,
    { flush = true, checked = new CheckedFiles() }: { readonly flush?: boolean; readonly checked?: CheckedFiles } = {},
  ) {
    this.folder = folder;
    this.#flush = flush;
    this.#checked = checked;
  }

  /** The files' states when they were hashed, by name; complete with `finish`. */
  get states(): ReadonlyMap<string, FileState> {
    return this.#states;
  }

  value(value: Json): void {
    this.#open();
    this.#value = value;
  }

  path(file: string): string {
    this.#open();
    const path = this.#place(file);
    this.#files.set(file, undefined);
    return path;
  }

  async write(...[file, tensors, metadata]: Parameters<ArtifactWriter["write"]>): Promise<void> {
    this.#open();
    const path = this.#place(file);
    const { bytes, sha256 } = await writeSafetensors(path, tensors, metadata, { flush: this.#flush });
    this.#note(file, stateOf(path));
    const summary = Object.entries(tensors).map(([name, { dtype, shape }]) => [name, { dtype, shape: [...shape] }]);
    this.#files.set(file, { name: file, bytes, sha256, tensors: Object.fromEntries(summary) });
  }

  /**
   * Ends writing: files that the step wrote itself are flushed and hashed now.
   *
   * @throws {Error} when a file was announced with `path` but is not there
   * @throws the signal's reason when it is aborted
   */
  async finish(patience: Patience = {}): Promise<Drafted> {
    this.close();
    const files: ManifestFile[] = [];
    for (const name of [...this.#files.keys()].sort()) {
      files.push(this.#files.get(name) ?? await this.#hash(name, patience));
    }
    return { value: this.#value, files };
  }

  /** Refuses further writing, such as by a step that was given up. */
  close(): void {
    this.#closed = true;
  }

  #open(): void {
    if (this.#closed) throw new Error("Cannot write an output: its step has ended");
  }

  #place(file: string): string {
    const names = file.split("/");
    if (!isFileName(file)) {
      throw new RangeError(
        `Cannot write file "${file}" of an artifact: names are letters, digits, dots, dashes and underscores, in folders ` +
          `joined by "/", and not ${MANIFEST}`,
      );
    }
    const path = join(this.folder, ...names);
    if (names.length > 1) Deno.mkdirSync(dirname(path), { recursive: true });
    return path;
  }

  async #hash(name: string, patience: Patience): Promise<ManifestFile> {
    const path = join(this.folder, ...name.split("/"));
    const missing = (cause?: unknown) =>
      new Error(`Cannot publish file "${name}": the step announced it and did not write it`, { cause });
    try {
      using file = await Deno.open(path, { read: true, write: true });
      await file.sync();
    } catch (error) {
      throw error instanceof Deno.errors.NotFound ? missing(error) : error;
    }
    const before = stateOf(path);
    const content = await this.#checked.read(path, patience);
    if (content === undefined) throw missing();
    this.#note(name, before?.print === stateOf(path)?.print ? before : undefined);
    return { name, ...content };
  }

  #note(name: string, state: FileState | undefined): void {
    if (state === undefined) this.#states.delete(name);
    else this.#states.set(name, state);
  }
}

/**
 * Reads the manifest of a published artifact and checks it.
 *
 * @throws {CorruptArtifactError} when it is gone or damaged
 */
export function openManifest(folder: string, key: string): Manifest {
  const path = join(folder, MANIFEST);
  try {
    const { size, isFile } = Deno.lstatSync(path);
    if (!isFile) throw new SyntaxError(`${MANIFEST} is not a file`);
    if (size > MOST_MANIFEST_BYTES) throw new SyntaxError(`${MANIFEST} has ${size} bytes`);
    return parseManifest(Deno.readFileSync(path), key);
  } catch (error) {
    if (error instanceof SyntaxError) throw new CorruptArtifactError(key, error.message);
    if (isGone(error)) throw new CorruptArtifactError(key, "it is gone from the cache");
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new CorruptArtifactError(key, `${MANIFEST} may not be read`);
  }
}

/**
 * A reader that checks each file against its hash before it hands it out.
 *
 * @param options `checked`: knows which files need not be hashed again
 */
export function readArtifact(
  folder: string,
  manifest: Manifest,
  { checked, report = () => {}, ...patience }: ReadOptions & { readonly checked: CheckedFiles },
): ArtifactReader {
  const place = async (file: string): Promise<string> => {
    const wanted = find(file);
    const path = join(folder, ...file.split("/"));
    const damage = await compare(wanted, path, (path) => checked.content(path, patience));
    if (damage === undefined) return path;
    const error = new CorruptArtifactError(manifest.key, damage);
    report(error);
    throw error;
  };
  const find = (file: string): ManifestFile => {
    const found = manifest.files.find(({ name }) => name === file);
    if (found !== undefined) return found;
    const known = manifest.files.map(({ name }) => name).join(", ") || "none";
    throw new RangeError(
      `Cannot read file "${file}" of output "${manifest.output}" of ${manifest.step}: its files are: ${known}`,
    );
  };
  return {
    key: manifest.key,
    value: manifest.value,
    files: manifest.files.map(({ name }) => name),
    read: async (file) => (await readSafetensors(await place(file))).tensors,
    path: place,
  };
}

/**
 * Looks for damage in all files of an artifact.
 *
 * @param content what a file holds, undefined when it is gone
 * @returns what is wrong, or undefined
 */
export async function findDamage(
  folder: string,
  manifest: Manifest,
  content: (path: string) => Promise<Content | undefined>,
): Promise<string | undefined> {
  for (const file of manifest.files) {
    const damage = await compare(file, join(folder, ...file.name.split("/")), content);
    if (damage !== undefined) return damage;
  }
  return undefined;
}

async function compare(
  wanted: ManifestFile,
  path: string,
  content: (path: string) => Promise<Content | undefined>,
): Promise<string | undefined> {
  const bytes = stateOf(path)?.size;
  if (bytes === undefined) return `${wanted.name} is gone`;
  // Not hashed: however long a file has become, that it has says enough.
  if (bytes !== wanted.bytes) return `${wanted.name} has ${bytes} bytes instead of ${wanted.bytes}`;
  const found = await content(path);
  if (found === undefined) return `${wanted.name} is gone or may not be read`;
  if (found.bytes !== wanted.bytes) return `${wanted.name} has ${found.bytes} bytes instead of ${wanted.bytes}`;
  if (found.sha256 !== wanted.sha256) {
    return `${wanted.name} has sha256 ${found.sha256} instead of ${wanted.sha256}`;
  }
  return undefined;
}

/** Whether the system says that there is no such file or folder. */
export function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}
