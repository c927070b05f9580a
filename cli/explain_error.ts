/** One sentence for whatever is thrown, also by libraries and the system, whose own words are not for people. */
import * as z from "zod";
import { visibleText } from "../files/clear_text.ts";

/** An error as people should read it. */
export interface Explained {
  readonly sentence: string;
  /** Whether the sentence is all there is to say. */
  readonly foreseen: boolean;
}

/** Most of a foreign message that is shown. */
const MOST = 400;

/**
 * Puts an error into one sentence.
 *
 * @param error anything thrown
 * @param own whether its message was written for people, as of the errors that have an exit code of their own
 */
export function explainError(error: unknown, own: boolean): Explained {
  if (own && error instanceof Error) return { sentence: error.message, foreseen: true };
  if (error instanceof z.ZodError) return { sentence: explainData(error), foreseen: false };
  if (error instanceof Deno.errors.NotCapable) return { sentence: explainPermission(error), foreseen: true };
  const { code } = (error ?? {}) as { code?: unknown };
  if (code === "ERR_SQLITE_ERROR") {
    return {
      sentence:
        `Cannot use the cache's index: ${firstLine(error)}; where another process holds it, wait for its end, ` +
        "else choose another folder with --cache",
      foreseen: true,
    };
  }
  // V8's own sentences begin so too.
  if (error instanceof Error && !(error instanceof TypeError) && /^Cannot /.test(error.message)) {
    return { sentence: error.message, foreseen: false };
  }
  const doing = typeof code === "string" && /^E[A-Z]+$/.test(code)
    ? "the system refuses it"
    : error instanceof SyntaxError
    ? "a text is not what it should be"
    : "something unexpected happened";
  return { sentence: `Cannot go on as ${doing}: ${firstLine(error)}`, foreseen: false };
}

/** The first thing that is wrong with data of another shape than it must have. */
function explainData({ issues: [first, ...more] }: z.ZodError): string {
  const path = first.path.map(String).join(".");
  const rest = more.length === 0 ? "" : `, and ${more.length} more such`;
  const where = path === "" ? "it" : `\`${short(path)}\``;
  return `Cannot use data of an unexpected form: ${where} is wrong (${short(lower(first.message))})${rest}`;
}

/** Deno's permissions are the tasks' own: what they leave out is not the system's refusal. */
function explainPermission(error: Error): string {
  const [, what = "something", target] = /^Requires (\w+) access to "?([^"]*)"?/.exec(error.message) ?? [];
  if (what === "net" && target !== undefined) {
    const host = target.replace(/:\d+$/, "");
    return `Cannot reach ${visibleText(host)} as the tasks may reach Hugging Face's own hosts only: ` +
      `allow this one by PBS2P_NET=,${visibleText(host)} (with the comma)`;
  }
  const of = target === undefined || target === "" ? "" : ` to ${short(target)}`;
  return `Cannot go on without ${what} access${of}, which Deno was not told to give: use the tasks, such as ` +
    "`deno task run`, or choose another place";
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return short(text.trim().split("\n")[0].replace(/\.$/, ""));
}

function short(text: string): string {
  const visible = visibleText(text);
  return visible.length > MOST ? `${visible.slice(0, MOST)}…` : visible;
}

function lower(text: string): string {
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}
