/**
 * A mirror behind plain GET requests: a web server, or a prefix of an S3-compatible bucket, public or presigned.
 *
 * Nothing is sent but the path and the query of the mirror's own address; where a redirect leads gets neither.
 */
import { whyFetchFailed } from "../../files/failed_fetch.ts";
import { MirrorError, type MirrorSource } from "./source.ts";

/** How a server is waited for. */
export interface HttpOptions {
  /** Milliseconds without an answer, or without another byte of it, after which a connection counts as broken. */
  readonly silence?: number;
}

/** Milliseconds. */
const SILENCE = 30_000;
const MOST_REDIRECTS = 5;
/** Refusals that may be over in a moment. */
const AGAIN: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Seconds; servers that want more are busy. */
const LONGEST_WAIT = 30;

/**
 * Opens a mirror's address.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(httpSource(new URL("https://bucket.example/mirror?X-Amz-Signature=abc")).name, "bucket.example");
 * ```
 * @param address of the folder that holds the mirror; its query is kept for every file, its fragment is not sent
 */
export function httpSource(address: URL, { silence = SILENCE }: HttpOptions = {}): MirrorSource {
  return {
    name: address.host,
    async open(path, { from, signal }) {
      const url = new URL(address);
      url.pathname = `${url.pathname.replace(/\/+$/, "")}/${path}`;
      url.hash = "";
      const watch = watchSilence(silence, signal);
      try {
        const response = await follow(url, { from, watch });
        return { from: beginOf(response, from), body: flow(response, watch) };
      } catch (error) {
        watch.end();
        throw translate(error, url, signal);
      }
    },
  };
}

/** Ends a connection that brings nothing. */
interface Watch {
  readonly signal: AbortSignal;
  /** Something came. */
  alive(): void;
  end(): void;
}

/** Why a watch ended its connection. */
class SilenceError extends Error {}

function watchSilence(silence: number, outer: AbortSignal | undefined): Watch {
  const controller = new AbortController();
  const stop = () => controller.abort(outer?.reason);
  const silent = () => controller.abort(new SilenceError(`nothing came for ${silence / 1000} s`));
  let timer = setTimeout(silent, silence);
  outer?.addEventListener("abort", stop, { once: true });
  if (outer?.aborted) stop();
  return {
    signal: controller.signal,
    alive() {
      clearTimeout(timer);
      timer = setTimeout(silent, silence);
    },
    end() {
      clearTimeout(timer);
      outer?.removeEventListener("abort", stop);
    },
  };
}

/** Sends a request and follows redirects, none of which may leave encryption behind. */
async function follow(
  first: URL,
  { from, watch }: { readonly from: number; readonly watch: Watch },
): Promise<Response> {
  const headers = {
    ...{ "user-agent": "pbs2p", "accept-encoding": "identity" },
    ...(from === 0 ? {} : { range: `bytes=${from}-` }),
  };
  let url = first;
  for (let hop = 0;; hop++) {
    const response = await fetch(url, { headers, redirect: "manual", signal: watch.signal, credentials: "omit" });
    watch.alive();
    if (response.ok) return response;
    const to = response.headers.get("location");
    await response.body?.cancel();
    if (response.status < 300 || response.status > 399) throw refusal(response);
    if (hop === MOST_REDIRECTS) throw new MirrorError(`redirects more than ${MOST_REDIRECTS} times`);
    if (to === null || !URL.canParse(to, url)) throw new MirrorError(`redirects (${response.status}) to no address`);
    const next = new URL(to, url);
    if (next.protocol !== "https:" && (next.protocol !== "http:" || url.protocol === "https:")) {
      throw new MirrorError(`redirects from ${url.protocol}//${url.host} to ${next.protocol}//${next.host}`, {
        lie: true,
      });
    }
    url = next;
  }
}

function refusal({ status, statusText, headers }: Response): MirrorError {
  const seconds = Number(headers.get("retry-after") ?? 0);
  return new MirrorError(`answers ${status}${statusText === "" ? "" : ` ${statusText}`}`, {
    again: AGAIN.has(status),
    wait: 1000 * Math.min(LONGEST_WAIT, seconds > 0 ? seconds : 0),
  });
}

function beginOf({ status, headers }: Response, from: number): number {
  if (status !== 206) return 0;
  const [, begin] = /^bytes (\d+)-/.exec(headers.get("content-range") ?? "") ?? [];
  if (Number(begin) === from) return from;
  throw new MirrorError(`sends another part of a file than was asked for`, { lie: true });
}

async function* flow(response: Response, watch: Watch): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response.body ?? []) {
      watch.alive();
      yield chunk;
    }
  } catch (error) {
    throw translate(
      error,
      new URL(response.url),
      watch.signal.reason instanceof SilenceError ? undefined : watch.signal,
    );
  } finally {
    watch.end();
  }
}

/** What the runtime throws names the whole address, whose query may be secret: it is said without. */
function translate(error: unknown, url: URL, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof MirrorError) return error;
  if (error instanceof SilenceError) return new MirrorError(`does not answer: ${error.message}`, { again: true });
  if (error instanceof Deno.errors.NotCapable) {
    const [, host = url.hostname] = /access to "?([^":\s]+)/.exec(error.message) ?? [];
    return new MirrorError(`leads to ${host}, which this command may not reach: allow it by PBS2P_NET=,${host}`);
  }
  return new MirrorError(`cannot be reached: ${whyFetchFailed(error)}`, { again: true });
}
