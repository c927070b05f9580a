/**
 * One mirror, of which nothing is believed unseen: the index is small and, where its hash was given, the one that was meant;
 * a step's file is the one that the index names and belongs to the key; a file has the bytes and the hash of its manifest.
 *
 * What cannot be checked so is the values themselves: their hashes come from the mirror. Whom to trust is the user's choice.
 */
import { identify } from "../../files/what_is_it.ts";
import type { Draft } from "../cache/artifact.ts";
import { filesBytes, type Manifest } from "../cache/manifest.ts";
import {
  contentPath,
  INDEX,
  type IndexedStep,
  type MirrorIndex,
  MOST_INDEX_BYTES,
  parseIndex,
  parseStep,
  stepPath,
} from "./layout.ts";
import { type Pace, receive } from "./receive.ts";
import { MirrorError, type MirrorSource } from "./source.ts";

/** How a mirror is used. */
export interface MirrorOptions extends Pace {
  /** Hex sha256 that its index must have. */
  readonly pin?: string;
}

/** How fetching can end, and who is told how far it is. */
export interface FetchOptions {
  readonly signal?: AbortSignal;
  /** Told of bytes as they come. */
  readonly onBytes?: (count: number) => void;
}

/** Letters of a file's name in its artifact; stages use a third of that. */
const LONGEST_NAME = 200;

/** One mirror. */
export class Mirror {
  readonly #source: MirrorSource;
  readonly #options: MirrorOptions;
  #index: MirrorIndex = new Map();

  constructor(source: MirrorSource, options: MirrorOptions = {}) {
    this.#source = source;
    this.#options = options;
  }

  /** For people and records. */
  get name(): string {
    return this.#source.name;
  }

  /** Reads the index. @throws {MirrorError} when there is none, or another than was meant */
  async open(signal?: AbortSignal): Promise<void> {
    const { bytes, sha256 } = await this.#read(INDEX, { most: MOST_INDEX_BYTES, exact: false, signal });
    const { pin } = this.#options;
    if (pin !== undefined && sha256 !== pin) {
      throw new MirrorError(`has another index than was asked for: its sha256 is ${sha256} instead of ${pin}`, {
        lie: true,
      });
    }
    this.#index = this.#parse(INDEX, bytes, parseIndex);
  }

  /** What it says it has of a step; undefined for nothing. */
  step(stepKey: string): IndexedStep | undefined {
    return this.#index.get(stepKey);
  }

  /** Fetches the manifests of a step's outputs. @throws {MirrorError} when they do not come, or are not what they should be */
  async manifests(stepKey: string, signal?: AbortSignal): Promise<Map<string, Manifest>> {
    const indexed = this.#index.get(stepKey);
    if (indexed === undefined) throw new MirrorError(`does not have step ${stepKey}`);
    const path = stepPath(stepKey);
    const { bytes, sha256 } = await this.#read(path, { most: indexed.bytes, exact: true, signal });
    if (sha256 !== indexed.sha256) throw wrongHash(path, sha256, indexed.sha256);
    const manifests = this.#parse(path, bytes, (text) => parseStep(text, stepKey));
    for (const [output, size] of Object.entries(indexed.outputs)) {
      const manifest = manifests.get(output);
      if (manifest !== undefined && filesBytes(manifest) === size) continue;
      throw new MirrorError(`says of output "${output}" in its index what ${path} does not say`, { lie: true });
    }
    return manifests;
  }

  /**
   * Fetches an artifact's files into a draft.
   *
   * @throws {MirrorError} when one does not come, or not as the manifest says
   * @throws {Error} when they cannot be written
   */
  async fill(draft: Draft, { files, value }: Manifest, { signal, onBytes = () => {} }: FetchOptions): Promise<void> {
    draft.value(value);
    checkNames(files.map(({ name }) => name));
    for (const file of files) {
      const path = contentPath(file.sha256);
      using target = await Deno.open(draft.path(file.name), { write: true, createNew: true });
      const sha256 = await receive(this.#source, {
        ...{ path, bytes: file.bytes, exact: true, signal },
        ...this.#options,
      }, async (chunk = new Uint8Array()) => {
        for (let done = 0; done < chunk.length;) done += await target.write(chunk.subarray(done));
        onBytes(chunk.length);
      });
      if (sha256 !== file.sha256) throw wrongHash(path, sha256, file.sha256);
    }
  }

  async #read(
    path: string,
    { most, exact, signal }: { readonly most: number; readonly exact: boolean; readonly signal?: AbortSignal },
  ): Promise<{ readonly bytes: Uint8Array; readonly sha256: string }> {
    let chunks: Uint8Array[] = [];
    const wanted = { path, bytes: most, exact, signal, ...this.#options };
    const sha256 = await receive(this.#source, wanted, (chunk) => {
      if (chunk === undefined) chunks = [];
      else chunks.push(chunk);
    });
    const bytes = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return { bytes, sha256 };
  }

  #parse<T>(path: string, bytes: Uint8Array, read: (text: string) => T): T {
    try {
      return read(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    } catch (cause) {
      const other = identify(bytes, bytes.length, "JSON");
      const why = other?.is ?? (cause instanceof SyntaxError ? cause.message : "it is not what it should be");
      throw new MirrorError(`has a ${path} that cannot be used: ${why}`, { lie: true, cause });
    }
  }
}

/** Names of an artifact's files are plain already; here: that one system or another cannot take one for another. */
function checkNames(names: readonly string[]): void {
  const taken = new Set<string>();
  for (const name of names) {
    const parts = name.toLowerCase().split("/");
    const folders = parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join("/"));
    const lower = parts.join("/");
    if (
      name.length > LONGEST_NAME || taken.has(`file ${lower}`) || taken.has(`folder ${lower}`) ||
      folders.some((folder) => taken.has(`file ${folder}`))
    ) {
      throw new MirrorError(`has files that cannot lie side by side, such as ${name}`, { lie: true });
    }
    taken.add(`file ${lower}`);
    for (const folder of folders) taken.add(`folder ${folder}`);
  }
}

function wrongHash(path: string, sha256: string, wanted: string): MirrorError {
  return new MirrorError(`has other bytes at ${path}: their sha256 is ${sha256} instead of ${wanted}`, { lie: true });
}
