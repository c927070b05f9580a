/** A server on this machine that speaks the part of the hub's API that is used here, for tests. */
import { createHash } from "node:crypto";

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
}

/** A request as it came in. */
export interface SeenRequest {
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
  fail?: { status: number; times: number };
  /** Ignores ranges. */
  wholeOnly?: boolean;
}

/** A running fake hub. */
export interface FakeHub extends AsyncDisposable {
  /** For `HF_ENDPOINT` or the option `endpoint`. */
  readonly url: string;
  readonly requests: SeenRequest[];
  /** By path inside a repository. */
  readonly trouble: Map<string, Trouble>;
  /** Adds a repository. @returns its commit */
  addRepo(repo: FakeRepo): string;
}

/** The one token that opens gated repositories. */
export const FAKE_TOKEN = "hf_fake";

/** Entries per page of a listing: few, so that tests see more than one page. */
const PAGE = 3;

interface Blob {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly oid: string;
  /** Set for files that the hub keeps outside git. */
  readonly sha256: string | undefined;
}

interface Repo extends FakeRepo {
  readonly commit: string;
  readonly blobs: ReadonlyMap<string, Blob>;
}

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
  const repos = new Map<string, Repo>();
  const requests: SeenRequest[] = [];
  const trouble = new Map<string, Trouble>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => undefined }, (request) => {
    const { pathname, search } = new URL(request.url);
    requests.push({
      path: pathname + search,
      range: request.headers.get("range"),
      authorization: request.headers.get("authorization"),
    });
    return answer(request, repos, trouble);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return {
    url,
    requests,
    trouble,
    addRepo(repo) {
      const blobs = new Map(Object.entries(repo.files).map(([path, content]) => [path, toBlob(path, content)]));
      const commit = sha("sha1", JSON.stringify([...blobs].map(([path, { oid }]) => [path, oid])));
      repos.set(`${repo.kind} ${repo.id}`, { ...repo, commit, blobs });
      return commit;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function answer(request: Request, repos: ReadonlyMap<string, Repo>, troubles: Map<string, Trouble>): Response {
  const url = new URL(request.url);
  const api = /^\/api\/(model|dataset)s\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)(?:\/(.+))?$/.exec(url.pathname);
  const file = /^\/(datasets\/)?([^/]+\/[^/]+)\/(resolve|cdn)\/([^/]+)\/(.+)$/.exec(url.pathname);
  const [kind, id, action, revision] = api !== null
    ? [api[1], api[2], api[3], api[4]]
    : file !== null
    ? [file[1] === undefined ? "model" : "dataset", file[2], file[3], file[4]]
    : [];
  const repo = repos.get(`${kind} ${id}`);
  const authorized = request.headers.get("authorization") === `Bearer ${FAKE_TOKEN}`;
  if (repo === undefined) return refuse(authorized ? 404 : 401, "RepoNotFound");
  if (action === "resolve" && repo.gated && !authorized) return refuse(401, "GatedRepo");
  if (revision !== repo.commit && !(repo.revisions ?? ["main"]).includes(decodeURIComponent(revision ?? ""))) {
    return refuse(404, "RevisionNotFound");
  }
  if (action === "revision") return Response.json({ _id: "0", id, sha: repo.commit, private: false, gated: false });
  if (action === "tree") return listing(repo, url, api?.[5]);

  const path = decodeURIComponent(file?.[5] ?? "");
  const blob = repo.blobs.get(path);
  if (blob === undefined) return refuse(404, "EntryNotFound");
  const trouble = troubles.get(path) ?? {};
  if (trouble.fail !== undefined && trouble.fail.times-- > 0) {
    return new Response("trouble", { status: trouble.fail.status });
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

function content(request: Request, repo: Repo, { bytes, oid, sha256 }: Blob, trouble: Trouble): Response {
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

function toBlob(path: string, content: Uint8Array | string): Blob {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : new Uint8Array(content);
  const large = bytes.length > 100_000 || /\.(safetensors|gguf|parquet|gz|bin)$/.test(path);
  return {
    bytes,
    oid: createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"),
    sha256: large ? sha("sha256", bytes) : undefined,
  };
}

function sha(kind: "sha1" | "sha256", content: Uint8Array | string): string {
  return createHash(kind).update(content).digest("hex");
}

function refuse(status: number, code: string): Response {
  return Response.json({ error: code }, { status, headers: { "x-error-code": code, "x-error-message": code } });
}
