/** Packed models, with masks of every kind, on grids, in codes of a trellis, and with entropy-coded planes. */
import { join } from "node:path";
import type { EncodedLayer } from "../../checkpoints/packed/format.ts";
import { codePlanes } from "../../checkpoints/packed/formats.ts";
import { coded, contentOf as contentOfCodes } from "../../checkpoints/packed/coded.ts";
import { encodeLayer as encodeGrid } from "../../checkpoints/packed/grid.ts";
import { randomGrid } from "../../checkpoints/packed/grid_test_support.ts";
import { encodeLayer } from "../../checkpoints/packed/planes.ts";
import { contentOf, refined } from "../../checkpoints/packed/refined.ts";
import { randomLayer as randomRefined } from "../../checkpoints/packed/refined_test_support.ts";
import { sparse } from "../../checkpoints/packed/sparse.ts";
import { openPacked } from "../../checkpoints/packed/open.ts";
import { writePackedModel } from "../../checkpoints/packed/write.ts";
import { inspectCommand } from "../../cli/inspect.ts";
import { GROUP_SHIFT, KEPT } from "../../kernels/binary/ops.ts";
import { randomCodes } from "../../kernels/coding/coding_test_support.ts";
import { type LayerShape, randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { STATES } from "../../kernels/trellis/ops.ts";
import type { Kind } from "../kind.ts";
import { runQuietly } from "../quiet.ts";
import { SHAPES, smallConfig, smallTensors, smallTokenizer, smallTokenizerConfig } from "../small_model.ts";
import { readTexts } from "../read_model.ts";

/** How the layers of each sample are packed. */
const PACKINGS = {
  enumerative: { shape: { type: "semi-structured", keep: 4, of: 8, salient: true, segments: 3 }, scales: "f16" },
  bitmask: { shape: { type: "unstructured", keep: 3, of: 8, salient: false, segments: 2 }, scales: "f32" },
} as const;

/** How pruned layers are. */
const PRUNED = { type: "semi-structured", keep: 4, of: 8, mask: "enumerative" } as const;

const SAMPLES = ["enumerative", "bitmask", "sparse", "grid", "refined", "coded", "entropy"] as const;

/** The kind. */
export const packed: Kind = {
  name: "packed",
  async make(folder) {
    for (const sample of SAMPLES) await writeSample(join(folder, sample), sample);
    return SAMPLES.map((name) => ({
      name,
      targets: [
        ...Array<{ path: string; syntax: "safetensors" }>(4).fill({ path: "model.safetensors", syntax: "safetensors" }),
        { path: "config.json", syntax: "json" },
      ],
    }));
  },
  async read(folder, _sample, seen) {
    const model = await openPacked(folder);
    try {
      for (const [name, { header }] of model.layers) {
        seen(`header of ${name}`, header);
        seen(name, (await model.layer(name)).arrays);
      }
      for (const name of model.tensors.keys()) seen(name, await model.read(name));
      if (model.tokenizer !== undefined) readTexts(model.tokenizer, seen);
      await runQuietly(inspectCommand, [folder]);
      await runQuietly(inspectCommand, [folder, "--json"]);
      await model.verify();
    } finally {
      model.close();
    }
  },
};

/** Writes a packed model. @param folder of its own */
export async function writeSample(folder: string, sample: typeof SAMPLES[number]): Promise<void> {
  const compressed = Object.keys(SHAPES).filter((name) => name.endsWith("_proj.weight"));
  const layers: (readonly [string, EncodedLayer])[] = [];
  for (const [seed, name] of compressed.entries()) {
    const [rows, cols] = SHAPES[name];
    layers.push([name.slice(0, -".weight".length), await pack(sample, { rows, cols, groupSize: 16 }, seed)]);
  }
  await writePackedModel(folder, {
    layers,
    others: Object.entries(smallTensors()).filter(([name]) => !compressed.includes(name)),
    config: { ...await smallConfig(), quantization_config: { quant_method: "pbs2p" } },
    tokenizer: { kind: "files", tokenizer: await smallTokenizer(), config: await smallTokenizerConfig() },
    source: { label: "small", method: "pbs2p" },
  });
}

/** A random layer as a sample packs it. */
async function pack(
  sample: typeof SAMPLES[number],
  size: Pick<LayerShape, "rows" | "cols" | "groupSize">,
  seed: number,
): Promise<EncodedLayer> {
  if (sample === "grid") {
    const { rows, cols } = size;
    const shape = { rows, cols, bits: 3, groupSize: 16, grid: "minmax", ordered: seed % 2 === 0 } as const;
    return encodeGrid(randomGrid(shape, seed), { scales: "f16" });
  }
  if (sample === "entropy") return codePlanes(await packUneven(size, seed));
  if (sample === "refined") {
    const levels = seed % 2 === 0 ? "products" : "means";
    return await refined.pack(contentOf(randomRefined({ ...size, levels, columnGroups: seed % 3 > 0, seed })), {
      scales: "f16",
    });
  }
  if (sample === "coded") {
    const { rows, cols } = size, states = STATES[seed % STATES.length];
    // Sizes from small ones to those with low bits.
    const layer = randomCodes({ rows, cols, states, strip: seed % 2 === 0 ? rows : 5, size: 3 ** (seed % 5), seed });
    return await coded.pack(contentOfCodes(layer), {});
  }
  if (sample !== "sparse") {
    const { shape, scales } = PACKINGS[sample];
    return encodeLayer(randomLayer({ ...shape, ...size }, seed), { mask: sample, scales });
  }
  const { rows, cols, groupSize } = size, { keep, of, type, mask } = PRUNED;
  const { codes } = randomLayer({ ...size, keep, of, type, segments: 1, salient: false }, seed);
  const kept = codes.map((code) => code & KEPT), values = Float32Array.from(kept, (mark, i) => mark * (1 + i % 7) / 8);
  // A row in units of its own.
  for (let i = 0; i < cols; i++) values[i] *= 2 ** -40;
  return await sparse.pack({
    format: sparse.name,
    rows,
    cols,
    facts: { groupSize, keep, of, type, values: "f16", exponent: 0 },
    arrays: {
      kept: { dtype: "U8", shape: [rows, cols], data: kept },
      values: { dtype: "F32", shape: [rows, cols], data: values },
    },
  }, { mask });
}

/** A layer of bit planes or of refined groups, marks and scales of which are far from equally likely. */
async function packUneven(
  { rows, cols, groupSize }: Pick<LayerShape, "rows" | "cols" | "groupSize">,
  seed: number,
): Promise<EncodedLayer> {
  if (seed % 2 === 0) {
    const shape = { ...PRUNED, segments: 3, salient: false } as const;
    const { codes, scales, ...layer } = randomLayer({ ...shape, rows, cols, groupSize }, seed);
    const marks = codes.map((code, i) => (code & KEPT) !== 0 && i % 4 > 0 ? code & 7 | 1 << GROUP_SHIFT : code);
    return encodeLayer({ ...layer, codes: marks, scales: scales.map(Math.abs) }, { mask: "bitmask", scales: "f16" });
  }
  const { codes, ...layer } = randomRefined({ rows, cols, groupSize, levels: "means", columnGroups: false, seed });
  const marks = codes.map((code, i) => code >> GROUP_SHIFT === 2 && i % 4 > 0 ? code & 7 | 1 << GROUP_SHIFT : code);
  return await refined.pack(contentOf({ ...layer, codes: marks }), { scales: "f16" });
}
