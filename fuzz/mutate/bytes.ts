/** Changes of bytes, whatever they mean. */
import type { Draw } from "../draw.ts";
import { join, type Material, type Mutator } from "./mutator.ts";

/** Longest stretch that is inserted, removed or repeated. */
const LONGEST = 64;

/** Files begin with what says how to read the rest: half of all changes are made within so many bytes. */
const FRONT = 512;

/** All of them. */
export const byteMutators: readonly Mutator[] = [
  spotted("flip a bit", (byte, draw) => byte ^ (1 << draw.below(8))),
  spotted("set to 0", () => 0),
  spotted("set to 255", () => 255),
  spotted("set at random", (_byte, draw) => draw.below(256)),
  ({ bytes, draw }) => {
    const [at, length] = stretch(bytes, draw);
    const inserted = Uint8Array.from({ length }, () => draw.below(256));
    return { bytes: join(bytes.subarray(0, at), inserted, bytes.subarray(at)), change: `insert ${length} at ${at}` };
  },
  ({ bytes, draw }) => {
    const [at, length] = stretch(bytes, draw);
    const kept = join(bytes.subarray(0, at), bytes.subarray(at + length));
    return { bytes: kept, change: `delete ${length} at ${at}` };
  },
  ({ bytes, draw }) => {
    const [at, length] = stretch(bytes, draw);
    const end = Math.min(at + length, bytes.length);
    return { bytes: join(bytes.subarray(0, end), bytes.subarray(at)), change: `repeat ${end - at} from ${at}` };
  },
  ({ bytes, draw }) => {
    const length = draw.below(bytes.length);
    return { bytes: bytes.slice(0, length), change: `cut to ${length}` };
  },
  ({ bytes, draw, other }) => {
    const [here, there] = [place(bytes, draw), place(other, draw)];
    const spliced = join(bytes.subarray(0, here), other.subarray(there));
    return { bytes: spliced, change: `go on from ${here} with another file from ${there}` };
  },
  ({ bytes, draw }) => {
    const [at, length] = stretch(bytes, draw);
    return { bytes: bytes.slice().fill(0, at, at + length), change: `zero ${length} at ${at}` };
  },
  overwriteField,
  overwriteField,
];

/** A place in a file, more often in its front. */
function place({ length }: Uint8Array, draw: Draw): number {
  return draw.below(draw.once(2) ? Math.min(length, FRONT) : length);
}

function stretch(bytes: Uint8Array, draw: Draw): [at: number, length: number] {
  return [place(bytes, draw), draw.between(1, LONGEST)];
}

function spotted(change: string, value: (byte: number, draw: Draw) => number): Mutator {
  return ({ bytes, draw }) => {
    if (bytes.length === 0) return undefined;
    const at = place(bytes, draw);
    const out = bytes.slice();
    out[at] = value(out[at], draw);
    return { bytes: out, change: `${change} at ${at}` };
  };
}

/** Puts a number that is often one too many, too large or negative where a count, length or offset seems to stand. */
function overwriteField({ bytes, draw }: Material) {
  const width = draw.pick([2, 4, 4, 8, 8] as const);
  if (bytes.length < width) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const valueAt = (at: number) =>
    width === 2 ? view.getUint16(at, true) : width === 4 ? view.getUint32(at, true) : view.getBigUint64(at, true);
  let at = Math.min(place(bytes, draw), bytes.length - width);
  // Counts, lengths and offsets are small numbers with zeros behind them.
  for (let tries = 0; tries < 200; tries++, at = Math.min(place(bytes, draw), bytes.length - width)) {
    const value = Number(valueAt(at));
    if (value > 0 && value <= 2 * bytes.length) break;
  }
  const before = BigInt(valueAt(at));
  const value = draw.pick([
    0n,
    1n,
    -1n,
    before + 1n,
    before - 1n,
    before * 2n,
    -before,
    BigInt(bytes.length),
    BigInt(bytes.length - 1),
    BigInt(bytes.length + 1),
    BigInt(bytes.length - at),
    2n ** 16n,
    2n ** 31n,
    2n ** 31n - 1n,
    2n ** 32n - 1n,
    2n ** 53n,
    2n ** 63n,
    2n ** 63n - 1n,
    BigInt(draw.below(256)),
  ]);
  const out = bytes.slice();
  const target = new DataView(out.buffer);
  if (width === 8) target.setBigUint64(at, BigInt.asUintN(64, value), true);
  else if (width === 4) target.setUint32(at, Number(BigInt.asUintN(32, value)), true);
  else target.setUint16(at, Number(BigInt.asUintN(16, value)), true);
  return { bytes: out, change: `${width} bytes at ${at}: ${before} becomes ${value}` };
}
