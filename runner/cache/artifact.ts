/**
 * Artifacts as stages see them: a draft folder that is written, and a published folder whose every byte is checked when
 * it is read. Where they lie and when they go is the cache's business (`cache.ts`).
 */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { readSafetensors, writeSafetensors } from "../../files/safetensors.ts";
import { MANIFEST, type Manifest, type ManifestFile, MOST_MANIFEST_BYTES, parseManifest } from "./manifest.ts";
import type { ArtifactReader, ArtifactWriter, Json } from "../stage.ts";

/** An artifact is damaged or gone. The runner heals it: it is discarded and made again. */
export class CorruptArtifactError extends Error {
  override readonly name = "CorruptArtifactError";
  /** For exit codes. */
  readonly code = "CACHE";
  readonly key: string;
  readonly detail: string;
  constructor(key: string, detail: string) {
    super(`Cannot use artifact ${key}: ${detail}`);
    this.key = key;
    this.detail = detail;
  }
}

/** What a draft holds when it is complete. */
export interface Drafted {
  readonly value: Json;
  readonly files: readonly ManifestFile[];
}

/** Bytes read at once while hashing. */
const CHUNK = 1 << 20;

/** An artifact that is being written, in a folder of its own. */
export class Draft implements ArtifactWriter {
  readonly folder: string;
  #value: Json = null;
  #closed = false;
  readonly #files = new Map<string, ManifestFile | undefined>();

  readonly #flush: boolean;

  /**
   * @param folder must exist and be empty
   * @param options `flush`: wait until the disk has each file. What lives for minutes only, such as hidden states, need not:
   * a killed process loses nothing by that, and after a power cut the hashes tell what is damaged, and it is made again
   */
  constructor(folder: string, { flush = true }: { readonly flush?: boolean } = {}) {
    this.folder = folder;
    this.#flush = flush;
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
    const { bytes, sha256 } = await writeSafetensors(this.#place(file), tensors, metadata, { flush: this.#flush });
    const summary = Object.entries(tensors).map(([name, { dtype, shape }]) => [name, { dtype, shape: [...shape] }]);
    this.#files.set(file, { name: file, bytes, sha256, tensors: Object.fromEntries(summary) });
  }

  /**
   * Ends writing: files that the step wrote itself are flushed and hashed now.
   *
   * @throws {Error} when a file was announced with `path` but is not there
   */
  async finish(): Promise<Drafted> {
    this.close();
    const files: ManifestFile[] = [];
    for (const name of [...this.#files.keys()].sort()) {
      files.push(this.#files.get(name) ?? await this.#hash(name));
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
    if (file === MANIFEST || names.some((name) => !/^[A-Za-z0-9_][\w.-]*$/.test(name))) {
      throw new RangeError(
        `Cannot write file "${file}" of an artifact: names are letters, digits, dots, dashes and underscores, in folders ` +
          `joined by "/", and not ${MANIFEST}`,
      );
    }
    const path = join(this.folder, ...names);
    if (names.length > 1) Deno.mkdirSync(dirname(path), { recursive: true });
    return path;
  }

  async #hash(name: string): Promise<ManifestFile> {
    const path = join(this.folder, ...name.split("/"));
    try {
      using file = await Deno.open(path, { read: true, write: true });
      await file.sync();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new Error(`Cannot publish file "${name}": the step announced it and did not write it`, { cause: error });
    }
    return { name, ...await hashOf(path) };
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
    const { size } = Deno.statSync(path);
    if (size > MOST_MANIFEST_BYTES) throw new SyntaxError(`${MANIFEST} has ${size} bytes`);
    return parseManifest(Deno.readFileSync(path), key);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new CorruptArtifactError(key, "it is gone from the cache");
    if (error instanceof SyntaxError) throw new CorruptArtifactError(key, error.message);
    throw error;
  }
}

/**
 * A reader that checks each file against its hash before it hands it out, once per reader.
 *
 * @param report told of damage before it is thrown, so that it cannot be swallowed by the code that reads
 */
export function readArtifact(
  folder: string,
  manifest: Manifest,
  report: (error: CorruptArtifactError) => void = () => {},
): ArtifactReader {
  const checked = new Set<string>();
  const check = (wanted: ManifestFile, found: { bytes: number; sha256: string } | undefined): void => {
    const damage = compare(wanted, found);
    if (damage === undefined) return void checked.add(wanted.name);
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
  const pathOf = (file: string) => join(folder, ...file.split("/"));
  return {
    key: manifest.key,
    value: manifest.value,
    files: manifest.files.map(({ name }) => name),
    async read(file) {
      const wanted = find(file);
      if (!checked.has(file)) check(wanted, await hashOf(pathOf(file)).catch(absent));
      return (await readSafetensors(pathOf(file))).tensors;
    },
    path(file) {
      const wanted = find(file);
      if (!checked.has(file)) check(wanted, hashOfSync(pathOf(file)));
      return pathOf(file);
    },
  };
}

/**
 * Looks for damage in all files of an artifact.
 *
 * @returns what is wrong, or undefined
 */
export async function findDamage(folder: string, manifest: Manifest): Promise<string | undefined> {
  for (const file of manifest.files) {
    const damage = compare(file, await hashOf(join(folder, ...file.name.split("/"))).catch(absent));
    if (damage !== undefined) return damage;
  }
  return undefined;
}

function compare(wanted: ManifestFile, found: { bytes: number; sha256: string } | undefined): string | undefined {
  if (found === undefined) return `${wanted.name} is gone`;
  if (found.bytes !== wanted.bytes) return `${wanted.name} has ${found.bytes} bytes instead of ${wanted.bytes}`;
  if (found.sha256 !== wanted.sha256) {
    return `${wanted.name} has sha256 ${found.sha256} instead of ${wanted.sha256}`;
  }
  return undefined;
}

function absent(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
  return undefined;
}

async function hashOf(path: string): Promise<{ bytes: number; sha256: string }> {
  using file = await Deno.open(path, { read: true });
  const hash = createHash("sha256");
  const chunk = new Uint8Array(CHUNK);
  let bytes = 0;
  for (let read = await file.read(chunk); read !== null; read = await file.read(chunk)) {
    hash.update(chunk.subarray(0, read));
    bytes += read;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** As `hashOf`, for `path`, which the contract makes synchronous. */
function hashOfSync(path: string): { bytes: number; sha256: string } | undefined {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true });
  } catch (error) {
    return absent(error);
  }
  try {
    const hash = createHash("sha256");
    const chunk = new Uint8Array(CHUNK);
    let bytes = 0;
    for (let read = file.readSync(chunk); read !== null; read = file.readSync(chunk)) {
      hash.update(chunk.subarray(0, read));
      bytes += read;
    }
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    file.close();
  }
}
