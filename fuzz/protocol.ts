/** What parent and child say to each other: lines of JSON, of which a child's begin with a mark. */
import type { Verdict } from "./judge.ts";
import type { Sample } from "./kind.ts";

/** What a child is given when it starts. */
export interface Setting {
  /** Folder with a folder of samples for each kind. */
  readonly inputs: string;
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
  /** Folder of the child's own. */
  readonly scratch: string;
  /** Bytes of memory that a case may take. */
  readonly memory: number;
}

/** What a child says. */
export type Reply =
  | { readonly type: "ready" }
  | { readonly type: "done"; readonly verdict: Verdict }
  | { readonly type: "memory"; readonly bytes: number };

/** Before each reply, so that what else is printed is not taken for one. */
export const MARK = "\u001e";

/** Letters of a message that are told; a line must go through a pipe in one piece. */
const LONGEST = 700;

/** Lines of a stream as they come; what follows the last line's end is none. */
export async function* readLines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** A reply as a line. */
export function renderReply(reply: Reply): Uint8Array {
  const short = (_key: string, value: unknown) =>
    typeof value === "string" && value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value;
  return new TextEncoder().encode(`${MARK}${JSON.stringify(reply, short)}\n`);
}

/** A line of a child's output; undefined where it is no reply. */
export function parseReply(line: string): Reply | undefined {
  const at = line.lastIndexOf(MARK);
  return at < 0 ? undefined : JSON.parse(line.slice(at + MARK.length));
}
