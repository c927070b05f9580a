/** Models to export, and ways to look at what came of it. */
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { readSafetensors, type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { fitModel } from "../models/fit.ts";
import { openModel } from "../models/open_model.ts";
import { type ExportKind, exportModel, type ExportOptions } from "./mod.ts";

/** The project's folder. */
export const project = fileURLToPath(new URL("../", import.meta.url));
/** Folders of models that llama.cpp knows, by name. */
export const FAMILIES = {
  "tiny-llama": "configs/models/tiny-llama",
  mistral: "models/testdata/mistral",
  "qwen2-tied": "models/testdata/qwen2-tied",
  "qwen2-untied": "models/testdata/qwen2-untied",
  qwen3: "models/testdata/qwen3",
} as const;
/** Folder of a small LLaMA. */
export const LLAMA = join(project, FAMILIES["tiny-llama"]);
/** Folder of a small OPT. */
export const OPT = join(project, "tests/fixtures/tiny-opt");

/** A folder for a test. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "export-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Exports the model of a folder. */
export async function exported(path: string, kind: ExportKind, options: ExportOptions) {
  const { checkpoint, spec } = await fitModel(await openModel({ path }, { packed: openPacked }));
  try {
    return await exportModel({ checkpoint, spec, name: "mine" }, kind, options, path);
  } finally {
    checkpoint.close();
  }
}

/** As `assert.deepEqual` of numbers, of which there are millions here. */
export function assertSame(found: Float32Array, wanted: Float32Array, name: string): void {
  const at = found.length === wanted.length ? found.findIndex((value, i) => value !== wanted[i]) : 0;
  assert.ok(at < 0, `${name} at ${at}: ${found[at]} is not ${wanted[at]}`);
}

/** Whether two models have the same weights. */
export async function assertSameWeights(
  found: string,
  wanted: string,
  through: (value: number) => number = (value) => value,
) {
  const [read, own] = [await weightsOf(found), await weightsOf(wanted)];
  assert.deepEqual(Object.keys(read).sort(), Object.keys(own).sort());
  for (const [name, values] of Object.entries(own)) assertSame(read[name], values.map(through), name);
}

/** Every tensor of a model in float32. */
export async function weightsOf(path: string): Promise<Record<string, Float32Array>> {
  const { checkpoint } = await fitModel(await openModel({ path }));
  try {
    const values: Record<string, Float32Array> = {};
    for (const name of checkpoint.tensors.keys()) values[name] = await checkpoint.read(name);
    return values;
  } finally {
    checkpoint.close();
  }
}

/** A copy of a model, its config and tensors changed. */
export async function changedModel(
  from: string,
  to: string,
  { config = {}, tensors = (all) => all }: {
    readonly config?: JsonObject;
    readonly tensors?: (all: Record<string, Tensor>) => Record<string, Tensor>;
  },
): Promise<string> {
  Deno.mkdirSync(to);
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name));
  }
  const old = JSON.parse(readFileSync(join(from, "config.json"), "utf8"));
  writeFileSync(join(to, "config.json"), JSON.stringify({ ...old, ...config }));
  await writeSafetensors(
    join(to, "model.safetensors"),
    tensors((await readSafetensors(join(from, "model.safetensors"))).tensors),
  );
  return to;
}

/** Matrices of tiny-llama's blocks as codes times a scale, which a group of 128 columns has for itself. */
export function coded(levels: readonly number[], all: Record<string, Tensor>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(all).map(([name, tensor]) => {
      const [, cols] = tensor.shape;
      if (!name.includes("_proj")) return [name, tensor];
      const value = (i: number) => levels[(i * 7 + (i >> 5)) % levels.length] * 2 ** -(4 + Math.floor(i % cols / 128));
      const data = Float32Array.from({ length: tensor.data.length }, (_, i) => value(i));
      return [name, { dtype: "F32", shape: tensor.shape, data }];
    }),
  );
}
