/**
 * The cache: which artifacts there are, who makes them, who needs them, and which go when it grows too large. Several
 * processes may use one cache at once.
 *
 * Not what an artifact holds (`artifact.ts`), how it lies on the disk (`artifact_store.ts`), nor when it is needed (`plan.ts`).
 */
import { join } from "node:path";
import type { FileHashes } from "../../files/file_hashes.ts";
import type { Content, HashContent } from "../../files/hash_content.ts";
import { CorruptArtifactError, type Draft, readArtifact, type ReadOptions } from "./artifact.ts";
import { ArtifactStore, treeBytes } from "./artifact_store.ts";
import { type ArtifactInfo, CacheIndex, type StepRecord } from "./cache_index.ts";
import { CheckedFiles, type Patience, settle } from "./checked_files.ts";
import { beginLife, isAlive, type Life, sweepLives } from "./liveness.ts";
import { chooseEvicted, type Collected } from "./eviction.ts";
import { filesBytes, type Manifest, sameContent } from "./manifest.ts";
import { asNoSpace } from "./no_space.ts";
import { finishDrafts, type Publication, type Published } from "./publication.ts";
import { asFolderError } from "../run_errors.ts";
import type { ArtifactReader } from "../stage.ts";
import { type Usage, usageRows } from "./usage.ts";

/** How a cache is opened. */
export interface CacheOptions {
  /** Bytes that artifacts may take; what is cheapest to make again per byte goes first. */
  readonly size?: number;
  /** How artifacts are hashed; default: `hashContent`. */
  readonly hash?: HashContent;
}

/** One damaged artifact. */
export interface Damage {
  readonly key: string;
  readonly step: string;
  readonly detail: string;
}

/** Size of a cache unless another is asked for: 50 GiB. */
export const DEFAULT_CACHE_SIZE = 50 * 2 ** 30;

/**
 * Opens a cache, making its folder where there is none, and sweeps what dead processes left.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCache } from "./cache.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const cache = await openCache(folder, { size: 2 ** 20 });
 * assert.equal(cache.limit, 2 ** 20);
 * assert.equal(cache.has("0".repeat(64)), false);
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param folder absolute path
 * @throws {NoSpaceError} when the disk is full
 * @throws {FolderError} when the folder cannot be made or written to
 */
export async function openCache(
  folder: string,
  { size = DEFAULT_CACHE_SIZE, hash }: CacheOptions = {},
): Promise<ArtifactCache> {
  try {
    return await Promise.resolve(new ArtifactCache(folder, { size, hash }));
  } catch (error) {
    throw asNoSpace(error, folder, 0) ?? asFolderError(error, folder, "--cache") ?? error;
  }
}

/**
 * An opened cache. Use `openCache`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { type ArtifactCache, openCache } from "./cache.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const cache: ArtifactCache = await openCache(folder);
 * const { bytes, rows } = cache.usage();
 * assert.deepEqual([bytes, rows], [0, []]);
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export class ArtifactCache {
  readonly folder: string;
  /** Bytes that artifacts may take. */
  readonly limit: number;
  readonly #store: ArtifactStore;
  readonly #index: CacheIndex;
  readonly #life: Life;
  readonly #held = new Set<string>();
  readonly #checked: CheckedFiles;

  constructor(folder: string, { size, hash }: CacheOptions & { readonly size: number }) {
    this.folder = folder;
    this.limit = size;
    this.#checked = new CheckedFiles(hash);
    Deno.mkdirSync(join(folder, "live"), { recursive: true });
    this.#life = beginLife(join(folder, "live"));
    try {
      this.#store = new ArtifactStore(folder, this.#life.id);
      this.#index = new CacheIndex(join(folder, "index.sqlite"), (index) => this.#rebuild(index));
    } catch (error) {
      this.#life.end();
      throw error;
    }
    this.#sweep();
  }

  /** The memo of file hashes, for opening checkpoints. */
  get fileHashes(): FileHashes {
    return this.#index.fileHashes;
  }

  /** Ends this process's claims. Artifacts stay. */
  close(): void {
    try {
      this.#store.emptyTrash();
      this.#index.dropOwner(this.#life.id);
    } finally {
      this.#index.close();
      this.#life.end();
    }
  }

  /** Whether there is an artifact; its bytes are checked when they are read. */
  has(key: string): boolean {
    return this.#store.has(key);
  }

  /** @throws {CorruptArtifactError} when it is gone or damaged */
  manifest(key: string): Manifest {
    return this.#store.manifest(key);
  }

  /**
   * Opens an artifact. Its manifest is checked now, each file when it is read: hashed once, and again when it has
   * changed since or after `distrust`.
   *
   * @throws {CorruptArtifactError} when it is gone or damaged
   */
  read(key: string, options: ReadOptions = {}): ArtifactReader {
    try {
      const manifest = this.manifest(key);
      if (!this.#index.has(key)) this.#index.add(manifest, { used: Date.now() });
      else this.#index.touch(key, Date.now());
      return readArtifact(this.#store.place(key), manifest, { ...options, checked: this.#checked });
    } catch (error) {
      if (error instanceof CorruptArtifactError) options.report?.(error);
      throw error;
    }
  }

  /** Trusts no file that was checked so far: each run hashes for itself. */
  distrust(): void {
    this.#checked.clear();
  }

  /**
   * Looks for artifacts that were changed behind the cache's back. Files whose size, time and inode are as they were when
   * they were last checked are not read again.
   *
   * @param options `unknown`: whether to hash those of which no earlier state is known, as after the index was lost
   * @returns what is wrong, by key; keys that are not in the cache are passed over
   * @throws the signal's reason when it is aborted
   */
  async findDamaged(
    keys: Iterable<string>,
    { unknown = true, ...patience }: { readonly unknown?: boolean } & Patience = {},
  ): Promise<Map<string, string>> {
    const damaged = new Map<string, string>();
    for (const key of keys) {
      if (!this.#store.has(key)) continue;
      const print = this.#index.print(key);
      if (print === "" ? !unknown : this.#store.isUnchanged(key, print)) continue;
      const detail = await this.#check(key, { content: (path) => this.#checked.content(path, patience) });
      if (detail !== undefined) damaged.set(key, detail);
    }
    return damaged;
  }

  /**
   * A folder to write an artifact in; ends with `publish` or `abandon`.
   *
   * @param options `flush`: whether files are on the disk for good when they are written; see `Draft`
   */
  draft(options: { readonly flush?: boolean } = {}): Draft {
    return this.#store.draft({ ...options, checked: this.#checked });
  }

  /** Gives a draft up. */
  abandon(draft: Draft): void {
    this.#store.abandon(draft);
  }

  /**
   * Publishes the outputs of a step. An artifact that is there already stays, unless it is damaged or to be replaced.
   *
   * @throws {Error} when files are missing or cannot be written
   * @throws the signal's reason when it is aborted before anything was published
   */
  async publish(publication: Publication, patience: Patience = {}): Promise<Published> {
    const ready = await finishDrafts(publication, patience);
    for (const { manifest, draft } of ready) this.#store.seal(draft, manifest);
    await settle(ready.flatMap(({ draft }) => [...draft.states.values()]));
    const different: string[] = [];
    for (const { manifest, draft } of ready) {
      const there = this.#store.sound(manifest.key);
      const differs = there !== undefined && !sameContent(there, manifest);
      if (differs) different.push(manifest.output);
      if (differs && publication.replace) this.discard(manifest.key);
      const installed = this.#store.install(draft, manifest);
      const print = installed === manifest ? this.#store.print(manifest) : this.#index.print(manifest.key);
      this.#index.add(installed, { used: Date.now(), print });
      if (installed === manifest) this.#note(manifest, draft);
    }
    this.#store.emptyTrash();
    return { bytes: ready.reduce((sum, { manifest }) => sum + filesBytes(manifest), 0), different };
  }

  /** Takes note of files that were hashed as they were written: the run that made them need not hash them again. */
  #note({ key, files }: Manifest, { states }: Draft): void {
    for (const { name, bytes, sha256 } of files) {
      const state = states.get(name);
      if (state !== undefined) this.#checked.written(this.#store.path(key, name), state, { bytes, sha256 });
    }
  }

  /** Removes an artifact, whoever needs it: it is damaged, or must be made again. */
  discard(key: string): void {
    this.#index.transaction(() => {
      this.#store.remove(key);
      this.#index.remove(key);
    });
    this.#store.emptyTrash();
  }

  /** Removes an artifact unless a run in progress needs it. @returns whether it was removed */
  drop(key: string): boolean {
    const dropped = this.#index.transaction(() => {
      if (this.#index.pinners(key).some((owner) => this.#isAlive(owner))) return false;
      this.#store.remove(key);
      this.#index.remove(key);
      return true;
    });
    this.#store.emptyTrash();
    return dropped;
  }

  /** Keeps artifacts (also ones that are still to be made) from eviction until `unpin` or the end of this process. */
  pin(run: string, keys: Iterable<string>): void {
    this.#index.pin(this.#life.id, run, keys);
  }

  /** @param keys all of the run's by default */
  unpin(run: string, keys?: Iterable<string>): void {
    this.#index.unpin(this.#life.id, run, keys);
  }

  /** Tries to become the one that makes a step's artifacts. @returns false while another does */
  tryLease(stepKey: string): boolean {
    if (this.#held.has(stepKey)) return false;
    return this.#index.transaction(() => {
      const owner = this.#index.leaseOwner(stepKey);
      if (owner !== undefined && owner !== this.#life.id && this.#isAlive(owner)) return false;
      this.#index.setLease(stepKey, this.#life.id);
      this.#held.add(stepKey);
      return true;
    });
  }

  release(stepKey: string): void {
    this.#held.delete(stepKey);
    this.#index.dropLease(stepKey, this.#life.id);
  }

  /** How a step of a model was made before, the newest first; across recipes and runs. */
  records(model: string, step: string): StepRecord[] {
    return this.#index.records(model, step);
  }

  recordsOfStage(stage: string): StepRecord[] {
    return this.#index.recordsOfStage(stage);
  }

  /** The step that made an output, whether or not that is still there. */
  producer(outputKey: string): StepRecord | undefined {
    const stepKey = this.#index.producer(outputKey);
    return stepKey === undefined ? undefined : this.#index.record(stepKey);
  }

  record(stepKey: string): StepRecord | undefined {
    return this.#index.record(stepKey);
  }

  /** All artifacts, by stage and step. */
  list(): ArtifactInfo[] {
    return this.#index.artifacts();
  }

  usage(): Usage {
    return {
      bytes: this.#index.bytes(),
      limit: this.limit,
      downloads: treeBytes(join(this.folder, "downloads")),
      rows: usageRows(this.list()),
    };
  }

  /**
   * Evicts until artifacts take at most `size` bytes: what costs the fewest seconds per byte to make again first, then
   * what was used longest ago; never what a run in progress needs.
   */
  collect({ size = this.limit, dryRun = false }: { size?: number; dryRun?: boolean } = {}): Collected {
    const result = this.#index.transaction(() => {
      const collected = chooseEvicted(this.list(), { size, pinned: this.#pinned() });
      for (const { key } of dryRun ? [] : collected.evicted) {
        this.#store.remove(key);
        this.#index.remove(key);
      }
      return collected;
    });
    if (!dryRun) this.#sweep();
    return result;
  }

  /** What runs in progress need. */
  #pinned(): Set<string> {
    const pins = this.#index.pins();
    const live = new Set([...new Set(pins.map(({ owner }) => owner))].filter((owner) => this.#isAlive(owner)));
    return new Set(pins.filter(({ owner }) => live.has(owner)).map(({ key }) => key));
  }

  /** Collects only when the limit is passed, which is cheap to know. */
  keepToLimit(): Collected | undefined {
    return this.#index.bytes() > this.limit ? this.collect() : undefined;
  }

  /**
   * Hashes everything again.
   *
   * @param fix removes what is damaged, so that the next run makes it anew
   */
  async verify(
    { fix = false, onProgress = () => {} }: { fix?: boolean; onProgress?: (done: number, total: number) => void } = {},
  ): Promise<{ readonly checked: number; readonly bytes: number; readonly damaged: readonly Damage[] }> {
    const keys = this.#store.keys();
    const known = new Map(this.list().map(({ key, step }) => [key, step]));
    const damaged: Damage[] = [];
    let bytes = 0;
    for (const [done, key] of keys.entries()) {
      onProgress(done, keys.length);
      const detail = await this.#check(key, {
        content: (path) => this.#checked.read(path),
        visit: (manifest) => bytes += filesBytes(manifest),
      });
      if (detail === undefined) continue;
      damaged.push({ key, step: known.get(key) ?? "unknown", detail });
      if (fix) this.discard(key);
    }
    onProgress(keys.length, keys.length);
    return { checked: keys.length, bytes, damaged };
  }

  /** Hashes an artifact and remembers that it is sound. @returns what is wrong, or undefined */
  async #check(
    key: string,
    { content, visit }: {
      readonly content: (path: string) => Promise<Content | undefined>;
      readonly visit?: (manifest: Manifest) => void;
    },
  ): Promise<string | undefined> {
    const result = await this.#store.check(key, content);
    if ("manifest" in result) {
      visit?.(result.manifest);
      if (this.#index.has(key)) this.#index.setPrint(key, result.print);
      else this.#index.add(result.manifest, { used: Date.now(), print: result.print });
      return undefined;
    }
    // What another process removed in the meantime is not damaged.
    return this.#store.remains(key) ? result.detail : undefined;
  }

  /** Fills an empty index from the manifests; damaged artifacts are found when they are read. */
  #rebuild(index: CacheIndex): void {
    for (const key of this.#store.keys()) {
      const manifest = this.#store.sound(key);
      if (manifest !== undefined) index.add(manifest, { used: manifest.created });
    }
  }

  /** Removes what processes that are gone left behind. */
  #sweep(): void {
    this.#store.emptyTrash();
    const alive = sweepLives(join(this.folder, "live"));
    const isThere = (owner: string) => alive.has(owner) || this.#isAlive(owner);
    for (const owner of this.#index.owners()) if (!isThere(owner)) this.#index.dropOwner(owner);
    this.#store.sweep(isThere);
  }

  #isAlive(owner: string): boolean {
    return owner === this.#life.id || isAlive(join(this.folder, "live"), owner);
  }
}
