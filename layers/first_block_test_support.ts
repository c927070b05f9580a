/** The first block of tiny-llama, for tests on layers as models have them. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../checkpoints/open.ts";
import { readTensors } from "../checkpoints/read_tensors.ts";
import { readSafetensors } from "../files/safetensors.ts";
import {
  blockLinears,
  blockShapes,
  embeddingShapes,
  type InputSums,
  type LinearSpec,
  modelSpec,
  openForward,
  type Weights,
} from "../models/mod.ts";
import type { LayerJob, LayerSettings } from "./job.ts";

const FOLDER = fileURLToPath(new URL("../configs/models/tiny-llama/", import.meta.url));

/** Its linears, weights and the inputs they saw. */
export interface FirstBlock {
  readonly linears: LinearSpec[];
  readonly weights: Weights;
  readonly sums: Record<string, InputSums>;
}

/**
 * Runs it on some windows of the calibration text. Nine of them, as these layers are then away from ties: on the CPU no code differs when
 * every element of H is moved by up to 4e-7 of itself, where with eight, two of ten such moves of 2e-7 turned 835 codes and more.
 */
export async function firstBlock(): Promise<FirstBlock> {
  const checkpoint = await openCheckpoint({ path: FOLDER });
  const spec = modelSpec(checkpoint.config), windows = { windows: 9, length: 256 };
  const weights = await readTensors(checkpoint, blockShapes(spec, 0));
  const embedding = await readTensors(checkpoint, embeddingShapes(spec));
  checkpoint.close();
  const { calibration } = (await readSafetensors(`${FOLDER}windows.safetensors`)).tensors;
  const ids = Int32Array.from({ length: windows.windows * windows.length }, (_, i) => Number(calibration.data[i]));
  const forward = await openForward(spec, { threads: 1 });
  const block = await forward.openBlock(0, weights, { gather: "full", output: false });
  await block.run(await forward.embed(embedding, ids, windows), windows);
  const sums = await block.finish();
  await forward.close();
  return { linears: blockLinears(spec, 0), weights, sums };
}

/** A layer of the block as a job. */
export function jobOf(
  block: FirstBlock,
  name: string,
  settings: LayerSettings,
): LayerJob & { readonly upper: Float32Array } {
  const linear = block.linears.find((linear) => linear.name.endsWith(name));
  assert.ok(linear);
  const { upper, windows } = block.sums[linear.input];
  assert.ok(upper);
  const { rows, cols } = linear, weight = block.weights[`${linear.name}.weight`];
  return { name, rows, cols, weight, upper: upper.map((x) => x * 2 / windows), keep: 4, of: 8, settings };
}
