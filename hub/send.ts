/**
 * Requests that write to the hub, as @huggingface/hub makes them: a `fetch` that repeats what fails for the moment, says clearly what is
 * refused, and gives the user's token to the hub's own address alone, whatever an answer names or redirects to.
 */
import { pause } from "../files/pause.ts";
import { InputError } from "../files/input_error.ts";
import { endpointOf, type HubAccess, RefusedError, RETRY_STATUS, retryAfter, unreachable } from "./access.ts";

/** What is sent, and for whom. */
export interface SendOptions {
  /** For messages: `model owner/name`. */
  readonly what: string;
  readonly token: string;
}

/** The repository is not what it was when it was looked at. */
export class ConflictError extends InputError {}

const RETRIES = 4;
/** Most seconds that are waited because the hub asks for it; its limits are for five minutes. */
const MOST_WAIT = 300;
const REDIRECTS = 5;
/** A request may take this long in milliseconds, and a second more for so many bytes of its body. */
const PATIENCE = 120_000, BYTES_A_SECOND = 1 << 16;
/** Characters of a refusal that are read. */
const MOST_SAID = 300;

/**
 * The `fetch` for one push.
 *
 * Answers other than 2xx throw, except to what only asks (`GET`), of which the library itself knows what to make; a commit is not
 * repeated where the connection or the server broke, as nobody knows whether it was made.
 *
 * @throws {ConflictError | RefusedError | UnreachableError} while sending
 */
export function sender(access: HubAccess, { what, token }: SendOptions): typeof fetch {
  const send = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    if (input instanceof Request) throw new TypeError("a request is named by its address here");
    const url = new URL(input), isCommit = url.pathname.includes("/commit/");
    for (let attempt = 0;; attempt++) {
      let wait = 0;
      try {
        const response = await follow(access, url, init, token);
        if (response.ok) return response;
        const passing = isCommit ? response.status === 429 : RETRY_STATUS.has(response.status);
        const repeat = passing && attempt < RETRIES;
        if (!repeat && (init.method ?? "GET") === "GET" && response.status === 404) return response;
        if (!repeat) throw await refusal(access, response, what);
        wait = retryAfter(response, MOST_WAIT);
        await response.body?.cancel();
      } catch (cause) {
        access.signal?.throwIfAborted();
        init.signal?.throwIfAborted();
        if (cause instanceof InputError) throw cause;
        if (attempt === RETRIES || isCommit || cause instanceof Deno.errors.NotCapable) {
          throw unreachable(access, what, cause, url);
        }
      }
      wait = Math.max(wait, (access.retryDelay ?? 500) * 2 ** attempt);
      if (wait >= 5000) access.progress?.(`${what}: trying again in ${Math.round(wait / 1000)} s`);
      await pause(wait, access.signal);
    }
  };
  return send as typeof fetch;
}

/** Follows redirects that keep the request; whoever is asked elsewhere is not told who asks. */
async function follow(access: HubAccess, first: URL, init: RequestInit, token: string): Promise<Response> {
  const home = new URL(endpointOf(access)).origin;
  let url = first;
  const headers = new Headers(init.headers);
  headers.set("user-agent", "pbs2p");
  for (let hops = 0; hops <= REDIRECTS; hops++) {
    if (url.origin !== home && headers.get("authorization") === `Bearer ${token}`) headers.delete("authorization");
    // Contents and tokens of other services are not shown to everybody on the way either.
    if (url.protocol !== "https:" && home.startsWith("https:")) {
      throw new InputError(`Cannot send to ${url.host} as the hub names it without encryption (${url.protocol})`);
    }
    const limit = AbortSignal.timeout(PATIENCE + 1000 * sizeOf(init.body) / BYTES_A_SECOND);
    const signals = [limit, access.signal, init.signal].filter((signal) => signal !== undefined && signal !== null);
    const response = await fetch(url, { ...init, headers, redirect: "manual", signal: AbortSignal.any(signals) });
    const to = response.headers.get("location");
    if (to === null || response.status < 301 || response.status > 308) return response;
    await response.body?.cancel();
    const next = new URL(to, url), method = init.method ?? "GET";
    if (method !== "GET" && response.status !== 307 && response.status !== 308) {
      throw new InputError(
        `Cannot send to ${url.host}: it answers ${response.status} to ${method} and names ${next.host}`,
      );
    }
    if (next.origin !== url.origin) headers.delete("authorization");
    url = next;
  }
  throw new InputError(`Cannot send to ${first.host}: it redirects more than ${REDIRECTS} times`);
}

function sizeOf(body: RequestInit["body"]): number {
  return body instanceof Blob ? body.size : body instanceof Uint8Array ? body.length : 0;
}

async function refusal(access: HubAccess, response: Response, what: string): Promise<InputError> {
  const { status, headers } = response, reason = headers.get("x-error-code") ?? "";
  const said = headers.get("x-error-message") ?? saidIn(await response.text().catch(() => ""));
  const words = said.slice(0, MOST_SAID).replace(/[.\s]+$/, "") || response.statusText || "no reason";
  const page = `${endpointOf(access)}/settings/tokens`;
  if (status === 409 || status === 412) {
    return new ConflictError(
      `Cannot push to ${what}: it has changed since it was looked at, or another commit is being made (${status} ${words}); ` +
        "see what is new there, then give the same command again",
    );
  }
  const why = status === 401
    ? `the token is not accepted (401 ${words}); make one that may write at ${page}, and give it in HF_TOKEN`
    : status === 403
    ? `the token may not do this (403 ${words}); it must be allowed to write there, see ${page}`
    : reason === "RepoNotFound" || status === 404
    ? `there is no such repository or branch, or the token may not see it (404 ${words})`
    : status === 429
    ? `the hub has had too many requests (429 ${words}); try again later, what was uploaded is not sent again`
    : RETRY_STATUS.has(status)
    ? `the hub answered ${status} ${words}; try again later, what was uploaded is not sent again`
    : `the hub refuses it (${status} ${words})`;
  return new RefusedError(`Cannot push to ${what}: ${why}`, { status, reason });
}

/** What an answer's body says, where it is the hub's JSON or a plain line; no page. */
function saidIn(body: string): string {
  try {
    const { error, message } = JSON.parse(body);
    return String(error ?? message ?? "");
  } catch {
    return body.includes("<") ? "" : body.split("\n")[0];
  }
}
