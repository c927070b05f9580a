/** Families of models through the real command line, and that nothing outside their folder asks which one a model is of. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { openPacked } from "../checkpoints/packed/open.ts";
import * as families from "../models/families/mod.ts";
import { lastRun, metricsOf, project, runTask, succeed, temporaryFolder } from "./command_line_test_support.ts";
import { writeRandomRecipe } from "./small_models_test_support.ts";

/** Files in which a family's name means something else. */
const OTHERS: Readonly<Record<string, string>> = {
  "export/gguf_metadata.ts": "the architecture is llama.cpp's, which holds several families",
  "export/gguf_names.ts": "the architecture is llama.cpp's, which holds several families",
  "tokenizers/gguf_tokenizer.ts": "GGUF calls a kind of tokenizer llama, whichever model has it",
};

Deno.test("run compresses a Qwen3 model: heads of a size of their own, norms on queries and keys", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const runs = join(folder, "runs");
  await succeed("run", [await recipeFor("qwen3", folder), "--cache", join(folder, "cache"), "--runs", runs]);
  const { path } = lastRun(runs);
  const { keep = [], perplexity: { heldout }, layer_error: { layers } } = metricsOf({ path });
  assert.equal(layers.length, 2 * 7);
  for (const { name, error } of layers) assert.ok(error >= 0 && error < 1, `${name}: ${error}`);
  // The weights are random, and so are the texts: a bound, not a promise.
  for (const value of [heldout.original, heldout.compressed]) {
    assert.ok(Number.isFinite(value) && value > 1, String(value));
  }
  const packed = await openPacked(join(path, "model"));
  try {
    assert.ok(packed.tensors.has("model.layers.1.self_attn.q_norm.weight"));
    assert.deepEqual([...packed.layers.keys()].sort(), layers.map(({ name }) => name).sort());
    for (const name of packed.layers.keys()) {
      const weights = await packed.read(`${name}.weight`);
      const most = keep[Number(/layers\.(\d+)\./.exec(name)?.[1])];
      for (let at = 0; at < weights.length; at += 8) {
        const kept = weights.subarray(at, at + 8).filter((weight) => weight !== 0).length;
        assert.ok(kept <= most, `${name} keeps ${kept} of 8 from ${at} on, not ${most}`);
      }
      const share = weights.filter((weight) => weight !== 0).length / weights.length;
      assert.ok(share > most / 8 - 0.01, `${name} keeps ${share}`);
    }
  } finally {
    packed.close();
  }
});

Deno.test("plan refuses windows longer than a sliding window, before any work", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const { code, err } = await runTask("plan", [await recipeFor("mistral", folder), "--cache", join(folder, "cache")]);
  assert.equal(code, 3, err);
  assert.match(err, /its attention slides \(mistral\): windows must have at most 16 tokens.*: current length is 32/s);
});

Deno.test("no code outside models/families/ asks which family a model is of", () => {
  const names = Object.values(families).flatMap(({ modelType, gguf }) => [modelType, gguf?.architecture ?? modelType]);
  const literal = `["'\`](?:${[...new Set(names)].join("|")})["'\`]`;
  const asks = new RegExp(
    [
      String.raw`\b(?:architecture|family|model_?[tT]ype)\)?\s*[!=]==?\s*["'\`]`,
      String.raw`[!=]==?\s*${literal}`,
      String.raw`${literal}\s*[!=]==?`,
      String.raw`\bcase\s+${literal}`,
    ].join("|"),
  );
  assert.match('spec.architecture === "llama"', asks);
  const sources = [...sourcesIn(".")].filter((path) => !path.startsWith("models/families/") && !(path in OTHERS));
  assert.ok(sources.length > 100 && sources.includes("models/block_graph.ts"));
  assert.deepEqual(sources.filter((path) => asks.test(readFileSync(join(project, path), "utf8"))), []);
});

/** A recipe for a checkpoint of models/testdata/, on random tokens. */
function recipeFor(name: string, folder: string): Promise<string> {
  return writeRandomRecipe(folder, { model: join(project, "models", "testdata", name), name });
}

/** The project's code, without its tests. */
function* sourcesIn(folder: string): Generator<string> {
  for (const entry of readdirSync(join(project, folder), { withFileTypes: true })) {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!["node_modules", ".git", "runs", ".pbs2p"].includes(entry.name)) yield* sourcesIn(path);
    } else if (/\.ts$/.test(path) && !/_test(_support)?\.ts$/.test(path)) yield path;
  }
}
