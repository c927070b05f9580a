/** The fields of a GGUF header in their order, from untrusted bytes: every length is held against the file before anything is made of it. */
import type { ByteSource } from "../files/byte_source.ts";
import type { Fail } from "../files/json_text.ts";
import { quote } from "../files/what_is_it.ts";

/** One tensor as the header describes it. */
export interface RawTensor {
  readonly name: string;
  /** Innermost dimension first. */
  readonly shape: readonly number[];
  /** Number of its stored type. */
  readonly type: number;
  /** From the start of the tensors' bytes. */
  readonly offset: number;
}

/** A header, its values not yet checked against each other. */
export interface RawHeader {
  /** 64-bit integers as numbers. */
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly tensors: readonly RawTensor[];
  /** Bytes of all this. */
  readonly bytes: number;
}

/** Read at first, and doubled until the header is whole. */
const FIRST_BYTES = 1 << 20;
/** The largest headers hold a tokenizer of 20 MB. */
const MOST_HEADER_BYTES = 2 ** 29;
const MOST_NAME_BYTES = 65_535;
const MOST_TEXT_BYTES = 2 ** 26;
const MOST_ITEMS = 2 ** 24;
const MOST_DIMENSIONS = 4;
const MOST_NESTING = 3;

/** Numbers of the types of metadata values. */
const STRING = 8;
const ARRAY = 9;

/** Least bytes of a metadata entry and of a tensor's description. */
const LEAST = { entry: 13, tensor: 24 };

/** Thrown when the bytes at hand end before the header does, and the file does not. */
class NeedsMore extends Error {}

/** Values of fixed size: their bytes, and how one is read. */
const SCALARS: ReadonlyMap<number, readonly [number, (view: DataView, at: number) => number | boolean]> = new Map([
  [0, [1, (view, at) => view.getUint8(at)]],
  [1, [1, (view, at) => view.getInt8(at)]],
  [2, [2, (view, at) => view.getUint16(at, true)]],
  [3, [2, (view, at) => view.getInt16(at, true)]],
  [4, [4, (view, at) => view.getUint32(at, true)]],
  [5, [4, (view, at) => view.getInt32(at, true)]],
  [6, [4, (view, at) => view.getFloat32(at, true)]],
  [7, [1, (view, at) => view.getUint8(at) !== 0]],
  [10, [8, (view, at) => Number(view.getBigUint64(at, true))]],
  [11, [8, (view, at) => Number(view.getBigInt64(at, true))]],
  [12, [8, (view, at) => view.getFloat64(at, true)]],
]);

/**
 * Reads the header of a GGUF file of version 1 to 3.
 *
 * @param fail told what is wrong
 */
export async function readGgufHeader(source: ByteSource, fail: Fail): Promise<RawHeader> {
  for (let most = FIRST_BYTES;; most *= 2) {
    const bytes = await source.read(0, Math.min(most, source.size));
    try {
      return new Reader(bytes, source.size, fail).header();
    } catch (error) {
      if (!(error instanceof NeedsMore)) throw error;
    }
  }
}

class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #size: number;
  readonly #fail: Fail;
  readonly #decoder = new TextDecoder();
  #at = 4;
  /** Bytes of a length: 4 in version 1. */
  #wide = true;

  /** @param size of the whole file, of which `bytes` is the beginning */
  constructor(bytes: Uint8Array<ArrayBuffer>, size: number, fail: Fail) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
    this.#size = size;
    this.#fail = fail;
  }

  header(): RawHeader {
    const version = this.#word("its version");
    if (version >>> 24 !== 0 && (version & 0xffffff) === 0) this.#fail("it is big-endian; convert it to little-endian");
    if (version < 1 || version > 3) this.#fail(`its version must be 1 to 3: current value is ${version}`);
    this.#wide = version > 1;
    const count = this.#count("tensors", LEAST.tensor);
    const entries = this.#count("metadata entries", LEAST.entry);
    const metadata = new Map<string, unknown>();
    for (let i = 0; i < entries; i++) {
      const key = this.#text("a metadata key", MOST_NAME_BYTES);
      if (metadata.has(key)) this.#fail(`metadata ${quote(key)} occurs twice`);
      metadata.set(key, this.#value(this.#word(`the type of ${quote(key)}`), quote(key), 0));
    }
    const tensors = Array.from({ length: count }, () => this.#tensor());
    return { metadata, tensors, bytes: this.#at };
  }

  #tensor(): RawTensor {
    const name = this.#text("a tensor's name", MOST_NAME_BYTES);
    const what = `tensor ${quote(name)}`;
    const dimensions = this.#word(what);
    if (dimensions > MOST_DIMENSIONS) {
      this.#fail(`${what} may have ${MOST_DIMENSIONS} dimensions: current value is ${dimensions}`);
    }
    const shape = Array.from({ length: dimensions }, () => this.#length(what));
    return { name, shape, type: this.#word(what), offset: this.#long(what) };
  }

  #value(type: number, what: string, nesting: number): unknown {
    if (type === STRING) return this.#text(what, MOST_TEXT_BYTES);
    if (type === ARRAY) return this.#array(what, nesting);
    const [bytes, read] = SCALARS.get(type) ??
      this.#fail(`metadata ${what} has no known type: current value is ${type}`);
    return read(this.#view, this.#take(bytes, what));
  }

  #array(what: string, nesting: number): unknown[] {
    if (nesting === MOST_NESTING) this.#fail(`metadata ${what} is nested more than ${MOST_NESTING} deep`);
    const type = this.#word(what);
    const least = type === STRING ? 8 : type === ARRAY ? 12 : SCALARS.get(type)?.[0] ?? 1;
    const count = this.#count(`items of ${what}`, this.#wide ? least : Math.min(least, 4));
    if (count > MOST_ITEMS) this.#fail(`metadata ${what} may have ${MOST_ITEMS} items: it has ${count}`);
    const items: unknown[] = [];
    for (let i = 0; i < count; i++) items.push(this.#value(type, what, nesting + 1));
    return items;
  }

  /** A number of things, of which each takes at least so many bytes of what is left of the file. */
  #count(what: string, least: number): number {
    const count = this.#length(what);
    const left = this.#size - this.#at;
    if (count * least <= left) return count;
    return this.#fail(
      `it promises ${count} ${what}: the file has only ${left} bytes after that, and is damaged or truncated`,
    );
  }

  #text(what: string, most: number): string {
    const length = this.#length(what);
    if (length > most) this.#fail(`${what} may have ${most} bytes: it has ${length}`);
    const at = this.#take(length, what);
    return this.#decoder.decode(this.#bytes.subarray(at, at + length));
  }

  #length(what: string): number {
    return this.#wide ? this.#long(what) : this.#word(what);
  }

  #word(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  #long(what: string): number {
    return Number(this.#view.getBigUint64(this.#take(8, what), true));
  }

  /** Advances over `count` bytes. @returns where they begin */
  #take(count: number, what: string): number {
    const at = this.#at;
    const end = at + count;
    if (end > this.#size) {
      this.#fail(
        `its header ends within ${what}: the file has ${this.#size} bytes and is truncated; download it again`,
      );
    }
    if (end > MOST_HEADER_BYTES) this.#fail(`its header may have ${MOST_HEADER_BYTES} bytes`);
    if (end > this.#bytes.length) throw new NeedsMore();
    this.#at = end;
    return at;
  }
}
