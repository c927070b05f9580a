/** Requests to the Hugging Face Hub: where it is, who asks, what to do when it does not answer. */
import { pause } from "../files/pause.ts";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { whyFetchFailed } from "../files/failed_fetch.ts";
import { InputError } from "../files/input_error.ts";
import type { FileHashes } from "../files/file_hashes.ts";

/** How the hub is reached and where downloads go. */
export interface HubAccess {
  /** Folder of the cache; downloads go to `downloads/` in it. */
  readonly cache: string;
  /** Default: `HF_ENDPOINT`, else https://huggingface.co. */
  readonly endpoint?: string;
  /** Default: the token of the usual places, see `findToken`; null to send none. */
  readonly token?: string | null;
  /** Memo of the content hashes of downloaded files. */
  readonly hashes?: FileHashes;
  readonly signal?: AbortSignal;
  readonly progress?: (message: string) => void;
  readonly warn?: (message: string) => void;
  /** Milliseconds before the first retry; each further one waits twice as long. */
  readonly retryDelay?: number;
}

/** The hub did not answer, as opposed to answering that something is wrong. */
export class UnreachableError extends InputError {}

/** The hub answered that it will not. */
export class RefusedError extends InputError {
  /** Of HTTP. */
  readonly status: number;
  /** The hub's own word, such as `RepoNotFound`; empty where it says none. */
  readonly reason: string;

  constructor(message: string, { status, reason }: { readonly status: number; readonly reason: string }) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** A connection brought nothing for a minute. */
export class SilenceError extends Error {}

/** A response, and the guard that ends it when no bytes come any more. */
export interface Guarded {
  readonly response: Response;
  /** Call for every chunk of the body, and once with `true` when done with the response. */
  alive(done?: boolean): void;
}

/** Silence after which a connection counts as broken, in milliseconds. */
const SILENCE = 60_000;
const RETRIES = 3;
/** Answers that another attempt may change. */
export const RETRY_STATUS: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Address of the hub, without a slash at the end. */
export function endpointOf(access: HubAccess): string {
  return (access.endpoint ?? process.env.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/+$/, "");
}

/**
 * The user's token: `HF_TOKEN`, else the content of `HF_TOKEN_PATH`, of `token` in `HF_HOME`, or of `token` in the hub's
 * default folder (`XDG_CACHE_HOME`/huggingface, ~/.cache/huggingface).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(await findToken({ HF_TOKEN: "hf_abc" }), "hf_abc");
 * ```
 * @param environment variables; default: the process's
 * @returns undefined when there is none
 */
export async function findToken(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string | undefined> {
  const { HF_TOKEN, HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = environment;
  if (HF_TOKEN?.trim()) return HF_TOKEN.trim();
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "huggingface");
  const text = await readFile(HF_TOKEN_PATH ?? join(home, "token"), "utf8").catch(() => "");
  return text.trim() || undefined;
}

/**
 * Sends a request to the hub, with the user's token, and again when it fails for the moment.
 *
 * @param url of the hub's endpoint; redirects elsewhere do not get the token
 * @param what for messages; ends with the repository: `config.json of model owner/name at 1234abcd`
 * @returns a response with status 2xx
 * @throws {UnreachableError} when there is no answer
 * @throws {InputError} when the hub refuses: no such repository, revision or file, or no access
 */
export async function request(
  access: HubAccess,
  url: string,
  what: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Guarded> {
  const token = access.token === undefined ? await findToken() : access.token;
  const sent = new Headers({ "user-agent": "pbs2p", "accept-encoding": "identity", ...headers });
  if (token && new URL(url).origin === new URL(endpointOf(access)).origin) sent.set("authorization", `Bearer ${token}`);
  for (let attempt = 0;; attempt++) {
    const guard = guardSilence(access.signal);
    let wait: number;
    try {
      const response = await fetch(url, { headers: sent, signal: guard.signal });
      if (response.ok) return { response, alive: guard.alive };
      if (attempt === RETRIES || !RETRY_STATUS.has(response.status)) {
        const { status, headers } = response, reason = headers.get("x-error-code") ?? "";
        throw new RefusedError(await refusal(access, response, what, Boolean(token)), { status, reason });
      }
      wait = retryAfter(response, 30);
      await response.body?.cancel();
      guard.alive(true);
    } catch (cause) {
      guard.alive(true);
      access.signal?.throwIfAborted();
      if (cause instanceof InputError) throw cause;
      if (attempt === RETRIES) throw unreachable(access, what, cause);
      wait = 0;
    }
    await pause(Math.max(wait, (access.retryDelay ?? 500) * 2 ** attempt), access.signal);
  }
}

/**
 * What an answer asks to wait, in milliseconds; 0 where it asks nothing.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const asking = (text: string) => ({ headers: new Headers({ "retry-after": text }) });
 * assert.deepEqual(["2", "3600", "soon"].map((text) => retryAfter(asking(text), 30)), [2000, 30_000, 0]);
 * ```
 * @param most seconds that are waited at most
 */
export function retryAfter({ headers }: Pick<Response, "headers">, most: number): number {
  const said = headers.get("retry-after") ?? "";
  const seconds = /^\d+$/.test(said.trim()) ? Number(said) : (Date.parse(said) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? 1000 * Math.min(most, Math.max(0, seconds)) : 0;
}

/** The error for a hub that does not answer. @param at what was asked, where it is not the hub itself */
export function unreachable(access: HubAccess, what: string, cause: unknown, at?: URL): UnreachableError {
  const endpoint = at?.origin ?? endpointOf(access);
  if (cause instanceof Deno.errors.NotCapable) {
    return new UnreachableError(
      `Cannot reach ${endpoint} for ${what} as the tasks may reach Hugging Face's own hosts only: ` +
        `allow this one by PBS2P_NET=,${URL.canParse(endpoint) ? new URL(endpoint).hostname : "HOST"} (with the comma)`,
      { cause },
    );
  }
  return new UnreachableError(
    `Cannot reach ${endpoint} for ${what}: ${whyFetchFailed(cause)}; ` +
      "check the network, set HF_ENDPOINT to a mirror, or use a local folder",
    { cause },
  );
}

function guardSilence(outer: AbortSignal | undefined): { signal: AbortSignal; alive: (done?: boolean) => void } {
  const controller = new AbortController();
  const stop = () => controller.abort(outer?.reason);
  const silent = () => controller.abort(new SilenceError(`no data for ${SILENCE / 1000} seconds`));
  let timer = setTimeout(silent, SILENCE);
  outer?.addEventListener("abort", stop, { once: true });
  if (outer?.aborted) stop();
  return {
    signal: controller.signal,
    alive(done = false) {
      clearTimeout(timer);
      if (done) outer?.removeEventListener("abort", stop);
      else timer = setTimeout(silent, SILENCE);
    },
  };
}

async function refusal(access: HubAccess, response: Response, what: string, hasToken: boolean): Promise<string> {
  const code = response.headers.get("x-error-code") ?? "";
  const said = response.headers.get("x-error-message") ?? "";
  await response.body?.cancel();
  const token = hasToken
    ? "the token that was sent has no access to it"
    : "give a token in HF_TOKEN or with `hf auth login`";
  const [, kind, id] = /(model|dataset) (\S+\/\S+)/.exec(what) ?? [];
  const page = `${endpointOf(access)}/${kind === "dataset" ? "datasets/" : ""}${id}`;
  if (code === "GatedRepo") return `Cannot read ${what}: access is gated; accept its terms at ${page}; ${token}`;
  if (code === "RevisionNotFound") return `Cannot read ${what}: there is no such revision`;
  if (code === "EntryNotFound") return `Cannot read ${what}: there is no such file`;
  if (code === "RepoNotFound" || response.status === 404) {
    return `Cannot read ${what}: there is no such repository, or it is private; ${token}`;
  }
  if (response.status === 401 || response.status === 403) {
    return `Cannot read ${what}: access is denied (${response.status} ${said || code}); ${token}`;
  }
  return `Cannot read ${what}: the hub answered ${response.status} ${said || response.statusText}; try again later`;
}
