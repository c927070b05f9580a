/** What a repository of the hub holds at one commit. */
import { datasetInfo, listFiles, modelInfo } from "@huggingface/hub";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { whatIsIt } from "../files/what_is_it.ts";
import { endpointOf, type HubAccess, request, unreachable, UnreachableError } from "./access.ts";

/** One file of a repository. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  /** Of the content; undefined for small files that git itself stores. */
  readonly sha256?: string;
  /** Git's hash of the blob (of the pointer, for files with `sha256`). */
  readonly oid: string;
}

/** A repository at one commit. */
export interface HubRepo {
  readonly kind: "model" | "dataset";
  /** owner/name. */
  readonly id: string;
  readonly commit: string;
  readonly files: ReadonlyMap<string, HubFile>;
}

const Listing = z.object({
  commit: z.string().regex(/^[0-9a-f]{40}$/),
  files: z.array(z.object({
    path: z.string().min(1),
    size: z.int().min(0),
    sha256: z.string().regex(/^[0-9a-f]{64}$/).optional(),
    oid: z.string().regex(/^[0-9a-f]{40}$/),
  })),
});

/**
 * Resolves a model's revision to a commit and lists its files. A commit that was listed before needs no network; a
 * branch or tag does, and without one falls back, with a warning, to the commit it meant last.
 *
 * @param id owner/name
 * @param revision commit, tag or branch
 * @throws {InputError} when there is no such model or revision, no access, or no network
 */
export function resolveModel(id: string, revision: string, access: HubAccess): Promise<HubRepo> {
  return resolve("model", id, revision, access);
}

/**
 * As `resolveModel`, for a dataset.
 *
 * @param folder lists only what is in it; some datasets hold ten thousands of files elsewhere
 */
export function listDataset(id: string, revision: string, access: HubAccess, folder?: string): Promise<HubRepo> {
  return resolve("dataset", id, revision, access, folder);
}

/** Folder of a repository's downloads. */
export function repoFolder({ kind, id }: Pick<HubRepo, "kind" | "id">, access: HubAccess): string {
  return join(access.cache, "downloads", `${kind}s`, ...id.split("/"));
}

/**
 * One file of a repository.
 *
 * @throws {InputError} when there is none of that path
 */
export function fileOf(repo: HubRepo, path: string): HubFile {
  const file = repo.files.get(path);
  if (file === undefined) throw new InputError(`Cannot read ${path} of ${describe(repo)}: there is no such file`);
  return file;
}

/** A repository for messages. */
export function describe({ kind, id, commit }: HubRepo): string {
  return `${kind} ${id} at ${commit.slice(0, 8)}`;
}

async function resolve(
  kind: HubRepo["kind"],
  id: string,
  revision: string,
  access: HubAccess,
  within?: string,
): Promise<HubRepo> {
  const folder = repoFolder({ kind, id }, access);
  const suffix = within === undefined ? ".json" : `.${encodeURIComponent(within)}.json`;
  if (/^[0-9a-f]{40}$/.test(revision)) {
    const known = await remembered(join(folder, `${revision}${suffix}`));
    if (known !== undefined) return { kind, id, ...known };
  }
  const reference = join(folder, "refs", `${encodeURIComponent(revision)}${suffix}`);
  try {
    const listing = await ask(kind, id, revision, access, within);
    await remember(join(folder, `${listing.commit}${suffix}`), listing);
    await remember(reference, listing);
    return { kind, id, ...indexed(listing) };
  } catch (error) {
    const last = error instanceof UnreachableError ? await remembered(reference) : undefined;
    if (last === undefined) throw error;
    access.warn?.(
      `${error instanceof Error ? error.message : error}; using commit ${last.commit} as known from before`,
    );
    return { kind, id, ...last };
  }
}

async function ask(
  kind: HubRepo["kind"],
  id: string,
  revision: string,
  access: HubAccess,
  path?: string,
): Promise<z.infer<typeof Listing>> {
  const what = `${kind} ${id} (revision ${revision})`;
  const hubFetch = async (url: string | URL | Request): Promise<Response> => {
    const { response, alive } = await request(access, String(url), what);
    const body = await response.text().catch((cause) => {
      throw unreachable(access, what, cause);
    }).finally(() => alive(true));
    const bytes = new TextEncoder().encode(body);
    const other = whatIsIt(bytes, bytes.length, "JSON");
    if (other === undefined) return new Response(body, { headers: response.headers });
    throw new InputError(`Cannot read ${what}: what ${hubUrl} answered is no listing: ${other}, or check HF_ENDPOINT`);
  };
  const hubUrl = endpointOf(access);
  try {
    const { sha: commit } = kind === "model"
      ? await modelInfo({ name: id, revision, hubUrl, fetch: hubFetch, additionalFields: ["sha"] })
      : await datasetInfo({ name: id, revision, hubUrl, fetch: hubFetch, additionalFields: ["sha"] });
    const repo = { type: kind, name: id } as const;
    const files = [];
    for await (const file of listFiles({ repo, revision: commit, path, recursive: true, hubUrl, fetch: hubFetch })) {
      if (file.type !== "file" || !isSafe(file.path)) continue;
      const { path, size, oid, lfs } = file;
      files.push(lfs === undefined ? { path, size, oid } : { path, size: lfs.size, oid, sha256: lfs.oid });
    }
    return Listing.parse({ commit, files });
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    access.signal?.throwIfAborted();
    throw new InputError(
      `Cannot read ${what}: the hub's answer is not as expected: ${whyUnexpected(cause)}; check HF_ENDPOINT`,
      { cause },
    );
  }
}

function whyUnexpected(cause: unknown): string {
  if (cause instanceof z.ZodError) return `${cause.issues[0].path.join(".")} of its listing is not what it should be`;
  if (cause instanceof SyntaxError) return "it is not JSON";
  return cause instanceof Error ? cause.message : String(cause);
}

/** Paths become paths on this disk: nothing that leads out of the repository's folder. */
function isSafe(path: string): boolean {
  return path.split("/").every((part) => part !== "" && part !== "." && part !== ".." && !/[\\:\0]/.test(part));
}

function indexed({ commit, files }: z.infer<typeof Listing>): Pick<HubRepo, "commit" | "files"> {
  return { commit, files: new Map(files.map((file) => [file.path, file])) };
}

async function remembered(path: string): Promise<Pick<HubRepo, "commit" | "files"> | undefined> {
  try {
    return indexed(Listing.parse(JSON.parse(await readFile(path, "utf8"))));
  } catch {
    // Absent or damaged: the hub is asked again.
    return undefined;
  }
}

async function remember(path: string, listing: z.infer<typeof Listing>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${crypto.randomUUID()}`;
  await writeFile(temporary, JSON.stringify(listing));
  await rename(temporary, path);
}
