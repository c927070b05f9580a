/**
 * Keys by reach: which steps' keys move when a source file changes. Each row edits one file in a scratch copy of the sources, and
 * states all the steps that must then be made again, and so all that must not.
 */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { loadRecipe } from "../pipeline/mod.ts";
import { openSubject } from "../pipeline/subject.ts";
import { makePlan, openCache } from "../runner/mod.ts";
import { stages } from "../stages/mod.ts";
import { copySources, temporaryFolder } from "./command_line_test_support.ts";
import { models, smallRecipe } from "./small_models_test_support.ts";

const ORIGINAL = "evaluate.heldout.original";
const PACKED = ["evaluate.heldout.compressed", "pack"];
const QUANTIZED = [...PACKED, "spbo"];
/** All that reads weights or runs forward passes; windows are made from stored ids. */
const MODEL = [...QUANTIZED, "calibrate", "coarse-search", ORIGINAL];
const WINDOWS = ["calibrate.windows", "evaluate.heldout.windows"];
const EVERYTHING = [...MODEL, ...WINDOWS];
const NOTHING: readonly string[] = [];

type Edit = (text: string) => string;

/** A change that means nothing, but is one. */
const statement: Edit = (text) => `${text}\nconst changed = 1;\nvoid changed;\n`;
const shader: Edit = (text) => `${text}\nconst CHANGED = 1u;\n`;
const line = (added: string): Edit => (text) => `${text}${added}\n`;

interface Row {
  readonly what: string;
  readonly file: string;
  readonly edit?: Edit;
  /** The file's new text, where there is no such file. */
  readonly added?: string;
  readonly cpu: readonly string[];
  readonly webgpu: readonly string[];
}

const rows: readonly Row[] = [
  { what: "a dequantiser", file: "checkpoints/dequantize.ts", cpu: MODEL, webgpu: MODEL },
  { what: "the safetensors reader", file: "files/safetensors.ts", cpu: EVERYTHING, webgpu: EVERYTHING },
  { what: "a shader", file: "kernels/binary/resign.wgsl", edit: shader, cpu: NOTHING, webgpu: QUANTIZED },
  { what: "a shader's host side", file: "kernels/binary/resign_webgpu.ts", cpu: NOTHING, webgpu: QUANTIZED },
  { what: "a shader of packing", file: "kernels/packing/pack_bits.wgsl", edit: shader, cpu: NOTHING, webgpu: PACKED },
  { what: "the GPU's command stream", file: "kernels/gpu/context.ts", cpu: NOTHING, webgpu: QUANTIZED },
  { what: "the GPU's products", file: "kernels/matrix/gemm_wgsl.ts", cpu: NOTHING, webgpu: QUANTIZED },
  { what: "a cpu kernel", file: "kernels/binary/joint.ts", cpu: QUANTIZED, webgpu: QUANTIZED },
  { what: "packing", file: "kernels/packing/pack.ts", cpu: PACKED, webgpu: PACKED },
  { what: "the format of bit planes", file: "checkpoints/packed/planes.ts", cpu: PACKED, webgpu: PACKED },
  {
    what: "coded planes, which the recipe has not",
    file: "checkpoints/packed/entropy.ts",
    cpu: NOTHING,
    webgpu: NOTHING,
  },
  {
    what: "the file of a packed model",
    file: "checkpoints/packed/write.ts",
    cpu: ["evaluate.heldout.compressed", "pack"],
    webgpu: ["evaluate.heldout.compressed", "pack"],
  },
  { what: "the method", file: "layers/methods/spbo.ts", cpu: QUANTIZED, webgpu: QUANTIZED },
  { what: "the forward pass", file: "models/block_graph.ts", cpu: MODEL, webgpu: MODEL },
  { what: "the forward pass's worker", file: "models/forward_worker.ts", cpu: MODEL, webgpu: MODEL },
  { what: "the model's family", file: "models/families/llama.ts", cpu: MODEL, webgpu: MODEL },
  { what: "the tokenizer", file: "tokenizers/tokenizer.ts", cpu: EVERYTHING, webgpu: EVERYTHING },
  {
    what: "a stage",
    file: "stages/evaluate_text.ts",
    cpu: ["evaluate.heldout.compressed", ORIGINAL, "evaluate.heldout.windows"],
    webgpu: ["evaluate.heldout.compressed", ORIGINAL, "evaluate.heldout.windows"],
  },
  { what: "a zero-shot task, where none is asked", file: "tasks/boolq.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "a kernel that no stage runs", file: "kernels/matvec/matvec.ts", cpu: NOTHING, webgpu: NOTHING },
  {
    what: "a new kernel",
    file: "kernels/binary/unused.ts",
    added: "export const unused = 1;\n",
    cpu: NOTHING,
    webgpu: NOTHING,
  },
  {
    what: "one more operation of a room",
    file: "kernels/binary/ops.ts",
    edit: line('export { other } from "./other_op.ts";'),
    cpu: NOTHING,
    webgpu: NOTHING,
  },
  {
    what: "one more method",
    file: "layers/methods/mod.ts",
    edit: line('export { other } from "./other.ts";'),
    cpu: NOTHING,
    webgpu: NOTHING,
  },
  {
    what: "one more family",
    file: "models/families/mod.ts",
    edit: line('export { other } from "./other.ts";'),
    cpu: NOTHING,
    webgpu: NOTHING,
  },
  { what: "another family", file: "models/families/qwen3.ts", cpu: NOTHING, webgpu: NOTHING },
  {
    what: "one more format",
    file: "checkpoints/packed/format_list.ts",
    edit: line('export { other } from "./other.ts";'),
    cpu: NOTHING,
    webgpu: NOTHING,
  },
  { what: "the report", file: "report/report.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "the command line", file: "cli/run.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "the runner", file: "runner/run.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "what checks recipes", file: "recipes/problems.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "downloads, which are verified", file: "hub/download.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "estimates", file: "stages/costs.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "generation", file: "inference/generate.ts", cpu: NOTHING, webgpu: NOTHING },
  { what: "a comment", file: "kernels/binary/joint.ts", edit: line("// Other words."), cpu: NOTHING, webgpu: NOTHING },
  { what: "what tests share", file: "kernels/device_test_support.ts", cpu: NOTHING, webgpu: NOTHING },
];

/** Keys of all steps, with sources from a folder. */
async function keysOf(folder: string, recipe: string, { root, device }: {
  readonly root?: string;
  readonly device: "cpu" | "webgpu";
}): Promise<Map<string, string>> {
  const loaded = await loadRecipe(recipe);
  const cache = await openCache(join(folder, "cache"));
  const name = "a device";
  const subject = await openSubject(
    stages,
    loaded.recipe,
    { purpose: "plan", device, cache: cache.folder, hashes: cache.fileHashes },
    {
      chooseDevice: () => Promise.resolve({ kind: device, software: false, name, why: name }),
      chooseForward: () => Promise.resolve({ provider: "cpu", why: name }),
      ...(root === undefined ? {} : { root }),
    },
  );
  try {
    const { steps } = await makePlan(subject, cache, { recipe: loaded.recipe });
    return new Map(steps.map(({ id, key }) => [id, key]));
  } finally {
    await subject.close();
    cache.close();
  }
}

/** Names of steps, without blocks, whose keys differ. */
function changed(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  assert.deepEqual([...after.keys()], [...before.keys()]);
  const names = [...before.keys()].filter((id) => before.get(id) !== after.get(id)).map((id) =>
    id.replace(/\[\d+\]$/, "")
  );
  return [...new Set(names)].sort();
}

Deno.test("content keys: each source file changes the keys of the steps whose code reaches it, and no others", async (t) => {
  using temporary = temporaryFolder();
  const folder = temporary.path, recipe = join(folder, "recipe.yaml");
  writeFileSync(recipe, stringify(smallRecipe({ model: models.llama, stages: { calibrate: { inputs: "original" } } })));
  const before = {
    cpu: await keysOf(folder, recipe, { device: "cpu" }),
    webgpu: await keysOf(folder, recipe, { device: "webgpu" }),
  };
  for (const [index, { what, file, edit = statement, added, ...wanted }] of rows.entries()) {
    await t.step(`${what}: ${file}`, async () => {
      // A copy for each row, as a process reads a file once.
      const root = copySources(join(folder, `copy-${index}`)), path = join(root, file);
      writeFileSync(path, added ?? edit(readFileSync(path, "utf8")));
      for (const device of ["cpu", "webgpu"] as const) {
        const found = changed(before[device], await keysOf(folder, recipe, { root, device }));
        assert.deepEqual(found, [...new Set(wanted[device])].sort(), device);
      }
      Deno.removeSync(root, { recursive: true });
    });
  }
});
