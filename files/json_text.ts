/**
 * JSON as Python's json module reads it, for it wrote most of what is read here: `NaN`, `Infinity` and `-Infinity` are numbers, of equal
 * keys the last one counts, numbers beyond a double are infinite. Mistakes are told by line and column, in words of our own.
 */

/** Ends reading with an error that says why. */
export type Fail = (why: string) => never;

/** How a text is read. */
export interface JsonTextOptions {
  /** Refuses objects that have a key twice, as formats do whose keys are names of tensors. */
  readonly unique?: boolean;
}

/** Deeper values are refused; Python's reader gives up at about four times that, a tokenizer.json has some ten levels. */
const MOST_DEPTH = 256;

// deno-lint-ignore no-control-regex -- JSON has none of these in its strings
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SPACE = /[ \t\n\r]*/y;
const WORD = /-?[A-Za-z]+/y;

const WORDS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["true", true],
  ["false", false],
  ["null", null],
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
]);

/**
 * The value of a JSON text. What the runtime's own reader accepts is taken from it, so that a tokenizer of many megabytes is read fast.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const fail = (why: string): never => {
 *   throw new Error(why);
 * };
 * assert.deepEqual(parseJson('{"limits": [0.0, Infinity], "text": "NaN"}', fail), { limits: [0, Infinity], text: "NaN" });
 * assert.throws(() => parseJson('{"a": 1,\n}', fail), /line 2, column 1: a key in double quotes was expected/);
 * ```
 * @param text a byte order mark before it is left out
 * @param fail told what is wrong, and where
 */
export function parseJson(text: string, fail: Fail, { unique = false }: JsonTextOptions = {}): unknown {
  const body = text.startsWith("\ufeff") ? text.slice(1) : text;
  if (!unique) {
    const value = parseFast(body);
    if (value !== undefined) return isDeep(value) ? fail(`it is nested more than ${MOST_DEPTH} deep`) : value;
  }
  return new Reader(body, fail, unique).whole();
}

/** undefined, which no JSON text stands for, where the runtime refuses it. */
function parseFast(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Level by level, as a value of an untrusted file may be deeper than the stack. */
function isDeep(value: unknown): boolean {
  let level = typeof value === "object" && value !== null ? [value as unknown] : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_DEPTH) return true;
    const next: unknown[] = [];
    for (const each of level) {
      for (const item of Array.isArray(each) ? each : Object.values(each as object)) {
        if (typeof item === "object" && item !== null) next.push(item);
      }
    }
    level = next;
  }
  return false;
}

class Reader {
  readonly #text: string;
  readonly #stop: Fail;
  readonly #unique: boolean;
  #at = 0;

  constructor(text: string, fail: Fail, unique: boolean) {
    this.#text = text;
    this.#stop = fail;
    this.#unique = unique;
  }

  whole(): unknown {
    this.#match(SPACE);
    if (this.#at === this.#text.length) this.#stop("it holds nothing but white space");
    const value = this.#value(0);
    if (this.#at < this.#text.length) this.#fail("the end was expected after the value");
    return value;
  }

  /** A value and the white space after it. */
  #value(depth: number): unknown {
    if (depth > MOST_DEPTH) this.#stop(`it is nested more than ${MOST_DEPTH} deep`);
    const value = this.#bare(depth);
    this.#match(SPACE);
    return value;
  }

  #bare(depth: number): unknown {
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#list(depth);
      case '"':
        return this.#string("a string");
    }
    const number = this.#match(NUMBER);
    if (number !== "") return Number(number);
    const begin = this.#at;
    const word = this.#match(WORD);
    if (WORDS.has(word)) return WORDS.get(word);
    this.#at = begin;
    return this.#fail("a value was expected");
  }

  #object(depth: number): unknown {
    const entries: [string, unknown][] = [];
    const keys = new Set<string>();
    this.#open();
    if (!this.#take("}")) {
      do {
        if (this.#text[this.#at] !== '"') this.#fail("a key in double quotes was expected");
        const key = this.#string("a key");
        if (this.#unique && keys.has(key)) this.#stop(`it has the key ${JSON.stringify(key.slice(0, 100))} twice`);
        keys.add(key);
        this.#match(SPACE);
        if (!this.#take(":")) this.#fail("a colon was expected after a key");
        entries.push([key, this.#value(depth + 1)]);
      } while (this.#take(","));
      if (!this.#take("}", false)) this.#fail("a comma or } was expected");
    }
    return Object.fromEntries(entries);
  }

  #list(depth: number): unknown {
    const items: unknown[] = [];
    this.#open();
    if (this.#take("]", false)) return items;
    do items.push(this.#value(depth + 1)); while (this.#take(","));
    if (!this.#take("]", false)) this.#fail("a comma or ] was expected");
    return items;
  }

  #string(what: string): string {
    const begin = this.#at++;
    const plain = this.#match(PLAIN);
    if (this.#take('"', false)) return plain;
    // Not one regular expression for all of it: that would take more stack than there is for a long text.
    while (this.#text[this.#at] === "\\") {
      this.#at += 2;
      this.#match(PLAIN);
    }
    const whole = this.#take('"', false) ? parseFast(this.#text.slice(begin, this.#at)) : undefined;
    if (typeof whole === "string") return whole;
    this.#at = begin;
    return this.#fail(`${what} in double quotes does not end, or holds a wrong escape or a line's end`);
  }

  #open(): void {
    this.#at++;
    this.#match(SPACE);
  }

  /** Whether that sign comes next; it is passed, and with it the white space behind. */
  #take(sign: string, spaceToo = true): boolean {
    if (this.#text[this.#at] !== sign) return false;
    this.#at++;
    if (spaceToo) this.#match(SPACE);
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const begin = this.#at;
    if (!pattern.test(this.#text)) return "";
    this.#at = pattern.lastIndex;
    return this.#text.slice(begin, this.#at);
  }

  #fail(expected: string): never {
    const before = this.#text.slice(0, this.#at);
    const line = before.split("\n").length;
    const place = `line ${line}, column ${this.#at - before.lastIndexOf("\n")}`;
    const found = this.#text.slice(this.#at, this.#at + 20).split("\n")[0];
    if (this.#at >= this.#text.length) this.#stop(`it is cut at its end (${place}): ${expected}`);
    const hint = /^(\/\/|\/\*|#)/.test(found) ? "; JSON has no comments" : "";
    return this.#stop(`${place}: ${expected}: found ${JSON.stringify(found)}${hint}`);
  }
}
