/** Reads the parts of a tokenizer.json strictly: what is not known to decide ids as it does in the reference is refused. */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { found, shown } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import { isObject } from "../files/json.ts";

/** What to do about a tokenizer that is refused. */
const REMEDY = "give windows of token ids made with its own library in place of texts";

/** The error of a definition that is malformed. */
export function malformed(what: string): InputError {
  return new InputError(`Cannot open the tokenizer: ${what}`);
}

/** The error of a definition that is sound, but whose ids would not be the reference's. */
export function inexact(path: string, what: string): InputError {
  return malformed(`${path} is of a kind that cannot be reproduced exactly: ${what}; ${REMEDY}`);
}

/** One object of a tokenizer.json; every accessor names the place in its error. */
export class Part {
  /** Where it stands, such as `pre_tokenizer.pretokenizers[0]`. */
  readonly path: string;
  readonly #values: JsonObject;

  /** @throws {InputError} when the value is no object */
  constructor(value: unknown, path: string) {
    if (!isObject(value)) throw malformed(`${path} must be an object: ${found(value)}`);
    this.path = path;
    this.#values = value;
  }

  /** Refuses fields that nobody here knows. @throws {InputError} */
  only(known: readonly string[]): this {
    const stray = Object.keys(this.#values).find((name) => name !== "type" && !known.includes(name));
    if (stray !== undefined) throw inexact(this.path, `the field ${shown(stray)}`);
    return this;
  }

  get(name: string): unknown {
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  get type(): unknown {
    return this.get("type");
  }

  /** `otherwise` stands for an absent or null field; without it the field must be there. */
  flag(name: string, otherwise?: boolean): boolean {
    const value = this.get(name) ?? otherwise;
    if (typeof value !== "boolean") throw this.#wrong(name, "true or false");
    return value;
  }

  text(name: string, otherwise?: string): string {
    const value = this.get(name) ?? otherwise;
    if (typeof value !== "string" || !value.isWellFormed()) throw this.#wrong(name, "a text");
    return value;
  }

  /** A whole number from 0. */
  whole(name: string, otherwise?: number): number {
    const value = this.get(name) ?? otherwise;
    if (!isId(value)) throw this.#wrong(name, `a whole number from 0 to ${GREATEST_ID}`);
    return value;
  }

  one<T extends string>(name: string, of: readonly T[], otherwise?: T): T {
    const value = this.get(name) ?? otherwise;
    const found = of.find((option) => option === value);
    if (found === undefined) throw this.#wrong(name, `one of ${of.join(", ")}`);
    return found;
  }

  list(name: string, otherwise?: readonly unknown[]): readonly unknown[] {
    const value = this.get(name) ?? otherwise;
    if (!Array.isArray(value)) throw this.#wrong(name, "a list");
    return value;
  }

  /** A list of objects. */
  parts(name: string, otherwise?: readonly unknown[]): readonly Part[] {
    return this.list(name, otherwise).map((value, i) => new Part(value, `${this.path}.${name}[${i}]`));
  }

  part(name: string): Part {
    return new Part(this.get(name), `${this.path}.${name}`);
  }

  /** The part under a name, or undefined where it is null or absent. */
  optional(name: string): Part | undefined {
    return this.get(name) === undefined || this.get(name) === null ? undefined : this.part(name);
  }

  #wrong(name: string, wanted: string): InputError {
    return malformed(`${this.path}.${name} must be ${wanted}: ${found(this.get(name))}`);
  }
}

/** Ids beyond are no tokenizer's, and two must fit into one number. */
export const GREATEST_ID = 2 ** 26 - 1;

/** Whether a value can be a token's id. */
export function isId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= GREATEST_ID;
}
