import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InputError } from "../../files/input_error.ts";
import { inspectPacked } from "./bits.ts";
import type { EncodedLayer, LayerContent } from "./format.ts";
import { toRecord } from "./formats.ts";
import { contentOf, decodeGridLayer, type GridHeader, layerOf } from "./grid.ts";
import { gridStack } from "./grid_stack.ts";
import { randomGrid } from "./grid_test_support.ts";
import { openPacked } from "./open.ts";
import { stackContent, type StackHeader } from "./stack.ts";
import { writePackedModel } from "./write.ts";

const COLS = 40;
const OPTIONS = { scales: "f16" };

/** Strips of so many rows. */
function strips(...rows: readonly number[]): LayerContent[] {
  const shape = { cols: COLS, bits: 5, groupSize: 16, grid: "minmax", ordered: false } as const;
  return rows.map((rows, seed) => contentOf(randomGrid({ ...shape, rows }, seed)));
}

/** A copy: packing takes its arrays. */
function copied(content: LayerContent): LayerContent {
  return structuredClone(content);
}

Deno.test("a stack unpacks to the strips it was made of, and decodes to their rows, one strip or several", async () => {
  for (const rows of [[7], [7, 7], [13, 13, 1], [1, 1, 1, 1, 1]]) {
    const parts = strips(...rows), content = stackContent(parts);
    const encoded = await gridStack.pack(copied(content), OPTIONS);
    assert.deepEqual(gridStack.unpack(encoded), content);
    const expected = parts.flatMap((part) => [...decodeGridLayer(layerOf(part))]);
    assert.deepEqual([...await gridStack.decode(encoded)], expected);
    assert.deepEqual(gridStack.header.parse(structuredClone(encoded.header)), encoded.header);
  }
});

Deno.test("a stack in a file: read as one tensor, counted apart from the layers where that is asked for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-stack-"));
  try {
    const content = stackContent(strips(8, 8, 3));
    const layer = await gridStack.pack(copied(content), OPTIONS), other = stackContent(strips(4));
    await writePackedModel(folder, {
      layers: [["model.embed_tokens", layer], ["q_proj", await gridStack.pack(copied(other), OPTIONS)]],
      others: [["lm_head.weight", { dtype: "F16", shape: [2, 3], data: new Uint16Array(6) }]],
      config: {},
      tokenizer: undefined,
      source: {},
    });
    const packed = await openPacked(folder);
    assert.deepEqual(await packed.layer("model.embed_tokens"), content);
    assert.deepEqual(packed.tensors.get("model.embed_tokens.weight")?.shape, [19, COLS]);
    assert.deepEqual(await packed.read("model.embed_tokens.weight"), await gridStack.decode(layer));
    packed.close();

    const names = { embedding: "model.embed_tokens.weight", head: "lm_head.weight", none: "x" };
    const { apart, layers, weights, parameters, parts, stored, ...all } = await inspectPacked(folder, { apart: names });
    assert.deepEqual(layers.map(({ name }) => name), ["q_proj"]);
    assert.deepEqual([weights, parameters], [4 * COLS, 23 * COLS + 6]);
    // 5 bits a code, and for each of three groups of a row a scale of 16 bits and a zero of 5; each plane of a strip ends with a word.
    const bytes = [8, 8, 3].reduce((sum, rows) => sum + 4 * Math.ceil(rows * COLS * 5 / 32), 0) + 19 * 3 * 2 +
      [8, 8, 3].reduce((sum, rows) => sum + 4 * Math.ceil(rows * 3 * 5 / 32), 0);
    const embedding = { name: names.embedding, format: "grid-stack", weights: 19 * COLS, bytes };
    assert.deepEqual(apart, {
      embedding: { ...embedding, stored: 8 * bytes / (19 * COLS) },
      head: { name: names.head, format: "F16", weights: 6, bytes: 12, stored: 16 },
    });
    assert.ok(Math.abs(stored.total - 8 * parts.layers / weights) < 1e-12);
    assert.equal(parts.layers + parts.others + parts.header, all.bytes);
    const { nominal, storing, cells, groupSize } = layers[0];
    assert.deepEqual([nominal, storing, cells, groupSize], [5, 21 / 16, { bits: "5" }, 16]);
    assert.equal((await inspectPacked(folder)).layers.length, 2, "nothing is counted apart unless it is asked for");
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("stackContent() refuses strips that are no stack", () => {
  assert.throws(() => stackContent(strips(4, 5)), /all strips but the last must have 4 rows, and the last no more/);
  assert.throws(() => stackContent([strips(4)[0], { ...strips(4)[0], cols: 8 }]), /every strip must have 40 columns/);
  assert.throws(
    () => stackContent([strips(4)[0], { ...strips(4)[0], format: "sparse" }]),
    /must be of one format, grid/,
  );
});

type Encoded = EncodedLayer<StackHeader<GridHeader>>;
/** A header, of which all may be changed. */
type OpenHeader = {
  rows: number;
  cols: number;
  parts: { header: Record<string, number | string | boolean>; shapes: Record<string, number[]> }[];
};

/** What a hostile header says. */
const HEADERS: Readonly<
  Record<string, { readonly change: (header: OpenHeader) => void; readonly says: RegExp }>
> = {
  "more rows than its strips": { change: (header) => void header.rows++, says: /strips must have 20 rows together/ },
  "other columns": { change: (header) => void header.cols++, says: /every strip must have 41 columns/ },
  "a short strip before the last": {
    change: ({ parts }) => void parts.reverse(),
    says: /all strips but the last must have 3 rows/,
  },
  "no strips": { change: (header) => void (header.parts = []), says: /parts/ },
  "a plane of no format": {
    change: ({ parts }) => void (parts[0].shapes.mask = [1]),
    says: /a plane that is none of codes, scales/,
  },
  "lengths below 0": { change: ({ parts }) => void (parts[0].shapes.codes = [-1]), says: /parts/ },
  "another key": {
    change: (header) => void Object.assign(header, { mask: 1 }),
    says: /values that no such layer has|mask/,
  },
  "a strip of too many bits": { change: ({ parts }) => void (parts[0].header.bits = 99), says: /parts/ },
  "more weights than may be": {
    change(header) {
      const [part] = header.parts;
      header.rows = 2 ** 30;
      header.parts = Array.from({ length: 2 }, () => ({ ...part, header: { ...part.header, rows: 2 ** 29 } }));
    },
    says: /at most 2147483647 weights/,
  },
};

Deno.test("openPacked() refuses hostile headers of stacks in one sentence", async (test) => {
  const encoded = await gridStack.pack(stackContent(strips(8, 8, 3)), OPTIONS);
  for (const [name, { change, says }] of Object.entries(HEADERS)) {
    await test.step(name, async () => {
      const folder = await mkdtemp(join(tmpdir(), "pbs2p-stack-"));
      try {
        const header = JSON.parse(JSON.stringify(encoded.header)) as OpenHeader;
        change(header);
        assert.throws(() => gridStack.header.parse(header));
        const layers = [["a", { ...encoded, header }]] as const;
        await writePackedModel(folder, { layers, others: [], config: {}, tokenizer: undefined, source: {} });
        await assert.rejects(openPacked(folder), (error: Error) => {
          assert.ok(error instanceof InputError && says.test(error.message), error.message);
          return !error.message.includes("\n");
        });
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  }
});

Deno.test("a stack's planes must be as long as its strips say, and a hostile size is refused before it is made", async () => {
  const encoded = await gridStack.pack(stackContent(strips(8, 8, 3)), OPTIONS);
  const { codes, scales } = encoded.tensors;
  const shorter = { ...codes, shape: [codes.data.length - 1], data: codes.data.slice(1) };
  const broken = [{ ...encoded.tensors, codes: shorter }, { scales }, {
    ...encoded.tensors,
    units: { ...codes, dtype: "I32" },
  }] as const;
  for (const tensors of broken) {
    const layer = { ...encoded, tensors: tensors as Encoded["tensors"] };
    assert.throws(() => gridStack.unpack(layer), { name: "RangeError" });
    await assert.rejects(gridStack.decode(layer), { name: "RangeError" });
  }
  // Five gigabytes, if they were believed.
  const rows = 2 ** 25,
    part = { header: { ...encoded.header.parts[0].header, rows }, shapes: encoded.header.parts[2].shapes };
  const header = { rows, cols: COLS, parts: [part] };
  assert.deepEqual(gridStack.header.parse(header), header);
  const { tensors } = await gridStack.pack(stackContent(strips(3)), OPTIONS);
  await assert.rejects(gridStack.decode({ format: "grid-stack", header, tensors }), { name: "RangeError" });
  assert.equal(toRecord(encoded).format, "grid-stack");
});
