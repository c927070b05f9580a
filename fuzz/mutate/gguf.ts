/** Changes of a GGUF file's counts, types, values, shapes and offsets, each where it stands. */
import type { Draw } from "../draw.ts";
import type { Mutator } from "./mutator.ts";

/** A number in the file. */
interface Field {
  readonly at: number;
  readonly kind: "u32" | "u64" | "f32";
  readonly what: string;
}

/** Bytes of scalar values by type. */
const SCALARS: readonly (number | undefined)[] = [1, 1, 2, 2, 4, 4, 4, 1, undefined, undefined, 8, 8, 8];
const FLOAT = 6, STRING = 8, ARRAY = 9;

const INTEGERS = [
  0n,
  1n,
  2n,
  3n,
  7n,
  15n,
  16n,
  17n,
  31n,
  64n,
  255n,
  300n,
  1n << 16n,
  (1n << 31n) - 1n,
  1n << 31n,
] as const;
const WIDE = [
  (1n << 32n) - 1n,
  1n << 32n,
  1n << 53n,
  1n << 62n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
] as const;
const FLOATS = [0, -0, -1, 0.5, 1e-45, 1e-30, 1e30, 3.4e38, Infinity, -Infinity, NaN] as const;

/** Overwrites one field. */
export const mutateGguf: Mutator = ({ bytes, draw }) => {
  let fields: Field[];
  try {
    fields = fieldsOf(bytes);
  } catch (error) {
    // An earlier change has spoilt it so that it cannot be followed.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  const { at, kind, what } = draw.pick(fields);
  const out = bytes.slice();
  const view = new DataView(out.buffer);
  if (kind === "f32") {
    const value = draw.pick(FLOATS);
    view.setFloat32(at, value, true);
    return { bytes: out, change: `${what} becomes ${value}` };
  }
  const before = kind === "u32" ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true);
  const value = chooseInteger(before, kind, draw);
  if (kind === "u32") view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
  else view.setBigUint64(at, BigInt.asUintN(64, value), true);
  return { bytes: out, change: `${what} becomes ${value} instead of ${before}` };
};

function chooseInteger(before: bigint, kind: Field["kind"], draw: Draw): bigint {
  const near = [before + 1n, before - 1n, before * 2n, before / 2n, -before];
  return draw.pick(kind === "u32" ? [...near, ...INTEGERS] : [...near, ...INTEGERS, ...WIDE]);
}

/** All fields, those of long arrays left out. @throws {RangeError} where the file cannot be followed */
function fieldsOf(bytes: Uint8Array): Field[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Field[] = [];
  let at = 4;
  const u32 = (what: string) => {
    fields.push({ at, kind: "u32", what });
    return view.getUint32((at += 4) - 4, true);
  };
  const u64 = (what: string, told = true) => {
    if (told) fields.push({ at, kind: "u64", what });
    return Number(view.getBigUint64((at += 8) - 8, true));
  };
  const text = (what: string, told = true) => {
    const length = u64(`length of ${what}`, told);
    if (length > bytes.length - at) throw new RangeError("Cannot follow a text beyond the end");
    return new TextDecoder().decode(bytes.subarray(at, at += length));
  };
  const value = (type: number, what: string, told: boolean) => {
    if (type === STRING) return void text(what, told);
    const width = SCALARS[type];
    if (width === undefined) throw new RangeError(`Cannot follow a value of type ${type}`);
    if (told && (width === 4 || width === 8)) {
      fields.push({ at, kind: type === FLOAT ? "f32" : width === 4 ? "u32" : "u64", what });
    }
    at += width;
    // What is passed over unread would else go on for as long as a spoilt count says.
    if (at > bytes.length) throw new RangeError("Cannot follow a value beyond the end");
  };
  u32("version");
  const tensors = u64("count of tensors");
  const pairs = u64("count of metadata");
  for (let pair = 0; pair < pairs; pair++) {
    const key = text("a key");
    const type = u32(`type of ${key}`);
    if (type !== ARRAY) value(type, key, true);
    else {
      const inner = u32(`inner type of ${key}`);
      const length = u64(`length of ${key}`);
      for (let item = 0; item < length; item++) value(inner, `${key}[${item}]`, item < 3);
    }
  }
  for (let tensor = 0; tensor < tensors; tensor++) {
    const name = text("a tensor's name");
    const dimensions = u32(`dimensions of ${name}`);
    for (let dimension = 0; dimension < dimensions; dimension++) u64(`size ${dimension} of ${name}`);
    u32(`type of ${name}`);
    u64(`offset of ${name}`);
  }
  return fields;
}
