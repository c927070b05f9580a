/** A mirror of the runner's small pipeline behind a real server on this machine that can be told to behave badly. */
import { createHash } from "node:crypto";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { type ArithmeticOptions, type ArithmeticRecipe, openArithmetic } from "../arithmetic_test_support.ts";
import { type ArtifactCache, openCache } from "../cache/cache.ts";
import type { Manifest } from "../cache/manifest.ts";
import type { RunEvent } from "../events.ts";
import { makePlan, type Plan } from "../plan.ts";
import { executeRun, type RunOptions, type RunResult } from "../run.ts";
import { exportMirror } from "./export.ts";
import { httpSource } from "./http_source.ts";
import { INDEX, parseIndex, parseStep, renderIndex, stepPath } from "./layout.ts";
import { Mirror, type MirrorOptions } from "./mirror.ts";
import { Mirrors } from "./mirrors.ts";

/** What a server does instead of answering well; undefined: it answers well. */
export type Trouble = (request: Request, file: Uint8Array<ArrayBuffer> | undefined) =>
  | Response
  | Promise<Response>
  | undefined;

/** A running server of static files. */
export interface MirrorServer extends AsyncDisposable {
  readonly url: URL;
  /** Path and query of each request, in order. */
  readonly requests: string[];
  /** Headers of each request. */
  readonly headers: Headers[];
  trouble: Trouble;
}

/** Serves a folder. */
export function serveFolder(folder: string): MirrorServer {
  const requests: string[] = [], headers: Headers[] = [];
  const ending = new AbortController();
  const handle = async (request: Request): Promise<Response> => {
    const { pathname, search } = new URL(request.url);
    requests.push(pathname + search);
    headers.push(request.headers);
    let file: Uint8Array<ArrayBuffer> | undefined;
    try {
      file = Deno.readFileSync(join(folder, ...pathname.split("/")));
    } catch {
      // Not found, as far as anybody is told.
    }
    const bad = await own.trouble(request, file);
    if (bad !== undefined) return bad;
    return file === undefined ? new Response("not here", { status: 404 }) : new Response(file);
  };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {}, signal: ending.signal }, handle);
  const own: MirrorServer = {
    url: new URL(`http://127.0.0.1:${server.addr.port}/`),
    ...{ requests, headers, trouble: () => undefined },
    async [Symbol.asyncDispose]() {
      // Requests that hang would keep it from ending well.
      ending.abort();
      await server.finished;
    },
  };
  return own;
}

/** Mirrors that are waited for as long as a test has time. */
export function mirrorsAt(urls: readonly (URL | string)[], options: MirrorOptions = {}): Mirrors {
  return new Mirrors(
    urls.map((url) => new Mirror(httpSource(new URL(url), { silence: 150 }), { delay: 1, attempts: 3, ...options })),
  );
}

/** What a run came to. */
export interface Ran extends RunResult {
  /** Steps that did their own work. */
  readonly ran: readonly string[];
  readonly events: readonly RunEvent[];
  readonly warnings: readonly string[];
  readonly plan: Plan;
}

/** Runs the pipeline on a cache. */
export async function runOn(
  cache: ArtifactCache,
  recipe: ArithmeticRecipe,
  { mirrors, pipeline = {}, signal, onEvent = () => {} }: {
    readonly mirrors?: Mirrors;
    readonly pipeline?: ArithmeticOptions;
    readonly signal?: AbortSignal;
    readonly onEvent?: NonNullable<RunOptions["onEvent"]>;
  } = {},
): Promise<Ran> {
  const ran: string[] = [], events: RunEvent[] = [], warnings: string[] = [];
  const subject = openArithmetic(recipe, { onRun: (id) => ran.push(id), ...pipeline });
  const plan = await makePlan(subject, cache, { recipe, mirrors, warn: (message) => warnings.push(message) });
  const result = await executeRun(plan, subject, {
    ...{ cache, recipe, mirrors, runsDir: join(cache.folder, "..", "runs"), signal },
    onEvent: (event) => {
      events.push(event);
      if (event.type === "warning") warnings.push(event.message);
      onEvent(event);
    },
  });
  return { ...result, ran, events, warnings, plan };
}

/** A folder with a cache in which a recipe was run, a mirror of it, and a new and empty cache. */
export interface Scene {
  readonly folder: string;
  /** In which the recipe was run. */
  readonly maker: ArtifactCache;
  readonly made: Ran;
  /** The mirror's folder. */
  readonly mirror: string;
  readonly server: MirrorServer;
  readonly fresh: ArtifactCache;
}

/** Runs and their mirrors are made once; tests change copies. */
const made = new Map<string, Promise<{ readonly folder: string; readonly ran: Ran }>>();

async function make(recipe: ArithmeticRecipe, pipeline: ArithmeticOptions) {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-maker-" });
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  const maker = await openCache(join(folder, "cache"));
  const ran = await runOn(maker, recipe, { pipeline });
  await exportMirror(maker, join(folder, "mirror"));
  maker.close();
  return { folder, ran };
}

/** Makes a mirror of a recipe's run. */
export async function withMirror(
  recipe: ArithmeticRecipe,
  work: (scene: Scene) => Promise<void>,
  pipeline: ArithmeticOptions = {},
): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-mirror-" });
  try {
    const name = JSON.stringify([recipe, pipeline]), there = made.get(name) ?? make(recipe, pipeline);
    made.set(name, there);
    const { folder: shared, ran } = await there;
    const mirror = join(folder, "mirror");
    cpSync(join(shared, "mirror"), mirror, { recursive: true });
    const maker = await openCache(join(shared, "cache"));
    const fresh = await openCache(join(folder, "fresh", "cache"));
    try {
      await using server = serveFolder(mirror);
      await work({ folder, maker, made: ran, mirror, server, fresh });
    } finally {
      fresh.close();
      maker.close();
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

/** For `forge`: a value that is nested too deep for anybody. */
export const NESTED = "nested";

/** Changes the manifests of all steps of a mirror, and its index with them, as one would who wants to be believed. */
export function forge(folder: string, change: (manifest: Manifest) => unknown): void {
  const index = new Map(parseIndex(Deno.readTextFileSync(join(folder, INDEX))));
  for (const [key, step] of index) {
    const path = join(folder, ...stepPath(key).split("/"));
    const manifests = [...parseStep(Deno.readTextFileSync(path), key).values()];
    const outputs = Object.fromEntries(
      manifests.map((manifest) => [manifest.output, change(manifest)]),
    ) as Record<string, Manifest>;
    const text = JSON.stringify({ format: 1, outputs }).replaceAll(`"${NESTED}"`, "[".repeat(1e5) + "]".repeat(1e5));
    const bytes = new TextEncoder().encode(`${text}\n`);
    Deno.writeFileSync(path, bytes);
    const sizes = Object.entries(outputs).map(([name, { files }]) =>
      [name, files.reduce((sum, { bytes }) => sum + bytes, 0)] as const
    );
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    index.set(key, { ...step, bytes: bytes.length, sha256, outputs: Object.fromEntries(sizes) });
  }
  Deno.writeTextFileSync(join(folder, INDEX), renderIndex(index));
}
