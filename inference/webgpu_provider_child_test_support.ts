/** Runs tiny-llama on onnxruntime's webgpu provider and prints what came of it as JSON; run by `webgpu_provider_test.ts`. */
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../checkpoints/open.ts";
import { readSafetensors, type Tensor } from "../files/safetensors.ts";
import { modelSpec } from "../models/config.ts";
import { openForward } from "../models/forward.ts";
import { generate } from "./generate.ts";
import { openProviderProbes, type ProbeResult } from "../models/provider.ts";
import { readTensors } from "../checkpoints/read_tensors.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";

/** What the provider made. */
export interface ProviderRun {
  readonly probe: ProbeResult;
  /** Largest difference from transformers' logits, and their largest; missing where the provider does not open. */
  readonly logits?: { readonly difference: number; readonly largest: number };
  /** The first tokens after a prompt, on both providers. */
  readonly tokens?: { readonly webgpu: readonly number[]; readonly cpu: readonly number[] };
}

const WINDOW = { windows: 1, length: 256 };

if (import.meta.main) console.log(JSON.stringify(await tryProvider()));

async function tryProvider(): Promise<ProviderRun> {
  const checkpoint = await openCheckpoint({ path: here("../configs/models/tiny-llama") });
  const spec = modelSpec(checkpoint.config);
  const probes = openProviderProbes(spec);
  const probe = await probes.probe("webgpu");
  await probes.close();
  if ("failure" in probe) return { probe };
  const reference = (await readSafetensors(here("../models/testdata/logits-tiny-llama.safetensors"))).tensors;
  const ids = Int32Array.from(numbers(reference.input_ids).slice(0, WINDOW.length));
  const forward = await openForward(spec, { provider: "webgpu" });
  let hidden = await forward.embed(await readTensors(checkpoint, embeddingShapes(spec)), ids, WINDOW);
  for (let index = 0; index < spec.blocks; index++) {
    const weights = await readTensors(checkpoint, blockShapes(spec, index));
    const block = await forward.openBlock(index, weights, { gather: "none", output: true, move: true });
    hidden = (await block.run(hidden, WINDOW)).hidden ?? hidden;
    await block.finish();
  }
  const found = await forward.logits(await readTensors(checkpoint, headShapes(spec)), hidden);
  await forward.close();
  // The reference holds the logits of some positions of both windows.
  const expected = numbers(reference.logits);
  let [difference, largest] = [0, 0];
  for (const [row, position] of numbers(reference.positions).entries()) {
    if (position >= WINDOW.length) continue;
    for (let id = 0; id < spec.vocab; id++) {
      const value = expected[row * spec.vocab + id];
      difference = Math.max(difference, Math.abs(found[position * spec.vocab + id] - value));
      largest = Math.max(largest, Math.abs(value));
    }
  }
  const prompt = [...ids.subarray(0, 9)];
  const write = (provider: "webgpu" | "cpu") =>
    Array.fromAsync(generate(checkpoint, prompt, { provider, maxTokens: 3 }));
  const tokens = { webgpu: await write("webgpu"), cpu: await write("cpu") };
  checkpoint.close();
  return { probe, logits: { difference, largest }, tokens };
}

function here(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

function numbers({ data }: Tensor): number[] {
  return Array.from(data, Number);
}
