/** Kinds whose readers have the faults that the fuzzer must find, and one that has none. */
import { join } from "node:path";
import { InputError } from "../files/input_error.ts";
import type { Kind } from "./kind.ts";

/** A kind of one small text whose reader does something wrong once the text is spoilt. */
function planted(name: string, spoilt: (folder: string, seen: (what: string, value: unknown) => void) => void): Kind {
  return {
    name,
    async make(folder) {
      await Deno.mkdir(join(folder, "text"));
      await Deno.writeTextFile(join(folder, "text", "text.txt"), "sound\n".repeat(20));
      return [{ name: "text", targets: [{ path: "text.txt", syntax: "bytes" }] }];
    },
    async read(folder, _sample, seen) {
      const text = await Deno.readTextFile(join(folder, "text.txt"));
      if (text !== "sound\n".repeat(20)) spoilt(folder, seen);
    },
  };
}

/** An error of the house whose message was not cleaned on its way. */
const refuse = (message: string) => () => {
  throw Object.assign(new InputError("planted"), { message });
};

/** Problems by the kind that has them; a kind without a problem refuses clearly. */
export const PROBLEMS: Readonly<Record<string, RegExp | undefined>> = {
  clear: undefined,
  crash: /^a crash$/,
  hang: /^a hang$/,
  memory: /^memory grew too much$/,
  heap: /^memory/,
  "type-error": /^TypeError instead of a clear error$/,
  infinite: /^nonsense was read/,
  stray: /^a rejection that nobody waits for$/,
  outside: /outside of the case's folder$/,
  beside: /outside of the case's folder$/,
  lines: /several lines/,
  long: /too long/,
  parser: /JSON\.parse/,
  escape: /control characters/,
};

const later: unknown[] = [];

/** All of them. */
export const plantedKinds: readonly Kind[] = [
  planted("clear", refuse("Cannot read text.txt: it is spoilt; give another")),
  planted("crash", () => Deno.exit(3)),
  planted("hang", () => {
    for (;;);
  }),
  planted("memory", () => {
    for (let size = 0; size < 64; size++) later.push(new Uint8Array(2 ** 25).fill(1));
    for (;;);
  }),
  planted("heap", () => {
    for (;;) later.push(Array.from({ length: 1000 }, () => ({})));
  }),
  planted("type-error", () => {
    throw new TypeError("Cannot read properties of null");
  }),
  planted("infinite", (_folder, seen) => seen("weights", { q_proj: Float32Array.of(1, NaN) })),
  planted("stray", () => void Promise.reject(new TypeError("nobody waits"))),
  planted("outside", (folder) => Deno.writeTextFileSync(join(folder, "..", "..", "..", "..", "outside.txt"), "x")),
  planted("beside", (folder) => Deno.writeTextFileSync(join(folder, "..", "beside.txt"), "x")),
  planted("lines", refuse("Cannot read\ntext.txt")),
  planted("long", refuse("x".repeat(601))),
  planted("parser", refuse("Cannot read text.txt: Unexpected token 'x'")),
  planted("escape", refuse("Cannot read \u001b[31mtext.txt")),
];
