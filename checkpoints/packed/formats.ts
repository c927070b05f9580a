/** Formats of packed layers by name. */
import { InputError } from "../../files/input_error.ts";
import type { JsonRecord } from "../../files/json.ts";
import type { EncodedLayer, LayerFormat, LayerHeader } from "./format.ts";
import * as known from "./format_list.ts";

/** All formats. */
export const FORMATS: readonly LayerFormat[] = Object.values(known);

/** Came first, and is not named in files. */
const UNNAMED = "planes";

/** Which formats are looked among; default: all there are. */
export interface FormatOptions {
  readonly formats?: readonly LayerFormat[];
}

/** Format and header of a layer, without its tensors. */
export interface LayerInfo {
  readonly format: string;
  readonly header: LayerHeader;
}

/**
 * The format of that name.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(formatOf("planes").name, "planes");
 * assert.throws(() => formatOf("x"), /format "x": this version knows .*planes.*; use a newer pbs2p/);
 * ```
 * @throws {InputError} when there is none
 */
export function formatOf(name: string, formats: readonly LayerFormat[] = FORMATS): LayerFormat {
  const found = formats.find((format) => format.name === name);
  if (found !== undefined) return found;
  const known = formats.map((format) => format.name).join(", ");
  throw new InputError(`Cannot read layers of format "${name}": this version knows ${known}; use a newer pbs2p`);
}

/**
 * The format that codes the planes of another one; undefined where there is none.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(codingOf("planes")?.name, "planes-entropy");
 * // Its codes are entropy-coded as they are.
 * assert.equal(codingOf("coded"), undefined);
 * ```
 */
export function codingOf(name: string, formats: readonly LayerFormat[] = FORMATS): LayerFormat | undefined {
  return formats.find(({ coding }) => coding?.of === name);
}

/**
 * A layer with its planes entropy-coded, each that takes fewer bytes so; the same layer where none does.
 *
 * @param layer as its format packs it
 */
export function codePlanes(layer: EncodedLayer, formats: readonly LayerFormat[] = FORMATS): EncodedLayer {
  const { coding } = codingOf(layer.format, formats) ?? {}, coded = coding?.code(layer);
  return coded && Object.keys(coding?.uncoded(coded.header) ?? {}).length > 0 ? coded : layer;
}

/**
 * A layer's format and header as one JSON object, its keys sorted: files do not depend on how a header was made. Bit planes came first
 * and are not named.
 */
export function toRecord({ format, header }: LayerInfo): JsonRecord {
  const record = format === UNNAMED ? header : { format, ...header };
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1));
}

/**
 * Reads what `toRecord` made.
 *
 * @param record untrusted
 * @throws {InputError} when the format is unknown
 * @throws {z.ZodError} when it is no header of its format
 */
export function fromRecord(
  record: Readonly<Record<string, unknown>>,
  formats: readonly LayerFormat[] = FORMATS,
): LayerInfo {
  const { format: name = UNNAMED, ...rest } = record;
  const format = formatOf(typeof name === "string" ? name : JSON.stringify(name), formats);
  return { format: format.name, header: format.header.parse(rest) };
}
