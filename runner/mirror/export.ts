/**
 * Makes a mirror of what a cache holds: a folder of static files, to be put behind any web server. It can be made again and
 * again: what is there stays, what is new is added, and a reader sees the old index or the new one.
 */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { openFile } from "../../files/byte_source.ts";
import { InputError } from "../../files/input_error.ts";
import { parseHeader } from "../../files/safetensors.ts";
import { findPrivate } from "../../files/without_paths.ts";
import { CorruptArtifactError, isGone } from "../cache/artifact.ts";
import type { ArtifactCache } from "../cache/cache.ts";
import { writingTo } from "../cache/no_space.ts";
import { filesBytes, type Manifest } from "../cache/manifest.ts";
import type { ArtifactReader, Json } from "../stage.ts";
import {
  contentPath,
  INDEX,
  type IndexedStep,
  MOST_INDEX_BYTES,
  MOST_STEP_BYTES,
  parseIndex,
  parseStep,
  renderIndex,
  renderStep,
  stepPath,
} from "./layout.ts";

/** What is exported. */
export interface ExportOptions {
  /** Steps of these stages alone. */
  readonly stages?: readonly string[];
  /** Steps with these keys alone. */
  readonly steps?: ReadonlySet<string>;
  /** Bytes of outputs that the mirror may hold, counting what it holds; what costs most seconds per byte goes in first. */
  readonly limit?: number;
  /** Names of people and machines that nothing exported may tell. */
  readonly names?: readonly string[];
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** What was exported. */
export interface Exported {
  /** Steps in the mirror. */
  readonly steps: number;
  /** Of these, new or with new outputs. */
  readonly added: number;
  /** Bytes of all its outputs. */
  readonly bytes: number;
  /** Hex sha256 of the index, by which a reader can say that it means this very mirror. */
  readonly sha256: string;
  /** Steps that were left out, and why. */
  readonly left: readonly { readonly step: string; readonly why: string }[];
}

/** Files of a model that say in plain words where it came from; they are small. */
const TELLING = /(^|[._/])config\.json$/;

/**
 * Exports what a cache keeps (not what is only handed on) into a folder.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCache } from "../cache/cache.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const cache = await openCache(`${folder}/cache`);
 * const { steps, sha256 } = await exportMirror(cache, `${folder}/mirror`);
 * assert.deepEqual([steps, sha256.length], [0, 64]);
 * assert.equal(await Deno.readTextFile(`${folder}/mirror/index.json`), '{"format":1,"steps":{}}\n');
 * cache.close();
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param folder absolute; made where there is none
 * @throws {InputError} when the folder holds something else, or a damaged mirror
 * @throws {Error} when it cannot be written
 */
export async function exportMirror(
  cache: ArtifactCache,
  folder: string,
  { stages, steps: chosen, limit = Infinity, names = [], signal, onProgress = () => {} }: ExportOptions = {},
): Promise<Exported> {
  writingTo(folder, () => Deno.mkdirSync(folder, { recursive: true }));
  checkFolder(folder);
  // One export after another: each adds to the index that it has read.
  using lock = await Deno.open(join(folder, ".lock"), { write: true, create: true });
  await lock.lock(true);
  const index = new Map(readIndex(folder));
  const wanted = Map.groupBy(
    cache.list().filter(({ retain, stage, stepKey }) =>
      retain === "keep" && (stages?.includes(stage) ?? true) && (chosen?.has(stepKey) ?? true)
    ),
    ({ stepKey }) => stepKey,
  );
  const price = (stepKey: string) => {
    const outputs = wanted.get(stepKey) ?? [];
    return outputs[0].seconds / Math.max(1, outputs.reduce((sum, { bytes }) => sum + bytes, 0));
  };
  const left: { step: string; why: string }[] = [];
  let added = 0, done = 0, total = sumOf(index.values());
  for (const stepKey of [...wanted.keys()].sort((a, b) => price(b) - price(a) || (a < b ? -1 : 1))) {
    signal?.throwIfAborted();
    onProgress(done++, wanted.size);
    const outputs = wanted.get(stepKey) ?? [], before = index.get(stepKey);
    const missing = outputs.filter(({ output }) => !Object.hasOwn(before?.outputs ?? {}, output));
    if (missing.length === 0) continue;
    const [{ step }] = outputs, more = missing.reduce((sum, { bytes }) => sum + bytes, 0);
    if (total + more > limit) {
      left.push({ step, why: "there is no room for it" });
      continue;
    }
    const present = before === undefined ? [] : readStep(folder, stepKey);
    const made = await exportOutputs(cache, folder, { keys: missing.map(({ key }) => key), names });
    if ("why" in made) {
      left.push({ step, why: made.why });
      continue;
    }
    const text = renderStep([...present, ...made.manifests]);
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > MOST_STEP_BYTES) {
      left.push({ step, why: `its manifests have ${bytes.length} bytes` });
      continue;
    }
    replaceFile(folder, stepPath(stepKey), bytes);
    const sizes = [...present, ...made.manifests].map((manifest) => [manifest.output, filesBytes(manifest)] as const);
    index.set(stepKey, { bytes: bytes.length, sha256: hashOf(bytes), outputs: Object.fromEntries(sizes) });
    total += more;
    added++;
  }
  onProgress(wanted.size, wanted.size);
  const bytes = new TextEncoder().encode(renderIndex(index));
  if (bytes.length > MOST_INDEX_BYTES) {
    throw new InputError(
      `Cannot export to ${folder} as its index would have ${bytes.length} bytes: use --limit or --stage`,
    );
  }
  replaceFile(folder, INDEX, bytes);
  return { steps: index.size, added, bytes: sumOf(index.values()), sha256: hashOf(bytes), left };
}

/** Puts the files of outputs into the mirror. @returns their manifests, or why there are none */
async function exportOutputs(
  cache: ArtifactCache,
  folder: string,
  { keys, names }: { readonly keys: readonly string[]; readonly names: readonly string[] },
): Promise<{ readonly manifests: readonly Manifest[] } | { readonly why: string }> {
  const manifests: Manifest[] = [];
  try {
    for (const key of keys) {
      const { origin: _origin, ...manifest } = cache.manifest(key);
      const artifact = cache.read(key);
      const told = findPrivate(manifest as unknown as Json, names) ?? await findToldByFiles(artifact, names);
      if (told !== undefined) return { why: `it tells of this machine, at ${told}` };
      manifests.push(manifest);
    }
    for (const manifest of manifests) {
      const artifact = cache.read(manifest.key);
      for (const { name, sha256, bytes } of manifest.files) {
        addFile(folder, { path: contentPath(sha256), bytes, from: await artifact.path(name) });
      }
    }
  } catch (error) {
    if (error instanceof CorruptArtifactError) return { why: `it is damaged: ${error.detail}` };
    throw error;
  }
  return { manifests };
}

/** Where an artifact's own files tell of a machine: in what safetensors files say of themselves, and in configs. */
async function findToldByFiles(artifact: ArtifactReader, names: readonly string[]): Promise<string | undefined> {
  for (const name of artifact.files) {
    const safetensors = name.endsWith(".safetensors");
    if (!safetensors && !TELLING.test(name)) continue;
    const path = await artifact.path(name);
    let said: Json;
    if (safetensors) {
      const file = await openFile(path);
      try {
        said = (await parseHeader(file)).metadata;
      } finally {
        file.close();
      }
    } else {
      try {
        said = JSON.parse(Deno.readTextFileSync(path));
      } catch {
        continue;
      }
    }
    const found = findPrivate(said, names);
    if (found !== undefined) return `${found} of ${name}`;
  }
  return undefined;
}

/** Links a file into the mirror, or copies it to another disk. Content of that hash and size is there once. */
function addFile(
  folder: string,
  { path, bytes, from }: { readonly path: string; readonly bytes: number; readonly from: string },
): void {
  const target = join(folder, ...path.split("/"));
  writingTo(folder, () => {
    if (sizeOf(target) === bytes) return;
    Deno.mkdirSync(dirname(target), { recursive: true });
    const part = join(dirname(target), `.${basename(target)}.${crypto.randomUUID()}`);
    try {
      try {
        Deno.linkSync(from, part);
      } catch {
        Deno.copyFileSync(from, part);
      }
      Deno.renameSync(part, target);
    } finally {
      removeIfPresent(part);
    }
  });
}

function replaceFile(folder: string, path: string, bytes: Uint8Array): void {
  const target = join(folder, ...path.split("/"));
  writingTo(folder, () => {
    Deno.mkdirSync(dirname(target), { recursive: true });
    const part = join(dirname(target), `.${basename(target)}.${crypto.randomUUID()}`);
    try {
      Deno.writeFileSync(part, bytes);
      Deno.renameSync(part, target);
    } finally {
      removeIfPresent(part);
    }
  });
}

/** @throws {InputError} when the folder holds something, and no mirror */
function checkFolder(folder: string): void {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  if (names.includes(INDEX) || names.every((name) => ["content", "steps", ".lock"].includes(name))) return;
  throw new InputError(`Cannot export to ${folder} as it holds other files, and no ${INDEX}: choose an empty folder`);
}

function readIndex(folder: string): ReadonlyMap<string, IndexedStep> {
  const path = join(folder, INDEX);
  return readParsed(path, parseIndex) ?? new Map();
}

function readStep(folder: string, stepKey: string): readonly Manifest[] {
  const path = join(folder, ...stepPath(stepKey).split("/"));
  return [...readParsed(path, (text) => parseStep(text, stepKey))?.values() ?? []];
}

/** @returns undefined where there is no such file @throws {InputError} when it is damaged */
function readParsed<T>(path: string, parse: (text: string) => T): T | undefined {
  try {
    if ((sizeOf(path) ?? 0) > MOST_INDEX_BYTES) throw new SyntaxError("it is too large");
    return parse(Deno.readTextFileSync(path));
  } catch (cause) {
    if (isGone(cause)) return undefined;
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new InputError(
      `Cannot export as ${path} is damaged: ${cause.message}; remove the mirror's folder and export again`,
      { cause },
    );
  }
}

function sumOf(steps: Iterable<IndexedStep>): number {
  return [...steps].flatMap(({ outputs }) => Object.values(outputs)).reduce((sum, bytes) => sum + bytes, 0);
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function sizeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function removeIfPresent(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}
