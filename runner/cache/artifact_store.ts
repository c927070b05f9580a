/**
 * Artifacts on the disk: `artifacts/ab/<key>/`, each made under `tmp/` and renamed, so that it is there in full or not at
 * all. Who may make or remove one, and when, is the cache's business (`cache.ts`).
 */
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { stateOf } from "../../files/file_state.ts";
import type { Content } from "../../files/hash_content.ts";
import { CorruptArtifactError, Draft, findDamage, isGone, openManifest } from "./artifact.ts";
import type { CheckedFiles } from "./checked_files.ts";
import { MANIFEST, type Manifest, renderManifest } from "./manifest.ts";
import { writingTo } from "./no_space.ts";

/** The folders of one cache, as one process uses them. */
export class ArtifactStore {
  readonly #folder: string;
  readonly #owner: string;
  readonly #trash: string[] = [];
  #scratches = 0;

  /** @param owner names what this process has under `tmp/` */
  constructor(folder: string, owner: string) {
    this.#folder = folder;
    this.#owner = owner;
    for (const part of ["artifacts", "tmp"]) Deno.mkdirSync(join(folder, part), { recursive: true });
  }

  /** Folder of an artifact, whether it is there or not. @throws {RangeError} for what is no key */
  place(key: string): string {
    if (!isKey(key)) throw new RangeError(`Cannot find an artifact by "${key}": keys are 64 hexadecimal digits`);
    return join(this.#folder, "artifacts", key.slice(0, 2), key);
  }

  /** Where one file of an artifact lies. */
  path(key: string, file: string): string {
    return join(this.place(key), ...file.split("/"));
  }

  has(key: string): boolean {
    return exists(join(this.place(key), MANIFEST));
  }

  /** Whether anything at all is left of an artifact. */
  remains(key: string): boolean {
    return exists(this.place(key));
  }

  /** @throws {CorruptArtifactError} when it is gone or damaged */
  manifest(key: string): Manifest {
    return openManifest(this.place(key), key);
  }

  /** As `manifest`, or undefined when it is gone or damaged. */
  sound(key: string): Manifest | undefined {
    try {
      return this.manifest(key);
    } catch (error) {
      if (error instanceof CorruptArtifactError) return undefined;
      throw error;
    }
  }

  /** All keys, sorted. */
  keys(): string[] {
    const keys: string[] = [];
    for (const { name: prefix, isDirectory } of [...Deno.readDirSync(join(this.#folder, "artifacts"))]) {
      if (!isDirectory || !/^[0-9a-f]{2}$/.test(prefix)) continue;
      for (const { name } of Deno.readDirSync(join(this.#folder, "artifacts", prefix))) {
        if (isKey(name) && name.startsWith(prefix)) keys.push(name);
      }
    }
    return keys.sort();
  }

  /**
   * Hashes all files of an artifact.
   *
   * @param content what a file holds, undefined when it is gone
   * @returns the manifest and the files' state if they are sound, else what is wrong
   */
  async check(
    key: string,
    content: (path: string) => Promise<Content | undefined>,
  ): Promise<{ readonly manifest: Manifest; readonly print: string } | { readonly detail: string }> {
    try {
      const manifest = this.manifest(key);
      const print = this.print(manifest);
      const detail = await findDamage(this.place(key), manifest, content);
      return detail === undefined ? { manifest, print } : { detail };
    } catch (error) {
      if (error instanceof CorruptArtifactError) return { detail: error.detail };
      throw error;
    }
  }

  /** The state of an artifact's files: sizes, times and inodes, by which a change can be told without reading. */
  print({ key, files }: Manifest): string {
    return this.#stat(key, [MANIFEST, ...files.map(({ name }) => name)]);
  }

  /** Whether an artifact's files are still in that state. */
  isUnchanged(key: string, print: string): boolean {
    const names = namesIn(print);
    return names !== undefined && this.#stat(key, names) === print;
  }

  /** A folder to write an artifact in; see `Draft` for the options. */
  draft(options: { readonly flush?: boolean; readonly checked: CheckedFiles }): Draft {
    const folder = this.#scratch();
    writingTo(this.#folder, () => Deno.mkdirSync(folder));
    return new Draft(folder, options);
  }

  /** Gives a draft up. */
  abandon(draft: Draft): void {
    draft.close();
    removeTree(draft.folder);
  }

  /** Completes a draft with its manifest, on the disk for good. */
  seal(draft: Draft, manifest: Manifest): void {
    const bytes = new TextEncoder().encode(renderManifest(manifest));
    writingTo(this.#folder, () => {
      using file = Deno.openSync(join(draft.folder, MANIFEST), { write: true, createNew: true });
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
      file.syncSync();
      syncFolder(draft.folder);
    });
  }

  /** Puts a sealed draft in its place, unless a sound artifact is there. @returns the manifest of what is there now */
  install(draft: Draft, manifest: Manifest): Manifest {
    return writingTo(this.#folder, () => this.#install(draft, manifest));
  }

  #install(draft: Draft, manifest: Manifest): Manifest {
    const place = this.place(manifest.key);
    const parent = join(place, "..");
    // Only folders belong there.
    if (exists(parent) && !Deno.lstatSync(parent).isDirectory) Deno.removeSync(parent);
    Deno.mkdirSync(parent, { recursive: true });
    for (let attempt = 1;; attempt++) {
      const there = this.sound(manifest.key);
      if (there !== undefined) {
        this.abandon(draft);
        return there;
      }
      this.remove(manifest.key);
      try {
        Deno.renameSync(draft.folder, place);
        syncFolder(parent);
        return manifest;
      } catch (error) {
        // Another process may have put the same artifact there in the meantime.
        if (attempt === 3 || !exists(place)) throw error;
      }
    }
  }

  /** Moves an artifact out of sight at once; its bytes are freed by `emptyTrash`. */
  remove(key: string): void {
    const scratch = this.#scratch();
    try {
      writingTo(this.#folder, () => Deno.renameSync(this.place(key), scratch));
      this.#trash.push(scratch);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  emptyTrash(): void {
    for (let path = this.#trash.pop(); path !== undefined; path = this.#trash.pop()) removeTree(path);
  }

  /** Removes what other processes left under `tmp/`, if they are gone. */
  sweep(isAlive: (owner: string) => boolean): void {
    for (const { name } of [...Deno.readDirSync(join(this.#folder, "tmp"))]) {
      if (!isAlive(name.split(".", 1)[0])) removeTree(join(this.#folder, "tmp", name));
    }
  }

  #stat(key: string, names: readonly string[]): string {
    return JSON.stringify(names.map((name) => {
      const found = stateOf(this.path(key, name));
      return [name, ...(found === undefined ? [] : [found.print])];
    }));
  }

  #scratch(): string {
    return join(this.#folder, "tmp", `${this.#owner}.${this.#scratches++}`);
  }
}

/** Bytes of all files under a folder; 0 when there is none, or of what goes meanwhile. */
export function treeBytes(path: string): number {
  let bytes = 0;
  try {
    for (const entry of Deno.readDirSync(path)) {
      const inside = join(path, entry.name);
      bytes += entry.isDirectory ? treeBytes(inside) : lstatSync(inside, { throwIfNoEntry: false })?.size ?? 0;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}

/** Makes a folder's entries durable, where the system can: Windows cannot, and does so by itself. */
function syncFolder(path: string): void {
  if (Deno.build.os === "windows") return;
  using folder = Deno.openSync(path, { read: true });
  folder.syncSync();
}

function removeTree(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (!isGone(error)) throw error;
    return false;
  }
}

/** Names of the files in a print; undefined for what is none. */
function namesIn(print: string): string[] | undefined {
  try {
    const entries: unknown = JSON.parse(print);
    if (!Array.isArray(entries)) return undefined;
    const names = entries.map((entry) => Array.isArray(entry) ? entry[0] : undefined);
    return names.every((name) => typeof name === "string") ? names : undefined;
  } catch {
    return undefined;
  }
}

function isKey(key: string): boolean {
  return /^[0-9a-f]{64}$/.test(key);
}
