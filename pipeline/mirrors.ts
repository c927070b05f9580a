/** Mirrors by their addresses, as people write them: a web server's, a bucket's, or a data set of the hub. */
import type { FileHashes } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";
import { type HubAccess, type HubRepo, listDataset, UnreachableError } from "../hub/mod.ts";
import { streamFile } from "../hub/stream.ts";
import { httpSource } from "../runner/mirror/http_source.ts";
import { Mirror, type MirrorOptions } from "../runner/mirror/mirror.ts";
import { Mirrors } from "../runner/mirror/mirrors.ts";
import { MirrorError, type MirrorSource } from "../runner/mirror/source.ts";

/** How mirrors are reached. */
export interface OpenMirrorsOptions extends Pick<HubAccess, "endpoint" | "token" | "retryDelay" | "warn"> {
  /** Folder of the cache, for what the hub says of data sets. */
  readonly cache: string;
  readonly hashes?: FileHashes;
  /** Milliseconds of silence after which a connection counts as broken, and before a second request. */
  readonly pace?: { readonly silence?: number; readonly delay?: number };
}

/**
 * Opens mirrors; nothing is asked of them yet.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const mirrors = openMirrors(["hf://datasets/owner/name@main", "https://mirror.example/llama"], { cache: "/nowhere" });
 * assert.equal(mirrors.offer({ stepKey: "0".repeat(64), outputs: { statistics: 1 } }), undefined);
 * assert.throws(() => openMirrors(["ftp://mirror.example"], { cache: "/nowhere" }), /Cannot use cache mirror/);
 * ```
 * @param addresses `https://HOST/FOLDER`, `http://…`, or `hf://datasets/OWNER/NAME@REVISION/FOLDER`; each may end with
 * `#sha256=…`, the hash that its index must have
 * @throws {RangeError} for what is no address of a mirror
 */
export function openMirrors(addresses: readonly string[], options: OpenMirrorsOptions): Mirrors {
  return new Mirrors(addresses.map((address) => {
    const { source, pin } = readAddress(address, options);
    const pace: MirrorOptions = options.pace?.delay === undefined ? {} : { delay: options.pace.delay };
    return new Mirror(source, { ...pace, ...(pin === undefined ? {} : { pin }) });
  }));
}

/** The host that a mirror's address names; undefined for the hub. @throws {RangeError} as `openMirrors` */
export function hostOf(address: string): string | undefined {
  const { url } = parse(address);
  return url.protocol === "hf:" ? undefined : url.host;
}

function readAddress(address: string, options: OpenMirrorsOptions): { source: MirrorSource; pin?: string } {
  const { url, pin } = parse(address);
  if (url.protocol !== "hf:") return { source: httpSource(url, options.pace), pin };
  const [, id, revision = "main", folder] = /^hf:\/\/datasets\/([^/@]+\/[^/@]+)(?:@([^/]+))?(?:\/(.*?))?\/*$/
    .exec(address.replace(/#.*$/, "")) ?? [];
  if (id === undefined) throw refused(address, "a data set is written hf://datasets/OWNER/NAME@REVISION");
  return {
    source: hubSource(id, { revision: decodeURIComponent(revision), folder: folder || undefined }, options),
    pin,
  };
}

function parse(address: string): { url: URL; pin?: string } {
  const known = "addresses begin with https://, http:// or hf://datasets/";
  if (!URL.canParse(address)) throw refused(address, known);
  const url = new URL(address);
  if (!["https:", "http:", "hf:"].includes(url.protocol)) throw refused(address, known);
  if (url.username !== "" || url.password !== "") throw refused(address, "names and passwords are not sent");
  if (url.hash === "") return { url };
  const [, pin] = /^#sha256=([0-9a-f]{64})$/i.exec(url.hash) ?? [];
  if (pin === undefined) throw refused(address, "after # stands sha256= and the 64 digits that `cache export` prints");
  return { url, pin: pin.toLowerCase() };
}

/** Neither the query nor a password is repeated. */
function refused(address: string, why: string): RangeError {
  return new RangeError(
    `Cannot use cache mirror ${address.replace(/[?#].*$/, "").replace(/\/\/[^/]*@/, "//")}: ${why}`,
  );
}

/** A data set, at the commit that its revision means when it is first asked. */
function hubSource(
  id: string,
  { revision, folder }: { readonly revision: string; readonly folder?: string },
  options: OpenMirrorsOptions,
): MirrorSource {
  let repo: Promise<HubRepo> | undefined;
  let name = `hf://datasets/${id}`;
  return {
    get name() {
      return name;
    },
    async open(path, { from, signal }) {
      const access: HubAccess = { ...options, signal };
      try {
        repo ??= listDataset(id, revision, access, folder);
        const listed = await repo;
        name = `hf://datasets/${id}@${listed.commit.slice(0, 8)}`;
        return guarded(
          await streamFile(listed, folder === undefined ? path : `${folder}/${path}`, access, { from }),
          signal,
        );
      } catch (error) {
        signal?.throwIfAborted();
        throw asMirrorError(error);
      }
    },
  };
}

function guarded<T extends { readonly body: AsyncIterable<Uint8Array> }>(incoming: T, signal?: AbortSignal): T {
  async function* body(): AsyncGenerator<Uint8Array> {
    try {
      yield* incoming.body;
    } catch (error) {
      signal?.throwIfAborted();
      // The hub's own requests were repeated; a body that ends early was not.
      throw error instanceof UnreachableError ? new MirrorError(why(error), { again: true }) : asMirrorError(error);
    }
  }
  return { ...incoming, body: body() };
}

function asMirrorError(error: unknown): unknown {
  return error instanceof InputError ? new MirrorError(why(error), { cause: error }) : error;
}

function why({ message }: Error): string {
  return `cannot be read: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}
