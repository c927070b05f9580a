/** The part of the fake hub that is written to: repositories, uploads of three kinds, commits. Large files go to another host. */
import {
  FAKE_READER,
  FAKE_TOKEN,
  refuse,
  sha,
  type StoredRepo,
  toBlob,
  type Trouble,
} from "./fake_hub_test_support.ts";
import { commitOf } from "./fake_hub_test_support.ts";

/** Where large files are taken, behind a door that can be slammed. */
export interface Storage {
  /** How uploads are asked for; default `basic`. */
  transfer: "basic" | "multipart" | "xet";
  /** Breaks so many of the next connections in the middle of what is sent. */
  drops: number;
  /** Redirects so many of the next uploads to yet another address. */
  redirects: number;
  /** Large files by their sha256. */
  readonly objects: Map<string, Uint8Array>;
  /** Bytes of uploads that came whole. */
  received: number;
  readonly xorbs: Map<string, Uint8Array>;
  readonly parts: Map<string, Uint8Array[]>;
  readonly url: string;
  close(): void;
}

/** What the server has. */
export interface FakeState {
  readonly repos: Map<string, StoredRepo>;
  readonly trouble: Map<string, Trouble>;
  readonly storage: Storage;
}

const PART = 100_000;
/** The fake's own token of its storage. */
export const STORAGE_TOKEN = "storage-token";

/** Whether a request is none of those that read. */
export function isWrite({ method, url }: Request): boolean {
  return method !== "GET" && method !== "HEAD" || /\/(v1\/chunks|refresh)\//.test(new URL(url).pathname);
}

/** Opens the storage's door: connections go through to the server, or break. @param port the server's */
export function openStorage(port: number): Storage {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const storage: Storage = {
    ...{ transfer: "basic", drops: 0, redirects: 0, received: 0 },
    ...{ objects: new Map(), xorbs: new Map(), parts: new Map() },
    url: `http://localhost:${listener.addr.port}`,
    close: () => listener.close(),
  };
  (async () => {
    for await (const inner of listener) {
      if (storage.drops > 0) {
        storage.drops--;
        await inner.read(new Uint8Array(1000));
        inner.close();
        continue;
      }
      const outer = await Deno.connect({ port, hostname: "127.0.0.1" });
      inner.readable.pipeTo(outer.writable).catch(() => undefined);
      outer.readable.pipeTo(inner.writable).catch(() => undefined);
    }
  })().catch(() => undefined);
  return storage;
}

/** Answers what is written. */
export async function answerWrite(request: Request, state: FakeState): Promise<Response> {
  const { pathname } = new URL(request.url), body = new Uint8Array(await request.arrayBuffer());
  const action = /^\/api\/repos\/create$/.test(pathname)
    ? "create"
    : /\/(branch|preupload|batch|commit|xorbs|shards|put|part|complete|chunks|refresh)(\/|$)/.exec(pathname)?.[1] ?? "";
  const trouble = state.trouble.get(action) ?? {};
  if (trouble.fail !== undefined && trouble.fail.times-- > 0) {
    const { status, headers } = trouble.fail;
    return Response.json({ error: `trouble ${status}` }, { status, headers });
  }
  const answer = isStorage(action) ? store(action, request, body, state) : change(action, request, body, state);
  if (trouble.lost === undefined || trouble.lost-- <= 0) return answer;
  return new Response(new Blob(["{"]).stream(), { headers: { "content-length": "100" } });
}

function isStorage(action: string): boolean {
  return ["xorbs", "shards", "put", "part", "complete", "chunks"].includes(action);
}

/** What changes repositories; the hub's own address. */
function change(action: string, request: Request, body: Uint8Array, { repos, storage }: FakeState): Response {
  const authorization = request.headers.get("authorization"), { pathname } = new URL(request.url);
  if (authorization === `Bearer ${FAKE_READER}`) return refuse(403, "Forbidden");
  if (authorization !== `Bearer ${FAKE_TOKEN}`) return refuse(401, "Unauthorized");
  const text = new TextDecoder().decode(body);
  if (action === "refresh") return Response.json({ accessToken: STORAGE_TOKEN, casUrl: storage.url, exp: inAnHour() });
  if (action === "create") return create(JSON.parse(text), repos);
  const [, id] = /^\/(?:api\/models\/)?([^/]+\/[^/]+?)(?:\.git)?\//.exec(pathname) ?? [];
  const repo = repos.get(`model ${id}`), branch = decodeURIComponent(pathname.split("/").at(-1) ?? "");
  if (repo === undefined) return refuse(404, "RepoNotFound");
  if (action === "batch") return batch(JSON.parse(text), storage);
  if (action === "branch") {
    repo.branches.set(branch, repo.branches.get("main") ?? "");
    return Response.json({});
  }
  const parent = repo.branches.get(branch);
  if (parent === undefined) return refuse(404, "RevisionNotFound");
  if (action === "commit") return commit(text, { repo, branch, parent, id, storage });
  const { files }: { files: { path: string; size: number }[] } = JSON.parse(text);
  const modes = files.map(({ path, size }) => {
    const large = toBlob(path, new Uint8Array(Math.min(size, 200_000))).sha256 !== undefined;
    return { path, uploadMode: large ? "lfs" : "regular", shouldIgnore: false };
  });
  return Response.json({ files: modes });
}

function create(
  { name, organization, visibility }: { name: string; organization: string; visibility?: string },
  repos: Map<string, StoredRepo>,
): Response {
  const id = `${organization}/${name}`;
  if (repos.has(`model ${id}`)) return Response.json({ error: "You already created this model repo" }, { status: 409 });
  const blobs = new Map([[".gitattributes", toBlob(".gitattributes", "*.safetensors filter=lfs\n")]]);
  const first = commitOf(blobs);
  const place = { kind: "model", id, private: visibility === "private" } as const;
  repos.set(`model ${id}`, { ...place, commits: new Map([[first, blobs]]), branches: new Map([["main", first]]) });
  return Response.json({ url: `/${id}`, id });
}

function batch({ objects }: { objects: { oid: string; size: number }[] }, storage: Storage): Response {
  const { transfer, url } = storage;
  const upload = (oid: string, size: number) => {
    if (transfer === "basic") return { href: `${url}/put/${oid}` };
    if (transfer === "multipart") {
      const count = Math.ceil(size / PART),
        numbers = Array.from({ length: count }, (_, i) => `${i + 1}`.padStart(5, "0"));
      const parts = numbers.map((number) => [number, `${url}/part/${oid}/${Number(number)}`]);
      return { href: `${url}/complete/${oid}`, header: { chunk_size: `${PART}`, ...Object.fromEntries(parts) } };
    }
    return {
      href: `${url}/refresh/${oid}`,
      header: {
        ...{ "X-Xet-Cas-Url": url, "X-Xet-Access-Token": STORAGE_TOKEN, "X-Xet-Session-Id": "session" },
        "X-Xet-Token-Expiration": `${inAnHour()}`,
      },
    };
  };
  const answers = objects.map(({ oid, size }) =>
    storage.objects.has(oid) ? { oid, size } : { oid, size, actions: { upload: upload(oid, size) } }
  );
  return Response.json({ transfer, objects: answers });
}

function store(action: string, request: Request, body: Uint8Array, { storage }: FakeState): Response {
  const { pathname } = new URL(request.url), name = pathname.split("/").at(-1) ?? "";
  if (storage.redirects > 0 && action !== "chunks") {
    storage.redirects--;
    const { port } = new URL(storage.url);
    return new Response(null, { status: 307, headers: { location: `http://127.0.0.1:${port}${pathname}` } });
  }
  const keep = (oid: string, bytes: Uint8Array) => {
    if (sha("sha256", bytes) !== oid) return Response.json({ error: "the content has another hash" }, { status: 400 });
    storage.objects.set(oid, bytes);
    return new Response(null, { status: 200, headers: { etag: '"x"' } });
  };
  if (action === "chunks") return new Response(null, { status: 404 });
  storage.received += body.length;
  if (action === "put") return keep(name, body);
  if (action === "part") {
    const oid = pathname.split("/").at(-2) ?? "", parts = storage.parts.get(oid) ?? [];
    parts[Number(name) - 1] = body;
    storage.parts.set(oid, parts);
    return new Response(null, { status: 200, headers: { etag: `"${name}"` } });
  }
  if (action === "complete") return keep(name, joined(storage.parts.get(name) ?? []));
  if (action === "xorbs") {
    storage.xorbs.set(name, body);
    return Response.json({ was_inserted: true });
  }
  for (const [oid, bytes] of filesOf(body, storage.xorbs)) {
    const answer = keep(oid, bytes);
    if (!answer.ok) return answer;
  }
  return Response.json({ result: 1 });
}

interface CommitPlace {
  readonly repo: StoredRepo;
  readonly branch: string;
  readonly parent: string;
  readonly id: string;
  readonly storage: Storage;
}

function commit(text: string, { repo, branch, parent, id, storage }: CommitPlace): Response {
  const blobs = new Map(repo.commits.get(parent));
  for (const { key, value } of text.split("\n").map((line) => JSON.parse(line))) {
    if (key === "header" && value.parentCommit !== undefined && value.parentCommit !== parent) {
      return Response.json({ error: "A commit has happened since. Please refresh and try again." }, { status: 412 });
    }
    if (key === "file") blobs.set(value.path, toBlob(value.path, Uint8Array.from(atob(value.content), codeOf)));
    if (key === "lfsFile") {
      const bytes = storage.objects.get(value.oid);
      if (bytes === undefined) return Response.json({ error: `${value.path} was not uploaded` }, { status: 400 });
      blobs.set(value.path, toBlob(value.path, bytes));
    }
  }
  const made = commitOf(blobs);
  repo.commits.set(made, blobs);
  repo.branches.set(branch, made);
  return Response.json({ success: true, commitOid: made, commitUrl: `/${id}/commit/${made}`, hookOutput: "" });
}

/** Files that a shard of Xet describes, put together from xorbs whose chunks are stored as they are. */
function filesOf(shard: Uint8Array, xorbs: ReadonlyMap<string, Uint8Array>): Map<string, Uint8Array> {
  const view = new DataView(shard.buffer, shard.byteOffset), files = new Map<string, Uint8Array>();
  for (let at = 48; view.getUint32(at, true) !== 0xffffffff;) {
    const flags = view.getUint32(at + 32, true), count = view.getUint32(at + 36, true), pieces: Uint8Array[] = [];
    at += 48;
    for (let i = 0; i < count; i++, at += 48) {
      const chunks = chunksOf(xorbs.get(hashAt(shard, at)) ?? new Uint8Array());
      pieces.push(...chunks.slice(view.getUint32(at + 40, true), view.getUint32(at + 44, true)));
    }
    at += flags & 0x80000000 ? 48 * count : 0;
    files.set(hashAt(shard, at), joined(pieces));
    at += 48;
  }
  return files;
}

/** Chunks of a xorb: a head of 8 bytes, then the bytes. */
function chunksOf(xorb: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < xorb.length;) {
    const length = xorb[at + 1] | xorb[at + 2] << 8 | xorb[at + 3] << 16;
    if (xorb[at + 4] !== 0) throw new Error("The fake hub takes chunks only that are not compressed: use random bytes");
    chunks.push(xorb.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return chunks;
}

/** Xet writes hashes as four numbers, the lowest byte first. */
function hashAt(bytes: Uint8Array, at: number): string {
  const words = [0, 8, 16, 24].map((word) => bytes.slice(at + word, at + word + 8).reverse());
  return words.map((word) => word.toHex()).join("");
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function codeOf(character: string): number {
  return character.charCodeAt(0);
}

function inAnHour(): number {
  return Math.floor(Date.now() / 1000) + 3600;
}
