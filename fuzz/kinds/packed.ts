/** Packed models, with masks of every kind, and on grids. */
import { join } from "node:path";
import { encodeLayer as encodeGrid } from "../../checkpoints/packed/grid.ts";
import { randomGrid } from "../../checkpoints/packed/grid_test_support.ts";
import { encodeLayer } from "../../checkpoints/packed/planes.ts";
import type { EncodedLayer } from "../../checkpoints/packed/format.ts";
import { openPacked } from "../../checkpoints/packed/open.ts";
import { writePackedModel } from "../../checkpoints/packed/write.ts";
import { inspectCommand } from "../../cli/inspect.ts";
import { randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import type { Kind } from "../kind.ts";
import { runQuietly } from "../quiet.ts";
import { SHAPES, smallConfig, smallTensors, smallTokenizer, smallTokenizerConfig } from "../small_model.ts";
import { readTexts } from "../read_model.ts";

/** How the layers of each sample are packed. */
const PACKINGS = {
  enumerative: { shape: { type: "semi-structured", keep: 4, of: 8, salient: true, segments: 3 }, scales: "f16" },
  bitmask: { shape: { type: "unstructured", keep: 3, of: 8, salient: false, segments: 2 }, scales: "f32" },
} as const;

const SAMPLES = ["enumerative", "bitmask", "grid"] as const;

/** The kind. */
export const packed: Kind = {
  name: "packed",
  async make(folder) {
    for (const sample of SAMPLES) {
      const compressed = Object.keys(SHAPES).filter((name) => name.endsWith("_proj.weight"));
      const layers = compressed.map((name, seed) => {
        const [rows, cols] = SHAPES[name];
        return [name.slice(0, -".weight".length), layerOf(sample, { rows, cols, seed })] as const;
      });
      await writePackedModel(join(folder, sample), {
        layers,
        others: Object.entries(smallTensors()).filter(([name]) => !compressed.includes(name)),
        config: { ...await smallConfig(), quantization_config: { quant_method: "pbs2p" } },
        tokenizer: { kind: "files", tokenizer: await smallTokenizer(), config: await smallTokenizerConfig() },
        source: { label: "small", method: "pbs2p" },
      });
    }
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

function layerOf(
  sample: typeof SAMPLES[number],
  { rows, cols, seed }: { readonly rows: number; readonly cols: number; readonly seed: number },
): EncodedLayer {
  if (sample === "grid") {
    const shape = { rows, cols, bits: 3, groupSize: 16, grid: "minmax", ordered: seed % 2 === 0 } as const;
    return encodeGrid(randomGrid(shape, seed), { scales: "f16" });
  }
  const { shape, scales } = PACKINGS[sample];
  return encodeLayer(randomLayer({ ...shape, rows, cols, groupSize: 16 }, seed), { mask: sample, scales });
}
