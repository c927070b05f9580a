/** A server on this machine that speaks the part of the hub's API that is used here, for tests. */
import { createHash } from "node:crypto";
import { answerWrite, isWrite, openStorage, type Storage } from "./fake_hub_writes_test_support.ts";

/** One repository of the fake hub. */
export interface FakeRepo {
  readonly kind: "model" | "dataset";
  /** owner/name. */
  readonly id: string;
  readonly files: Readonly<Record<string, Uint8Array | string>>;
  /** Only whoever sends `FAKE_TOKEN` gets its files; others see their names only. */
  readonly gated?: boolean;
  /** Branches or tags that mean its commit; default `main`. */
  readonly revisions?: readonly string[];
  /** What its card says of the licence. */
  readonly licence?: Readonly<Record<string, unknown>>;
  readonly private?: boolean;
}

/** A request as it came in. */
export interface SeenRequest {
  readonly method: string;
  /** Name and port. */
  readonly host: string;
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
}

/** What can be made to go wrong, for paths that end with the key's path. */
export interface Trouble {
  /** Cuts the connection after so many bytes of each answer. */
  dropAfter?: number;
  /** Flips the first byte of the answer, so many times. */
  corrupt?: number;
  /** Answers with this status, so many times. */
  fail?: { status: number; times: number; headers?: Readonly<Record<string, string>> };
  /** Ignores ranges. */
  wholeOnly?: boolean;
  /** Does what is asked, and breaks the answer, so many times; for what is written. */
  lost?: number;
}

/** A running fake hub. */
export interface FakeHub extends AsyncDisposable {
  /** For `HF_ENDPOINT` or the option `endpoint`. */
  readonly url: string;
  readonly requests: SeenRequest[];
  /** By path inside a repository; of what is written by `create`, `branch`, `preupload`, `batch`, `commit`, `xorbs`, `shards`, `put`. */
  readonly trouble: Map<string, Trouble>;
  /** How large files are taken. */
  readonly storage: Storage;
  /** Adds a repository. @returns its commit */
  addRepo(repo: FakeRepo): string;
}

/** The one token that opens gated repositories. */
export const FAKE_TOKEN = "hf_fake";

/** Entries per page of a listing: few, so that tests see more than one page. */
const PAGE = 3;

/** A token that may read alone. */
export const FAKE_READER = "hf_reader";

/** A file of a repository. */
export interface StoredFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly oid: string;
  /** Set for files that the hub keeps outside git. */
  readonly sha256: string | undefined;
}

/** A repository as the server has it. */
export interface StoredRepo extends Omit<FakeRepo, "files" | "revisions"> {
  /** Files by commit. */
  readonly commits: Map<string, ReadonlyMap<string, StoredFile>>;
  /** Commits by branch or tag. */
  readonly branches: Map<string, string>;
}

/** A repository at the commit that was asked for. */
type Repo = StoredRepo & { readonly commit: string; readonly blobs: ReadonlyMap<string, StoredFile> };

/**
 * Starts the server on a free port. Large files (and weights, tables and archives of any size) redirect to another
 * origin, as the hub's do.
 *
 * @example
 * ```ts ignore
 * await using hub = startFakeHub();
 * hub.addRepo({ kind: "dataset", id: "owner/name", files: { "data/test.parquet": bytes } });
 * await downloadDatasetFile("owner/name", "main", "data/test.parquet", { cache, endpoint: hub.url });
 * ```
 */
export function startFakeHub(): FakeHub {
  const repos = new Map<string, StoredRepo>();
  const requests: SeenRequest[] = [];
  const trouble = new Map<string, Trouble>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, (request) => {
    const { pathname, search } = new URL(request.url);
    requests.push({
      method: request.method,
      host: new URL(request.url).host,
      path: pathname + search,
      range: request.headers.get("range"),
      authorization: request.headers.get("authorization"),
    });
    return isWrite(request) ? answerWrite(request, { repos, trouble, storage }) : answer(request, repos, trouble);
  });
  const url = `http://127.0.0.1:${server.addr.port}`, storage = openStorage(server.addr.port);
  return {
    url,
    requests,
    trouble,
    storage,
    addRepo(repo) {
      const blobs = new Map(Object.entries(repo.files).map(([path, content]) => [path, toBlob(path, content)]));
      const commit = commitOf(blobs), key = `${repo.kind} ${repo.id}`;
      const commits = new Map([...repos.get(key)?.commits ?? [], [commit, blobs] as const]);
      const branches = new Map((repo.revisions ?? ["main"]).map((name) => [name, commit]));
      repos.set(key, { ...repo, commits, branches });
      return commit;
    },
    [Symbol.asyncDispose]: async () => {
      storage.close();
      await server.shutdown();
    },
  };
}

/** Name of a commit with these files. */
export function commitOf(blobs: ReadonlyMap<string, StoredFile>): string {
  return sha("sha1", JSON.stringify([...blobs].map(([path, { oid }]) => [path, oid])));
}

function answer(request: Request, repos: ReadonlyMap<string, StoredRepo>, troubles: Map<string, Trouble>): Response {
  const url = new URL(request.url);
  const api = /^\/api\/(model|dataset)s\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)(?:\/(.+))?$/.exec(url.pathname);
  const file = /^\/(datasets\/)?([^/]+\/[^/]+)\/(resolve|cdn)\/([^/]+)\/(.+)$/.exec(url.pathname);
  const [kind, id, action, revision] = api !== null
    ? [api[1], api[2], api[3], api[4]]
    : file !== null
    ? [file[1] === undefined ? "model" : "dataset", file[2], file[3], file[4]]
    : [];
  const found = repos.get(`${kind} ${id}`);
  const authorized = request.headers.get("authorization") === `Bearer ${FAKE_TOKEN}`;
  if (found === undefined || found.private && !authorized && action !== "cdn") {
    return refuse(authorized ? 404 : 401, "RepoNotFound");
  }
  if (action === "resolve" && found.gated && !authorized) return refuse(401, "GatedRepo");
  const named = decodeURIComponent(revision ?? ""),
    commit = found.branches.get(named === "HEAD" ? "main" : named) ?? named;
  const blobs = found.commits.get(commit);
  if (blobs === undefined) return refuse(404, "RevisionNotFound");
  const repo: Repo = { ...found, commit, blobs };
  if (action === "revision") {
    const { licence, private: hidden = false } = repo;
    return Response.json({ _id: "0", id, sha: commit, private: hidden, gated: false, cardData: licence });
  }
  if (action === "tree") return listing(repo, url, api?.[5]);

  const path = decodeURIComponent(file?.[5] ?? "");
  const blob = repo.blobs.get(path);
  if (blob === undefined) return refuse(404, "EntryNotFound");
  const trouble = troubles.get(path) ?? {};
  if (trouble.fail !== undefined && trouble.fail.times-- > 0) {
    return new Response("trouble", { status: trouble.fail.status, headers: trouble.fail.headers });
  }
  if (blob.sha256 !== undefined && action === "resolve") {
    const elsewhere = new URL(url.pathname.replace("/resolve/", "/cdn/"), `http://localhost:${url.port}`);
    return new Response(null, {
      status: 302,
      headers: {
        location: elsewhere.href,
        "x-repo-commit": repo.commit,
        "x-linked-size": String(blob.bytes.length),
        "x-linked-etag": `"${blob.sha256}"`,
      },
    });
  }
  return content(request, repo, blob, trouble);
}

function listing(repo: Repo, url: URL, folder?: string): Response {
  const within = [...repo.blobs].filter(([path]) => folder === undefined || path.startsWith(`${folder}/`));
  if (within.length === 0) return refuse(404, "EntryNotFound");
  const entries = within.map(([path, { bytes, oid, sha256 }]) => ({
    type: "file",
    path,
    oid,
    size: bytes.length,
    ...(sha256 === undefined ? {} : { lfs: { oid: sha256, size: bytes.length, pointerSize: 134 } }),
  }));
  const begin = Number(url.searchParams.get("cursor") ?? 0);
  const headers = new Headers();
  if (begin + PAGE < entries.length) {
    url.searchParams.set("cursor", String(begin + PAGE));
    headers.set("link", `<${url.href}>; rel="next"`);
  }
  return Response.json(entries.slice(begin, begin + PAGE), { headers });
}

function content(request: Request, repo: Repo, { bytes, oid, sha256 }: StoredFile, trouble: Trouble): Response {
  const size = bytes.length;
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "") ?? [];
  const ranged = first !== undefined && !trouble.wholeOnly;
  const begin = ranged ? Number(first) : 0;
  const end = ranged && last !== "" ? Math.min(Number(last) + 1, size) : size;
  const headers = new Headers({ etag: `"${sha256 ?? oid}"`, "x-repo-commit": repo.commit, "accept-ranges": "bytes" });
  if (ranged && begin >= size) {
    headers.set("content-range", `bytes */${size}`);
    return new Response(null, { status: 416, headers });
  }
  if (ranged) headers.set("content-range", `bytes ${begin}-${end - 1}/${size}`);
  headers.set("content-length", String(end - begin));
  const body = bytes.slice(begin, end);
  if (trouble.corrupt !== undefined && trouble.corrupt-- > 0) body[0] ^= 1;
  const status = ranged ? 206 : 200;
  if (request.method === "HEAD") return new Response(null, { status, headers });
  if (trouble.dropAfter === undefined || trouble.dropAfter >= body.length) {
    return new Response(body, { status, headers });
  }
  const part = body.subarray(0, trouble.dropAfter);
  const broken = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(part);
      // The part must have left before the connection breaks, which it does as fewer bytes come than were announced.
      await new Promise((resolve) => setTimeout(resolve, 20));
      controller.close();
    },
  });
  return new Response(broken, { status, headers });
}

/** A file as the hub keeps it: weights, tables and what is large outside git. */
export function toBlob(path: string, content: Uint8Array | string): StoredFile {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : new Uint8Array(content);
  const large = bytes.length > 100_000 || /\.(safetensors|gguf|parquet|gz|bin)$/.test(path);
  return {
    bytes,
    oid: createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"),
    sha256: large ? sha("sha256", bytes) : undefined,
  };
}

/** A hash in hex. */
export function sha(kind: "sha1" | "sha256", content: Uint8Array | string): string {
  return createHash(kind).update(content).digest("hex");
}

/** An answer that refuses, as the hub's do. */
export function refuse(status: number, code: string): Response {
  return Response.json({ error: code }, { status, headers: { "x-error-code": code, "x-error-message": code } });
}
