/**
 * Reads the subset of Python's pickle format that PyTorch writes state dicts in, as plain data.
 *
 * A pickle is a program for a small stack machine, and a full one can call anything. Here only instructions that build
 * data are known; what a global name or a call means is decided by the caller's rules, and nothing is ever looked up or
 * run beside them.
 */
import { InputError } from "../files/input_error.ts";
import type { Fail } from "../files/json_text.ts";

/** What a pickle may refer to. All functions throw an error's reason through `fail` when they do not know it. */
export interface PickleRules {
  /** For messages: the file that holds the pickle. */
  readonly label: string;
  /** What a global name such as `collections.OrderedDict` stands for. */
  global(name: string, fail: Fail): unknown;
  /** The result of calling what `global` returned. */
  call(callee: unknown, inputs: readonly unknown[], fail: Fail): unknown;
  /** What lies outside of the pickle under that id. */
  persistent(id: unknown, fail: Fail): unknown;
}

/** Instructions by their names in Python's pickletools. */
const OP = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  SHORT_BINUNICODE: 0x8c,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
} as const;

const NEWLINE = 0x0a;
/** Lists and dictionaries take some hundred bytes of memory for one byte of the pickle; a large model has some 100 000. */
const MOST_CONTAINERS = 5_000_000;
/** Protocols whose instructions are known here; PyTorch writes 2. */
const PROTOCOLS = { least: 2, most: 5 };

/**
 * Reads one pickle.
 *
 * Tuples and lists become arrays, dictionaries maps, integers numbers. The attributes that BUILD adds to a dictionary
 * are dropped, as a state dict has only notes on versions there.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const rules: PickleRules = {
 *   label: "x.bin",
 *   global: (name, fail) => fail(`${name} is not allowed`),
 *   call: (_callee, _inputs, fail) => fail("calls are not allowed"),
 *   persistent: (_id, fail) => fail("ids are not allowed"),
 * };
 * assert.deepEqual(unpickle(Uint8Array.of(0x80, 2, 0x4b, 7, 0x4e, 0x86, 0x2e), rules), [7, null]);
 * assert.throws(() => unpickle(new TextEncoder().encode("cos\nsystem\n."), rules), /os\.system is not allowed/);
 * ```
 * Format: https://docs.python.org/3/library/pickletools.html and the comments in CPython's `Lib/pickletools.py`.
 * @param bytes the whole pickle; its length bounds time and memory
 * @throws {InputError} when it is cut or malformed, or asks for anything that the rules refuse
 */
export function unpickle(bytes: Uint8Array, rules: PickleRules): unknown {
  return new Machine(bytes, rules).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rules: PickleRules;
  readonly #stack: unknown[] = [];
  /** Heights of the stack at which marks were set. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, unknown>();
  #at = 0;
  #containers = 0;

  constructor(bytes: Uint8Array, rules: PickleRules) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#rules = rules;
  }

  run(): unknown {
    for (;;) {
      const op = this.#view.getUint8(this.#take(1));
      if (op === OP.STOP) return this.#pop();
      this.#step(op);
    }
  }

  #step(op: number): void {
    const { global, call, persistent } = this.#rules;
    switch (op) {
      case OP.PROTO: {
        const protocol = this.#unsigned(1);
        if (protocol < PROTOCOLS.least || protocol > PROTOCOLS.most) {
          this.#fail(`its protocol must be ${PROTOCOLS.least} to ${PROTOCOLS.most}: current value is ${protocol}`);
        }
        return;
      }
      case OP.FRAME:
        this.#take(8);
        return;
      case OP.MARK:
        this.#marks.push(this.#stack.length);
        return;
      case OP.NONE:
        return this.#push(null);
      case OP.NEWTRUE:
        return this.#push(true);
      case OP.NEWFALSE:
        return this.#push(false);
      case OP.BININT:
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case OP.BININT1:
        return this.#push(this.#unsigned(1));
      case OP.BININT2:
        return this.#push(this.#unsigned(2));
      case OP.LONG1:
        return this.#push(this.#long(this.#unsigned(1)));
      case OP.BINFLOAT:
        return this.#push(this.#view.getFloat64(this.#take(8)));
      case OP.BINUNICODE:
        return this.#push(this.#text(this.#unsigned(4)));
      case OP.SHORT_BINUNICODE:
        return this.#push(this.#text(this.#unsigned(1)));
      case OP.EMPTY_TUPLE:
      case OP.EMPTY_LIST:
        return this.#push(this.#contain([]));
      case OP.EMPTY_DICT:
        return this.#push(this.#contain(new Map()));
      case OP.TUPLE:
        return this.#push(this.#contain(this.#popMarked()));
      case OP.TUPLE1:
      case OP.TUPLE2:
      case OP.TUPLE3:
        return this.#push(this.#contain(this.#popSome(op - OP.TUPLE1 + 1)));
      case OP.APPEND:
        return this.#append(this.#popSome(1));
      case OP.APPENDS:
        return this.#append(this.#popMarked());
      case OP.SETITEM:
        return this.#setItems(this.#popSome(2));
      case OP.SETITEMS:
        return this.#setItems(this.#popMarked());
      case OP.BINPUT:
        return this.#remember(this.#unsigned(1));
      case OP.LONG_BINPUT:
        return this.#remember(this.#unsigned(4));
      case OP.MEMOIZE:
        return this.#remember(this.#memo.size);
      case OP.BINGET:
        return this.#push(this.#recall(this.#unsigned(1)));
      case OP.LONG_BINGET:
        return this.#push(this.#recall(this.#unsigned(4)));
      case OP.GLOBAL:
        return this.#push(global(`${this.#line()}.${this.#line()}`, this.#fail));
      case OP.STACK_GLOBAL: {
        const names = this.#popSome(2);
        if (!names.every((name) => typeof name === "string")) this.#fail("a global name is not text");
        return this.#push(global(names.join("."), this.#fail));
      }
      case OP.REDUCE: {
        const [callee, inputs] = this.#popSome(2);
        if (!Array.isArray(inputs)) this.#fail("a call has no tuple of inputs");
        return this.#push(this.#contain(call(callee, inputs, this.#fail)));
      }
      case OP.BINPERSID:
        return this.#push(persistent(this.#pop(), this.#fail));
      case OP.BUILD:
        this.#pop();
        if (!(this.#top() instanceof Map)) this.#fail("it sets attributes of something other than a dictionary");
        return;
      default:
        this.#fail(`instruction 0x${op.toString(16).padStart(2, "0")} is none that a state dict needs`);
    }
  }

  /** Advances over `count` bytes. @returns where they begin */
  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) this.#fail(`it is cut at its end`);
    this.#at = at + count;
    return at;
  }

  #unsigned(bytes: 1 | 2 | 4): number {
    const at = this.#take(bytes);
    return bytes === 1
      ? this.#view.getUint8(at)
      : bytes === 2
      ? this.#view.getUint16(at, true)
      : this.#view.getUint32(at, true);
  }

  /** An integer in two's complement, its least byte first. */
  #long(bytes: number): number {
    const at = this.#take(bytes);
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) value = value << 8n | BigInt(this.#bytes[at + i]);
    const number = Number(BigInt.asIntN(8 * bytes, value));
    return Number.isSafeInteger(number) ? number : this.#fail("it has an integer of more than 53 bits");
  }

  #text(bytes: number): string {
    const at = this.#take(bytes);
    return new TextDecoder().decode(this.#bytes.subarray(at, at + bytes));
  }

  #line(): string {
    const end = this.#bytes.indexOf(NEWLINE, this.#at);
    if (end < 0) this.#fail("it is cut within a name");
    const text = this.#text(end - this.#at);
    this.#at = end + 1;
    return text;
  }

  #contain<T>(container: T): T {
    if (++this.#containers > MOST_CONTAINERS) this.#fail(`it may have ${MOST_CONTAINERS} lists and dictionaries`);
    return container;
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(): unknown {
    return this.#popSome(1)[0];
  }

  #popSome(count: number): unknown[] {
    const floor = this.#marks.at(-1) ?? 0;
    if (this.#stack.length - count < floor) this.#fail("it takes more from its stack than there is");
    return this.#stack.splice(this.#stack.length - count);
  }

  #popMarked(): unknown[] {
    const mark = this.#marks.pop();
    return mark === undefined ? this.#fail("it uses a mark that was not set") : this.#stack.splice(mark);
  }

  #top(): unknown {
    return this.#stack.length > 0 ? this.#stack.at(-1) : this.#fail("it takes more from its stack than there is");
  }

  #append(items: readonly unknown[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) this.#fail("it appends to something other than a list");
    for (const item of items) list.push(item);
  }

  #setItems(items: readonly unknown[]): void {
    const dictionary = this.#top();
    if (!(dictionary instanceof Map) || items.length % 2 !== 0) {
      this.#fail("it sets items of something other than a dictionary");
    }
    for (let i = 0; i < items.length; i += 2) dictionary.set(items[i], items[i + 1]);
  }

  #remember(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): unknown {
    return this.#memo.has(index) ? this.#memo.get(index) : this.#fail(`it recalls value ${index}, which it never kept`);
  }

  readonly #fail: Fail = (why) => {
    throw new InputError(`Cannot read ${this.#rules.label} as a PyTorch checkpoint: in its pickle, ${why}`);
  };
}
