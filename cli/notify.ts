/** `--notify URL`: one message at the end of a run or sweep, however it ends. Its failure is a warning, never the run's. */
import { Option } from "commander";
import { sayNumbers } from "../files/json_number.ts";
import { withoutPaths } from "../files/without_paths.ts";
import type { Metrics } from "../report/mod.ts";
import { exitOf, UsageError } from "./exit_codes.ts";
import { explainError } from "./explain_error.ts";
import { checkHost } from "./mirrors.ts";
import type { Terminal } from "./terminal.ts";

/** What is known of a run or sweep when it ends; what is not known is null. */
export interface Notice {
  /** Name of its folder. */
  readonly run: string | null;
  readonly recipe: string;
  readonly model: string | null;
  /** `missed`: it is not what the recipe expects; `failed`: also where points of a sweep have failed. */
  readonly outcome: "well" | "missed" | "failed" | "interrupted";
  readonly exit: number;
  readonly seconds: number;
  readonly perplexity: Metrics["perplexity"] | null;
  /** A weight: nominal and stored ones of compressed layers, and those of the whole file. */
  readonly bits: { readonly nominal: number; readonly stored: number; readonly model: number } | null;
  /** One sentence, without absolute paths. */
  readonly error: string | null;
  /** Of a sweep. */
  readonly points?: { readonly finished: number; readonly failed: number; readonly left: number };
}

/** What a run tells of itself on the way. */
export type Facts = Partial<Omit<Notice, "outcome" | "exit" | "seconds">>;

/** Milliseconds that the other side has for its answer. */
const TIMEOUT = 10_000;

const OUTCOMES: Readonly<Record<number, Notice["outcome"]>> = { 0: "well", 7: "missed", 130: "interrupted" };

/** `--notify URL`. */
export function notifyOption(): Option {
  return new Option(
    "--notify <url>",
    "at the end, however it ends, POST one JSON object there: run, recipe, model, outcome, exit, seconds, perplexity, bits, " +
      "error; its host is allowed by PBS2P_NET=,HOST",
  );
}

/**
 * Does what a command is for and then tells the address that was given, if any.
 *
 * @param url as given
 * @param options `recipe`: its name as far as it is known without reading it; `timeout`: milliseconds
 * @param work told what it is; hands on what it comes to know; gives the exit code
 * @returns the exit code
 * @throws {UsageError} before anything is done, for an address that cannot be used
 * @throws whatever `work` throws, after that was told
 */
export async function notifying(
  url: string | undefined,
  { recipe, terminal, timeout = TIMEOUT }: {
    readonly recipe: string;
    readonly terminal: Terminal;
    readonly timeout?: number;
  },
  work: (tell: (facts: Facts) => void) => Promise<number>,
): Promise<number> {
  if (url === undefined) return await work(() => {});
  const address = readAddress(url);
  const began = performance.now();
  let known: Facts = {};
  const send = (exit: number, error?: string) => {
    const { run = null, model = null, perplexity = null, bits = null, points } = known;
    const said = error ?? known.error ?? null;
    return post(address, {
      ...{ run, recipe: known.recipe ?? recipe, model, outcome: OUTCOMES[exit] ?? "failed", exit },
      ...{ seconds: (performance.now() - began) / 1000, perplexity, bits },
      error: said === null ? null : withoutPaths(said),
      ...(points === undefined ? {} : { points }),
    }, { terminal, timeout });
  };
  let exit: number;
  try {
    exit = await work((facts) => void (known = { ...known, ...facts }));
  } catch (error) {
    const code = exitOf(error);
    await send(code, explainError(error, code !== 1).sentence);
    throw error;
  }
  await send(exit);
  return exit;
}

/** @throws {UsageError} for what is no address, or one that this process may not reach */
function readAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const refuse = (why: string) => new UsageError(`Cannot use --notify with this address: ${why}`);
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw refuse("it must begin with https:// or http://");
  if (url.username !== "" || url.password !== "") throw refuse("names and passwords are not sent");
  checkHost(url.host, "--notify");
  return url;
}

/** The rest of the address may be secret, as those of chats are: messages name the host alone. */
async function post(
  url: URL,
  notice: Notice,
  { terminal, timeout }: { readonly terminal: Terminal; readonly timeout: number },
): Promise<void> {
  const warn = (why: string) => terminal.note(`warning: ${url.host} was not told of the end: ${why}`);
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "pbs2p" },
      body: JSON.stringify(notice, sayNumbers),
      // What is sent is meant for that host.
      redirect: "manual",
      signal: AbortSignal.timeout(timeout),
    });
    await response.body?.cancel();
    if (!response.ok) warn(`it answers ${response.status}`);
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    warn(late ? `nothing came for ${timeout / 1000} s` : "it cannot be reached");
  }
}
