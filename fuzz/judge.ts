/** What a case came to: a clean read, one clear error, or a finding. */
import { fileURLToPath } from "node:url";
import { RecipeError } from "../recipes/diagnostics.ts";

/** How a case ended. */
export type Verdict =
  | { readonly outcome: "clean" }
  | { readonly outcome: "refused"; readonly message: string }
  | Finding;

/** A number that is not finite was read, or words that mean nothing were printed. */
export class UnfitError extends Error {
  override readonly name = "UnfitError";
}

/** What must not be. */
export interface Finding {
  readonly outcome: "finding";
  /** In a few words. */
  readonly problem: string;
  /** Class of the error, if one was thrown. */
  readonly error?: string;
  readonly message: string;
  /** Where it was thrown: file and line in the project. */
  readonly frame?: string;
}

/** Classes of errors that say that an input is wrong; those of a cache too. */
const REFUSALS: ReadonlySet<string> = new Set([
  "InputError",
  "RecipeError",
  "UsageError",
  "CorruptArtifactError",
  "FolderError",
]);

const NONSENSE = "nonsense was read without a word";

/** Letters that one error may have. */
const LONGEST_MESSAGE = 600;

/** What no message may hold, and what is wrong with it then. */
const UNCLEAR: readonly (readonly [RegExp, string])[] = [
  [/^\s*$/, "an empty message"],
  [/\n\s+at .*\d+:\d+/, "a stack in the message"],
  [/[\n\r\u2028\u2029]/, "a message of several lines"],
  // deno-lint-ignore no-control-regex
  [/[\u0000-\u001f\u007f-\u009f]/, "control characters in the message"],
  [/\[object \w+\]/, "an object in the message"],
  [/\bundefined\b/, "undefined in the message"],
  [
    /\bNaN is not\b|(?<!that )is not (a function|iterable|a constructor|extensible)\b/,
    "words of the language's runtime",
  ],
  [
    /Cannot (read|set|convert|destructure|access|mix|assign|add) propert|Cannot (convert|mix)/,
    "words of the language's runtime",
  ],
  [
    /Unexpected (token|end|non-whitespace|number|string|identifier)|in JSON at position|Bad control character|Expected (property|double|',')/,
    "words of JSON.parse",
  ],
  [
    /Invalid (typed )?array (buffer )?length|Array buffer allocation|Invalid (string|DataView) length|Offset is outside|start offset|call stack|Invalid count/,
    "words of the language's runtime",
  ],
  [
    /Invalid regular expression|Invalid code point|Invalid time value|The encoded data was not valid/,
    "words of the language's runtime",
  ],
  [/Invalid input: expected|Too (small|big): expected|Unrecognized key|invalid_type|"code":/, "words of zod"],
  [/SQLITE|SQL logic|no such table|database disk|constraint failed|STRICT|near ".*": syntax/i, "words of SQLite"],
  [/Requires (read|write|net|run|env|ffi|sys) access/, "something was done outside of the case's folder"],
  [/\(os error \d+\)|\b(readfile|open|stat|scandir|mkdir) '/, "words of the operating system"],
];

/** Judges what a reader threw. */
export function judgeError(thrown: unknown): Verdict {
  if (!(thrown instanceof Error)) {
    return { outcome: "finding", problem: "something was thrown that is no error", message: String(thrown) };
  }
  const { name, message } = thrown;
  if (thrown instanceof UnfitError) {
    return { outcome: "finding", problem: NONSENSE, message };
  }
  const frame = frameOf(thrown);
  const finding = (problem: string, shown = message): Finding => ({
    outcome: "finding",
    problem,
    error: name,
    message: shown,
    ...(frame === undefined ? {} : { frame }),
  });
  if (name === "NotCapable") return finding("something was done outside of the case's folder");
  if (!REFUSALS.has(name)) return finding(`${name} instead of a clear error`);
  const messages = thrown instanceof RecipeError ? wordsOf(thrown) : [message];
  if (messages.length === 0) return finding("an error without a diagnostic");
  for (const each of messages) {
    if (each.length > LONGEST_MESSAGE) return finding("a message that is too long", each);
    const unclear = UNCLEAR.find(([pattern]) => pattern.test(each));
    if (unclear !== undefined) return finding(unclear[1], each);
  }
  return { outcome: "refused", message: messages[0] };
}

/** What a recipe's error says, one text a diagnostic; what steers terminals is left out where it is printed. */
function wordsOf({ diagnostics }: RecipeError): string[] {
  return diagnostics.map(({ message, found, allowed, note }) =>
    [message, found, allowed, note].filter((each) => each !== undefined).join("; ")
      .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ")
  );
}

/** The first place in the project's own code that a stack names. */
function frameOf({ stack = "" }: Error): string | undefined {
  const project = fileURLToPath(new URL("..", import.meta.url)).replaceAll("\\", "/");
  for (const [, path, line] of stack.matchAll(/file:\/\/(\/[^\s)]+?):(\d+):\d+/g)) {
    const at = decodeURIComponent(path);
    if (!at.startsWith(project) || at.includes("node_modules")) continue;
    return `${at.slice(project.length)}:${line}`;
  }
  return undefined;
}

/** Looks for numbers that are not finite. @returns where one is, or undefined */
export function findUnfit(value: unknown, path: string, seen: Set<object> = new Set()): string | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `${path} is ${value}`;
  if (typeof value !== "object" || value === null || seen.has(value)) return undefined;
  seen.add(value);
  if (ArrayBuffer.isView(value)) {
    if (!(value instanceof Float32Array || value instanceof Float64Array)) return undefined;
    const at = value.findIndex((each) => !Number.isFinite(each));
    return at < 0 ? undefined : `${path}[${at}] is ${value[at]}`;
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  for (const [key, inner] of entries) {
    const found = findUnfit(inner, `${path}.${key}`, seen);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What findings of one cause have in common. */
export function signatureOf(kind: string, { problem, error = "", message, frame = "" }: Finding): string {
  const words = problem === NONSENSE ? message.replace(/(:).*\b(NaN|Infinity|undefined)\b.*/, "$1 $2") : message;
  const plain = frame !== "" ? "" : words.split("\n")[0].replaceAll(/"[^"]*"|'[^']*'/g, "…").replaceAll(/\/\S+/g, "/…")
    .replaceAll(/-?\d+(\.\d+)?(e[+-]?\d+)?/g, "#").slice(0, 160);
  return [kind, problem, error, frame, plain].join(" | ");
}
