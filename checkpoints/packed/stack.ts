/**
 * Stacks: layers of many rows, cut into strips of rows that were quantized by themselves. Each strip is a layer of another format; a plane
 * of the stack is the planes of its strips, one after the other, and the header says what belongs to which.
 */
import * as z from "zod";
import type { JsonRecord } from "../../files/json.ts";
import { type Tensor, tensorOf } from "../../files/safetensors.ts";
import { MAX_LAYER_WEIGHTS } from "../../kernels/packing/ops.ts";
import type { EncodedLayer, LayerContent, LayerFigures, LayerFormat, LayerHeader, StoredLayer } from "./format.ts";
import { layerShape } from "./header_fields.ts";

/** One strip of rows, as a header tells it. */
export type StackPart<H extends LayerHeader = LayerHeader> = {
  /** Of the strip's own format. */
  readonly header: H;
  /** Of its tensors, by plane; one that needs no bits is absent. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
};

/** What the tensors of a stack do not say themselves; untrusted when it comes from a file. */
export type StackHeader<H extends LayerHeader = LayerHeader> = JsonRecord & {
  readonly rows: number;
  readonly cols: number;
  readonly parts: readonly StackPart<H>[];
};

/** What all strips share, and how many rows each has. */
interface Strip {
  readonly rows: number;
  readonly cols: number;
}

/**
 * Strips as the content of one stack, from the first rows to the last.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { signFormat } from "./sign_format_test_support.ts";
 * import { stackContent, stackOf } from "./stack.ts";
 *
 * const strip = (scale: number) => ({
 *   format: "sign", rows: 1, cols: 2, facts: {}, arrays: {
 *     signs: { dtype: "U8", shape: [1, 2], data: Uint8Array.of(1, 0) },
 *     scales: { dtype: "F32", shape: [1], data: Float32Array.of(scale) },
 *   } as const,
 * });
 * const stacked = stackOf(signFormat), content = stackContent([strip(1), strip(2)]);
 * assert.deepEqual([content.format, content.rows, content.cols], ["sign-stack", 2, 2]);
 * assert.deepEqual([...await stacked.decode(await stacked.pack(content, {}))], [1, -1, 2, -2]);
 * ```
 * @param strips of one format, equally wide; all but the last of equally many rows
 * @throws {RangeError} when they are not
 */
export function stackContent(strips: readonly LayerContent[]): LayerContent {
  const [{ format, cols }] = strips;
  if (strips.some((strip) => strip.format !== format)) {
    throw new RangeError(`Cannot stack strips of rows as all must be of one format, ${format}`);
  }
  const wrong = misfit({ rows: strips.reduce((sum, { rows }) => sum + rows, 0), cols }, strips);
  if (wrong !== undefined) throw new RangeError(`Cannot stack strips of rows: ${wrong}`);
  return {
    format: `${format}${STACK}`,
    rows: strips.reduce((sum, { rows }) => sum + rows, 0),
    cols,
    facts: { parts: strips.map(({ rows, facts }) => ({ rows, facts })) },
    arrays: Object.fromEntries(
      strips.flatMap(({ arrays }, index) =>
        Object.entries(arrays).map(([name, tensor]) => [`${index}.${name}`, tensor])
      ),
    ),
  };
}

/** What the names of stacks end with. */
const STACK = "-stack";

const Parts = z.strictObject({
  parts: z.array(z.strictObject({ rows: z.int().min(1), facts: z.record(z.string(), z.json()) })).min(1),
});

/**
 * The format of stacks of a format's layers.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { signFormat } from "./sign_format_test_support.ts";
 * import { stackOf } from "./stack.ts";
 *
 * const { name, planes } = stackOf(signFormat);
 * assert.deepEqual([name, planes], ["sign-stack", ["signs", "scales"]]);
 * ```
 */
export function stackOf<H extends LayerHeader>(inner: LayerFormat<H>): LayerFormat<StackHeader<H>> {
  const name = `${inner.name}${STACK}`;
  return {
    name,
    header: headerOf(inner),
    planes: inner.planes,
    required: inner.required,
    components: inner.components,
    formulas: inner.formulas,
    async pack(content, options, device) {
      const parts: EncodedLayer<H>[] = [];
      for (const strip of stripsOf(content, inner.name)) parts.push(await inner.pack(strip, options, device));
      const { rows, cols } = content;
      const shapes = ({ tensors }: EncodedLayer<H>) =>
        Object.fromEntries(Object.entries(tensors).map(([plane, { shape }]) => [plane, [...shape]]));
      const joined = inner.planes.flatMap((plane) => {
        const tensor = join(parts.flatMap(({ tensors }) => tensors[plane] ?? []));
        return tensor === undefined ? [] : [[plane, tensor] as const];
      });
      return {
        format: name,
        header: { rows, cols, parts: parts.map((part) => ({ header: part.header, shapes: shapes(part) })) },
        tensors: Object.fromEntries(joined),
      };
    },
    unpack: (encoded) => stackContent(cut(encoded, inner).map((part) => inner.unpack(part))),
    async decode(encoded, device) {
      const { rows, cols } = encoded.header;
      let weights: Float32Array | undefined, at = 0;
      for (const part of cut(encoded, inner)) {
        const decoded = await inner.decode(part, device);
        // Not before the first strip has borne out its size, which all others have too.
        weights ??= new Float32Array(rows * cols);
        weights.set(decoded, at);
        at += decoded.length;
      }
      return weights ?? new Float32Array(0);
    },
    figures: (layer) => figuresOf(layer, inner),
  };
}

/** Bounds what may be allocated: by what the strips' own headers say, and by their number. */
function headerOf<H extends LayerHeader>(inner: LayerFormat<H>): z.ZodType<StackHeader<H>> {
  const shapes = z.record(z.string(), z.array(z.int().min(0).max(MAX_LAYER_WEIGHTS)).max(4));
  const parts = z.array(z.strictObject({ header: inner.header, shapes })).min(1);
  return z.strictObject({ ...layerShape, parts }).check(({ value: { rows, cols, parts }, issues }) => {
    const stray = parts.flatMap(({ shapes }) => Object.keys(shapes)).find((plane) => !inner.planes.includes(plane));
    const wrong = stray === undefined
      ? misfit({ rows, cols }, parts.map(({ header }) => header))
      : `a strip has a plane that is none of ${inner.planes.join(", ")}`;
    if (wrong !== undefined) issues.push({ code: "custom", input: parts, message: wrong });
  }).transform(({ rows, cols, parts }): StackHeader<H> => ({ rows, cols, parts }));
}

/** What keeps strips from being all rows of a layer, in order. */
function misfit({ rows, cols }: Strip, strips: readonly Strip[]): string | undefined {
  const [first] = strips, last = strips[strips.length - 1];
  const sum = strips.reduce((sum, strip) => sum + strip.rows, 0);
  if (strips.some((strip) => strip.cols !== cols)) return `every strip must have ${cols} columns`;
  if (sum !== rows) return `strips must have ${rows} rows together: current value is ${sum}`;
  if (strips.slice(0, -1).some((strip) => strip.rows !== first.rows) || last.rows > first.rows) {
    return `all strips but the last must have ${first.rows} rows, and the last no more`;
  }
  return rows * cols > MAX_LAYER_WEIGHTS ? `it must have at most ${MAX_LAYER_WEIGHTS} weights` : undefined;
}

/** The strips that `stackContent` made content of. @throws {RangeError} when the content is another format's */
function stripsOf({ format, cols, facts, arrays }: LayerContent, inner: string): LayerContent[] {
  const parts = Parts.safeParse(facts);
  if (format !== `${inner}${STACK}` || !parts.success) {
    throw new RangeError(
      `Cannot take a layer as a stack of ${inner} as it must be of that format, with facts of its strips: current value is ` +
        `"${format}" with ${JSON.stringify(facts)}`,
    );
  }
  return parts.data.parts.map(({ rows, facts }, index) => {
    const own = Object.entries(arrays).filter(([name]) => name.startsWith(`${index}.`));
    const named = own.map(([name, tensor]) => [name.slice(name.indexOf(".") + 1), tensor]);
    return { format: inner, rows, cols, facts: facts as JsonRecord, arrays: Object.fromEntries(named) };
  });
}

/** One plane of all strips; undefined where none needs it. */
function join(tensors: readonly Tensor[]): Tensor | undefined {
  if (tensors.length === 0) return undefined;
  const [{ dtype }] = tensors;
  if (tensors.some((tensor) => tensor.dtype !== dtype)) {
    throw new RangeError(`Cannot stack strips of rows as a plane must have one type in all of them, ${dtype}`);
  }
  const bytes = new Uint8Array(tensors.reduce((sum, { data }) => sum + data.byteLength, 0));
  let at = 0, count = 0;
  for (const { data } of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
    count += data.length;
  }
  return tensorOf(dtype, [count], bytes);
}

/**
 * The strips of a stack as they are stored.
 *
 * @throws {RangeError} when the planes have other lengths than the header says
 */
function cut<H extends LayerHeader>(
  { header: { parts }, tensors }: EncodedLayer<StackHeader<H>>,
  inner: LayerFormat<H>,
): EncodedLayer<H>[] {
  const ends: Record<string, number> = {};
  const cutParts = parts.map(({ header, shapes }) => {
    const own = Object.entries(shapes).map(([plane, shape]): [string, Tensor] => {
      const begin = ends[plane] ?? 0, end = begin + elements(shape), whole = tensors[plane];
      ends[plane] = end;
      if (whole === undefined || end > whole.data.length) {
        throw new RangeError(
          `Cannot unpack ${plane} of a stack: its strips have ${end} values or more: current value is ${
            whole?.data.length ?? 0
          }`,
        );
      }
      return [plane, { dtype: whole.dtype, shape, data: whole.data.slice(begin, end) }];
    });
    return { format: inner.name, header, tensors: Object.fromEntries(own) };
  });
  for (const [plane, { data }] of Object.entries(tensors)) {
    if (data.length === (ends[plane] ?? 0)) continue;
    throw new RangeError(
      `Cannot unpack ${plane} of a stack: its strips have ${ends[plane] ?? 0} values: current value is ${data.length}`,
    );
  }
  return cutParts;
}

/** Means over the strips' weights; what they differ in is undefined. */
async function figuresOf<H extends LayerHeader>(
  { header: { rows, cols, parts }, plane }: StoredLayer<StackHeader<H>>,
  inner: LayerFormat<H>,
): Promise<LayerFigures> {
  const each: { readonly share: number; readonly figures: LayerFigures }[] = [], begun: Record<string, number> = {};
  for (const { header, shapes } of parts) {
    const own = Object.entries(shapes).map(([name, shape]) => {
      const begin = begun[name] ?? 0, end = begin + elements(shape);
      begun[name] = end;
      return [name, { shape, begin, end }] as const;
    });
    const places = new Map(own);
    const figures = await inner.figures({
      header,
      async plane(name) {
        const place = places.get(name), whole = place && await plane(name);
        return whole && { dtype: whole.dtype, shape: place.shape, data: whole.data.slice(place.begin, place.end) };
      },
    });
    each.push({ share: header.rows * header.cols / (rows * cols), figures });
  }
  const [{ figures: first }] = each;
  const mean = (of: (figures: LayerFigures) => number) =>
    each.reduce((sum, { share, figures }) => sum + share * of(figures), 0);
  const common = <T>(of: (figures: LayerFigures) => T) =>
    each.every(({ figures }) => of(figures) === of(first)) ? of(first) : undefined;
  const cells = Object.keys(first.cells).flatMap((name) => {
    const cell = common((figures) => figures.cells[name]);
    return cell === undefined ? [] : [[name, cell] as const];
  });
  return {
    nominal: mean(({ nominal }) => nominal),
    ...(first.storing === undefined ? {} : { storing: mean(({ storing = 0 }) => storing) }),
    ...(first.of === undefined ? {} : { of: common(({ of }) => of) }),
    ...(first.groupSize === undefined ? {} : { groupSize: common(({ groupSize }) => groupSize) }),
    cells: Object.fromEntries(cells),
    shares: Object.fromEntries(
      Object.keys(first.shares).map((name) => [name, mean(({ shares }) => shares[name] ?? 0)]),
    ),
  };
}

function elements(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}
