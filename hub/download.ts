/** Files of the hub on this disk: resumable, verified, and safe when several processes want the same one. */
import { pause } from "../files/pause.ts";
import { createHash, type Hash } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { hashFile, inMemoryHashes, rememberHash } from "../files/file_hashes.ts";
import { formatBytes } from "../files/format_bytes.ts";
import { tellHashing } from "../files/hash_content.ts";
import { InputError } from "../files/input_error.ts";
import { type HubAccess, request, SilenceError, unreachable } from "./access.ts";
import { fileUrl } from "./remote_file.ts";
import { describe, fileOf, type HubFile, type HubRepo, listDataset, repoFolder } from "./repo.ts";

/** Downloads that bring nothing so many times in a row have failed. */
const ATTEMPTS = 4;
/** How often another process's download is looked at, in milliseconds. */
const POLL = 200;
const CHUNK = 1 << 20;

/**
 * Where a downloaded file lies, whether it is there or not.
 *
 * @returns absolute when the cache's path is
 */
export function downloadPath(repo: HubRepo, path: string, access: HubAccess): string {
  return join(repoFolder(repo, access), repo.commit, ...path.split("/"));
}

/**
 * Downloads a file, unless it is there already and intact. What an interrupted download left is continued; content that
 * does not match the hub's hash is fetched again.
 *
 * @returns path of the file
 * @throws {InputError} when the hub refuses or does not answer, or keeps sending other bytes than it promises
 * @throws {Error} with code ENOSPC when the disk is full
 */
export async function downloadFile(repo: HubRepo, path: string, access: HubAccess): Promise<string> {
  const file = fileOf(repo, path);
  const target = downloadPath(repo, path, access);
  if (await isIntact(target, file, access)) return target;
  await mkdir(dirname(target), { recursive: true });
  const part = await lockPart(target, file, access);
  if (part === undefined) return target;
  try {
    await checkSpace(target, file, (await part.stat()).size);
    await fill(part, repo, file, access).catch((cause) => {
      throw cause instanceof Error && "code" in cause && cause.code === "ENOSPC"
        ? full(target, file.size, cause)
        : cause;
    });
    await part.sync();
    await rename(`${target}.part`, target);
  } finally {
    part.close();
  }
  if (file.sha256 !== undefined && access.hashes !== undefined) await rememberHash(target, file.sha256, access.hashes);
  return target;
}

/**
 * Downloads one file of a dataset.
 *
 * @param id owner/name
 * @param revision commit, tag or branch
 * @returns path of the file
 * @throws {InputError} as `downloadFile` and `listDataset`
 */
export async function downloadDatasetFile(
  id: string,
  revision: string,
  path: string,
  access: HubAccess,
): Promise<string> {
  return await downloadFile(await listDataset(id, revision, access), path, access);
}

/** Whether a file is there and has the content that the hub promises. */
async function isIntact(target: string, file: HubFile, access: HubAccess): Promise<boolean> {
  const found = await stat(target).catch(() => undefined);
  if (found === undefined || found.size !== file.size) return false;
  if (file.sha256 !== undefined) {
    const { hashes = inMemoryHashes(), signal } = access;
    return await hashFile(target, hashes, { signal }) === file.sha256;
  }
  return hashOf(file).update(await readFile(target)).digest("hex") === file.oid;
}

/**
 * Opens the unfinished download and locks it, which the system undoes when this process ends, however it does.
 *
 * @returns undefined when another process finished the file meanwhile
 */
async function lockPart(target: string, file: HubFile, access: HubAccess): Promise<Deno.FsFile | undefined> {
  const path = `${target}.part`;
  for (let told = false;; told = true) {
    const part = await Deno.open(path, { read: true, write: true, create: true });
    if (await part.tryLock(true)) {
      if (await isIntact(target, file, access)) {
        part.close();
        await rm(path, { force: true });
        return undefined;
      }
      const [held, there] = [await part.stat(), await stat(path).catch(() => undefined)];
      if (there !== undefined && there.ino === held.ino) return part;
    } else if (!told) {
      access.progress?.(`${file.path}: another process downloads it, waiting`);
    }
    part.close();
    await pause(POLL, access.signal);
  }
}

async function fill(part: Deno.FsFile, repo: HubRepo, file: HubFile, access: HubAccess): Promise<void> {
  const what = `${file.path} of ${describe(repo)}`;
  const expected = file.sha256 ?? file.oid;
  for (let round = 0; round < 2; round++) {
    const hash = hashOf(file);
    let done = await hashExisting(part, file, { hash, access });
    if (done < file.size) done = await receive(part, repo, file, access, hash, done);
    if (hash.digest("hex") === expected) return;
    access.warn?.(`${what}: ${done} bytes came, but not the right ones; downloading it again`);
    await part.truncate(0);
  }
  throw new InputError(`Cannot download ${what}: its content does not have the hash ${expected} that the hub promises`);
}

/** Appends what is missing; goes on after broken connections as long as each brings something. */
async function receive(
  part: Deno.FsFile,
  repo: HubRepo,
  file: HubFile,
  access: HubAccess,
  hash: Hash,
  begin: number,
): Promise<number> {
  const what = `${file.path} of ${describe(repo)}`;
  let done = begin;
  for (let failed = 0; done < file.size;) {
    const before = done;
    const range: Record<string, string> = done === 0 ? {} : { range: `bytes=${done}-` };
    const { response, alive } = await request(access, fileUrl(repo, file.path, access), what, range);
    try {
      let known = response.status === 206 ? 0 : done;
      for await (const received of response.body ?? []) {
        alive();
        const chunk = received.subarray(Math.min(known, received.length));
        known -= received.length - chunk.length;
        if (done + chunk.length > file.size) {
          throw new InputError(`Cannot download ${what}: more than its ${file.size} bytes came`);
        }
        await writeAll(part, chunk);
        hash.update(chunk);
        done += chunk.length;
        report(access, file, done, chunk.length);
      }
      if (done < file.size) throw new TypeError(`only ${done} of ${file.size} bytes came`);
    } catch (cause) {
      access.signal?.throwIfAborted();
      if (!(cause instanceof TypeError) && !(cause instanceof SilenceError)) throw cause;
      failed = done > before ? 0 : failed + 1;
      if (failed === ATTEMPTS) throw unreachable(access, what, cause);
    } finally {
      alive(true);
    }
  }
  return done;
}

/** Feeds what is there already to the hash and leaves the file's cursor at its end. */
async function hashExisting(
  part: Deno.FsFile,
  { path, size }: HubFile,
  { hash, access: { signal, progress } }: { readonly hash: Hash; readonly access: HubAccess },
): Promise<number> {
  const onChunk = progress && tellHashing(basename(path), { total: size, tell: progress });
  if ((await part.stat()).size > size) await part.truncate(0);
  await part.seek(0, Deno.SeekMode.Start);
  const buffer = new Uint8Array(CHUNK);
  let done = 0;
  for (;;) {
    const count = await part.read(buffer);
    if (count === null) return done;
    signal?.throwIfAborted();
    hash.update(buffer.subarray(0, count));
    done += count;
    onChunk?.(done);
  }
}

async function writeAll(part: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await part.write(bytes.subarray(done));
}

/** Git's hash of a blob where git stores the file, else the sha256 of its content. */
function hashOf(file: HubFile): Hash {
  return file.sha256 === undefined ? createHash("sha1").update(`blob ${file.size}\0`) : createHash("sha256");
}

async function checkSpace(target: string, file: HubFile, present: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(target));
  const missing = file.size - present;
  if (bavail * bsize < missing) throw full(target, missing, undefined);
}

function full(target: string, bytes: number, cause: unknown): Error {
  const message = `Cannot write ${target}: the disk is full: ${bytes} bytes are needed; free some, or choose another ` +
    "folder with --cache";
  return Object.assign(new Error(message, { cause }), { code: "ENOSPC" });
}

/** One message per percent. */
function report({ progress }: HubAccess, { path, size }: HubFile, done: number, latest: number): void {
  const percent = Math.floor(100 * done / size);
  if (percent > Math.floor(100 * (done - latest) / size)) {
    progress?.(`${path}: ${percent} % of ${formatBytes(size)}`);
  }
}
