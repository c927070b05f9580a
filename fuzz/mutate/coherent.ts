/** Changes of a safetensors header after which its sizes still fit its file, so that readers look further. */
import type { Draw } from "../draw.ts";
import { spoilJson } from "./json.ts";
import { parseShallow } from "./json_tree.ts";

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: number[];
}

type Header = Record<string, Entry> & { __metadata__?: Record<string, string> };

/** Types of one width. */
const ALIKE: readonly (readonly string[])[] = [
  ["F64", "I64", "U64"],
  ["F32", "I32", "U32"],
  ["F16", "BF16", "I16", "U16"],
  ["I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"],
];

type Change = (header: Header, name: string, draw: Draw, names: readonly string[]) => string | undefined;

const CHANGES: readonly Change[] = [
  (header, name, draw) => {
    const alike = ALIKE.find((types) => types.includes(header[name].dtype));
    if (alike === undefined) return undefined;
    header[name].dtype = draw.pick(alike);
    return `${name} is of type ${header[name].dtype}`;
  },
  (header, name, draw) => {
    const { shape } = header[name];
    const size = shape.reduce((product, length) => product * length, 1);
    header[name].shape = draw.pick([[...shape].reverse(), [size], [1, ...shape], [...shape, 1], [size, 1], [1, size]]);
    return `${name} has shape [${header[name].shape}]`;
  },
  (header, name, draw, names) => {
    const other = draw.pick(names);
    [header[name], header[other]] = [header[other], header[name]];
    return `${name} and ${other} change places`;
  },
  (header, name, draw, names) => {
    const other = draw.once(2) ? draw.pick(names) : `${name}${draw.pick([".weight", "x", ".0", ""])}`;
    const entry = header[name];
    delete header[name];
    header[other] = entry;
    return `${name} is called ${other}`;
  },
  (header, name, draw) => {
    // Half as many rows, the rest of the bytes unused.
    const [begin, end] = header[name].data_offsets;
    const shape = [...header[name].shape];
    if (shape.length === 0 || shape[0] % 2 !== 0) return undefined;
    shape[0] = draw.pick([shape[0] / 2, 0]);
    const share = shape[0] / header[name].shape[0];
    header[name] = { ...header[name], shape, data_offsets: [begin, begin + (end - begin) * share] };
    return `${name} has ${shape[0]} rows`;
  },
  spoilMetadata,
  spoilMetadata,
  spoilMetadata,
];

/** Spoils a header; undefined where it is spoilt too much already, or nothing fits. */
export function spoilCoherently(
  text: string,
  draw: Draw,
): { readonly text: string; readonly change: string } | undefined {
  const header = (parseShallow(text) ?? {}) as Header;
  const names = Object.keys(header).filter((name) => isEntry(header[name]));
  if (names.length === 0) return undefined;
  const change = draw.pick(CHANGES)(header, draw.pick(names), draw, names);
  return change === undefined ? undefined : { text: JSON.stringify(header), change };
}

/** JSON within the metadata, of which packed models have some; not always. */
function spoilMetadata(header: Header, _name: string, draw: Draw): string | undefined {
  const metadata: Record<string, unknown> = { ...header.__metadata__ };
  const keys = Object.keys(metadata).filter((key) => /^[[{]/.test(textOf(metadata[key])));
  if (keys.length === 0) return undefined;
  const key = draw.pick(keys);
  const spoilt = spoilJson(textOf(metadata[key]), draw);
  if (spoilt === undefined) return undefined;
  header.__metadata__ = { ...header.__metadata__, [key]: spoilt.text };
  return `${key}: ${spoilt.change}`;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function isEntry(value: unknown): value is Entry {
  const { shape, data_offsets: offsets } = (value ?? {}) as Partial<Entry>;
  return Array.isArray(shape) && Array.isArray(offsets) && [...shape, ...offsets].every(Number.isSafeInteger);
}
