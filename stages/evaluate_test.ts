import assert from "node:assert/strict";
import type { Tensor } from "../files/safetensors.ts";
import { modelSpec } from "../models/config.ts";
import type { Forward } from "../models/forward.ts";
import type { ArtifactReader, ArtifactWriter, Json, StepContext } from "../runner/stage.ts";
import { from } from "./artifacts.ts";
import { evaluate } from "./evaluate.ts";
import type { Planning } from "./planning.ts";
import type { Tools } from "./tools/mod.ts";

const SPEC = modelSpec({
  ...{ model_type: "llama", hidden_size: 8, intermediate_size: 8, num_hidden_layers: 3, num_attention_heads: 1 },
  ...{ vocab_size: 10, max_position_embeddings: 16 },
});
const WINDOWS = 2, LENGTH = 4;

/** What blocks put out, and the losses of both windows. */
interface Outputs {
  readonly blocks: readonly [number, number, number];
  readonly losses: readonly [number, number];
}

/** Forward passes whose every value is given. */
function forwardOf({ blocks, losses }: Outputs): Forward {
  const forward: Pick<Forward, "embed" | "openBlock" | "openHead"> = {
    embed: () => Promise.resolve(new Float32Array(WINDOWS * LENGTH * SPEC.hidden)),
    openBlock: (block) =>
      Promise.resolve({
        run: (input: Float32Array) =>
          Promise.resolve({ input, hidden: input.slice().fill(blocks[block], input.length - 1) }),
        setWeights: () => Promise.resolve(),
        finish: () => Promise.resolve({}),
      }),
    openHead: () =>
      Promise.resolve({
        loss: () => Promise.resolve(Float64Array.from(losses)),
        compare: () => Promise.reject(new Error("not asked for")),
        choose: () => Promise.reject(new Error("not asked for")),
        logits: () => Promise.resolve(new Float32Array(0)),
        close: () => Promise.resolve(),
      }),
  };
  return forward as Forward;
}

/** Runs the steps of the original model, and gives what the last one hands on. */
async function measure(outputs: Outputs): Promise<Json> {
  const tools = {
    forward: () => Promise.resolve(forwardOf(outputs)),
    weights: { read: () => Promise.resolve({}) },
  } as unknown as Tools;
  const planning: Planning = {
    spec: SPEC,
    identities: { blocks: ["0", "1", "2"], embedding: "e", head: "h", rest: "r", companions: "c" },
    architecture: null,
    text: () => ({ identity: null, windows: WINDOWS, length: LENGTH }),
    task: () => ({ identity: null, items: 0, windows: 0, length: 0 }),
    device: "cpu",
    forward: { provider: "cpu", why: "there is no other" },
    roles: {
      packed: {
        model: from("pack", "model"),
        block: () => from("pack", "x"),
        formats: () => [],
        scales: "f16",
        reads: { scales: "", options: {} },
      },
    },
    warn: () => {},
    use: () => ({ tools, code: "" }),
  };
  const perplexity = [{ name: "text", dataset: { windows: "w", tensor: "t" } }];
  const steps = evaluate.plan(planning, { perplexity, divergence: true, tasks: [], fewshot: 0 }).filter(({ id }) =>
    id.includes("original")
  );
  const values = new Map<string, Json>(), files = new Map<string, Readonly<Record<string, Tensor>>>();
  const ids: Tensor = { dtype: "I32", shape: [WINDOWS, LENGTH], data: new Int32Array(WINDOWS * LENGTH) };
  files.set("evaluate.text.windows/ids.safetensors", { ids });
  for (const step of steps) {
    const context: Pick<StepContext, "input" | "output" | "progress" | "measure" | "signal"> = {
      signal: new AbortController().signal,
      progress: () => {},
      measure: () => {},
      input(name) {
        const { step: maker, output } = step.inputs[name], value = values.get(`${maker}.${output}`) ?? null;
        return Promise.resolve(
          { value, read: (file: string) => Promise.resolve(files.get(`${maker}/${file}`)) } as ArtifactReader,
        );
      },
      output: (name): ArtifactWriter => ({
        value: (value) => void values.set(`${step.id}.${name}`, value),
        path: (file) => file,
        write: (file, tensors) => Promise.resolve(void files.set(`${step.id}/${file}`, tensors)),
      }),
    };
    await step.run(context as StepContext);
  }
  return values.get("evaluate.text.original[2].loss") ?? null;
}

Deno.test("evaluate's last step hands on exp of the mean loss, in words where JSON has no such number", async () => {
  const tokens = WINDOWS * (LENGTH - 1), blocks = [1, 1, 1] as const;
  assert.deepEqual(await measure({ blocks, losses: [1, 3] }), { perplexity: Math.exp(2), tokens });
  assert.deepEqual(await measure({ blocks, losses: [1, 3000] }), { perplexity: "Infinity", tokens });
});

Deno.test("evaluate's last step names the first part of the model whose outputs are not finite", async () => {
  const tokens = WINDOWS * (LENGTH - 1), losses = [1, 3] as const;
  const cases: [Outputs, string][] = [
    [{ blocks: [1, 1, 1], losses: [1, NaN] }, "the head"],
    [{ blocks: [1, 1, 1], losses: [Infinity, 1] }, "the head"],
    [{ blocks: [Infinity, 1, 1], losses }, "block 0"],
    [{ blocks: [1, NaN, NaN], losses: [NaN, NaN] }, "block 1"],
    [{ blocks: [1, 1, -Infinity], losses }, "block 2"],
  ];
  for (const [outputs, lost] of cases) {
    assert.deepEqual(await measure(outputs), { perplexity: "NaN", tokens, lost }, JSON.stringify(outputs));
  }
});
