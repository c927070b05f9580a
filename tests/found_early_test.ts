/** What configs, headers and recipes tell is told before any work: by `plan`, and in the first second of `run`. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import { project, temporaryFolder } from "./command_line_test_support.ts";
import { cutModel, models, smallRecipe } from "./small_models_test_support.ts";

type Settings = Readonly<Record<string, unknown>>;

const ids = (windows: number, length: number, of: (at: number) => number = (at) => 3 + at % 100): Tensor => ({
  dtype: "I32",
  shape: [windows, length],
  data: Int32Array.from({ length: windows * length }, (_, at) => of(at)),
});

/** Models, windows and texts that fit, and such that do not. */
async function prepare(folder: string): Promise<void> {
  for (const [name, from] of Object.entries(models)) cutModel(from, join(folder, name), 1);
  const variant = (name: string, { from, config = {}, without = [] }: {
    readonly from: string;
    readonly config?: Settings;
    readonly without?: readonly string[];
  }) => {
    mkdirSync(join(folder, name));
    for (const file of ["model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
      if (!without.includes(file)) symlinkSync(join(folder, from, file), join(folder, name, file));
    }
    const original = JSON.parse(readFileSync(join(folder, from, "config.json"), "utf8"));
    writeFileSync(join(folder, name, "config.json"), JSON.stringify({ ...original, ...config }));
  };
  variant("short", { from: "llama", config: { max_position_embeddings: 48 } });
  const stretched = (type: string) => ({ max_position_embeddings: 48, rope_scaling: { type, factor: 2 } });
  variant("dynamic", { from: "llama", config: stretched("dynamic") });
  variant("linear", { from: "llama", config: stretched("linear") });
  variant("mute", { from: "llama", without: ["tokenizer.json", "tokenizer_config.json"] });
  // Older models have two files in place of tokenizer.json.
  variant("torn", { from: "llama", without: ["tokenizer.json", "tokenizer_config.json"] });
  writeFileSync(join(folder, "torn", "tokenizer_config.json"), '{"tokenizer_class": "GPT2Tokenizer"}');
  writeFileSync(join(folder, "torn", "vocab.json"), '{"a": 0, "b": 1}');
  writeFileSync(join(folder, "torn", "merges.txt"), "a b\n");
  await writeSafetensors(join(folder, "w.safetensors"), {
    fine: ids(8, 64),
    few: ids(7, 64),
    narrow: ids(8, 63),
    wide: ids(8, 600),
    high: ids(8, 64, (at) => at === 500 ? 2048 : 5),
    negative: ids(8, 64, (at) => at === 500 ? -1 : 5),
    float: { dtype: "F32", shape: [8, 64], data: new Float32Array(512) },
    flat: { dtype: "I32", shape: [512], data: new Int32Array(512) },
  });
  mkdirSync(join(folder, "folder"));
  writeFileSync(join(folder, "empty.txt"), "");
  writeFileSync(join(folder, "short.txt"), "Whales were seen at noon.");
  writeFileSync(join(folder, "latin.txt"), Uint8Array.from({ length: 500 }, () => 0xe9));
  writeFileSync(join(folder, "long.txt"), "Whales were seen at noon, and again at three. ".repeat(99));
}

/** Model, settings of calibration and of the second evaluation, and what is said; nothing where it is in order. */
type Row = readonly [model: string, part: "calibrate" | "evaluate", settings: Settings, said?: RegExp];

function rows(folder: string): Row[] {
  const stored = (tensor: string, more: Settings = {}) => ({
    dataset: { windows: join(folder, "w.safetensors"), tensor },
    ...more,
  });
  const text = (name: string, more: Settings = {}) => ({ dataset: { text: join(folder, name) }, ...more });
  const both = (model: string, settings: Settings, said?: RegExp): Row[] => [
    [model, "calibrate", settings, said],
    [model, "evaluate", settings, said],
  ];
  const positions = (limit: number) =>
    new RegExp(`longer than its ${limit} positions .*length is \\d+; set stages\\..*length to ${limit} or less$`);
  return [
    ...both("llama", stored("fine")),
    ...both("llama", text("long.txt")),
    ...both("llama", stored("fine", { length: 65 }), /its windows hold 64 tokens: length is 65; lower it to 64/),
    ...both("llama", stored("narrow"), /its windows hold 63 tokens: length is 64/),
    ...both("llama", stored("absent"), /no such tensor; it holds .*fine \(I32 \[8, 64\]\)/),
    ...both("llama", stored("float"), /must be I32 or I64 .*current value is F32 \[8, 64\]/),
    ...both("llama", stored("flat"), /must be I32 or I64 \[windows, length ≥ 2\]: current value is I32 \[512\]/),
    ...both("llama", stored("high"), /vocabulary of 2048: current value is 2048 at \[7, 52\]/),
    ...both("llama", stored("negative"), /current value is -1 at \[7, 52\]/),
    ["llama", "calibrate", stored("few"), /holds 7 windows: samples is 8; lower it to 7 or less/],
    ["llama", "evaluate", stored("few")],
    ...both("llama", { dataset: { windows: join(folder, "none"), tensor: "x" } }, /none: there is no such file/),
    ...both(
      "llama",
      { dataset: { windows: join(folder, "folder"), tensor: "x" } },
      /it is a folder, not a file/,
    ),
    ...both("llama", text("none.txt"), /none\.txt: there is no such file/),
    ...both("llama", text("folder"), /it is a folder/),
    ...both("llama", text("empty.txt"), /it is empty/),
    ...both("llama", text("short.txt"), /windows of 64 tokens: it has \d+; lower length or use more text/),
    ...both("llama", text("latin.txt"), /it is not UTF-8/),
    ["llama", "calibrate", text("long.txt", { samples: 1e6, length: 512 * 512 }), positions(512)],
    ["dynamic", "calibrate", text("long.txt", { samples: 1e6, length: 2048 }), /together they must have at most/],
    ["llama", "calibrate", stored("wide", { length: 513 }), positions(512)],
    ["llama", "evaluate", stored("wide", { length: 513 }), positions(512)],
    ["llama", "evaluate", stored("wide", { length: undefined }), /w\.safetensors has windows of 600 tokens; set/],
    ["opt", "calibrate", stored("wide", { length: 513 }), positions(512)],
    ["opt", "evaluate", stored("wide", { length: 513 }), positions(512)],
    ...both("short", text("long.txt"), positions(48)),
    ["short", "evaluate", text("long.txt", { length: undefined })],
    ...both("linear", stored("fine"), positions(48)),
    ...both("dynamic", stored("fine")),
    ...both("mute", stored("fine")),
    ...both("mute", text("long.txt"), /has no tokenizer; add tokenizer\.json to its folder, or give token windows/),
    ...both("torn", stored("fine"), /merges\.txt of torn: line 1 must be two tokens that vocab\.json has/),
    ...both("mute", { dataset: "wikitext2" }, /text of stages\.\S+\.dataset as mute has no tokenizer/),
  ];
}

function recipeOf(folder: string, [model, part, settings]: Row): Settings {
  const windows = join(folder, "w.safetensors");
  const fine = { dataset: { windows, tensor: "fine" }, samples: 8, length: 40 };
  const changed = { samples: 8, length: 64, ...settings };
  return {
    ...smallRecipe({
      model: join(folder, model),
      stages: {
        calibrate: part === "calibrate" ? changed : fine,
        evaluate: {
          perplexity: [
            { name: "first", ...fine },
            { name: "second", ...(part === "evaluate" ? changed : fine) },
          ],
        },
      },
    }),
    extends: join(project, "configs", "bases", "best.yaml"),
  };
}

Deno.test("plan and run refuse before any work what a recipe, a config or a header tells, and nothing else", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await prepare(folder);
  for (const row of rows(folder)) {
    const path = join(folder, "recipe.yaml");
    writeFileSync(path, stringify(recipeOf(folder, row)));
    const { recipe } = await loadRecipe(path);
    const [model, part, settings, said] = row, what = JSON.stringify([model, part, settings]);
    for (const purpose of said === undefined ? ["plan"] as const : ["plan", "run"] as const) {
      const opening = pipeline.open(recipe, { purpose, device: "cpu", cache: join(folder, "cache") });
      const failure = await opening.then(async (subject) => await subject.close(), (error: Error) => error);
      if (said === undefined) assert.equal(failure, undefined, `${what}: ${failure}`);
      else {
        assert.ok(failure !== undefined, `${what} is not refused`);
        assert.deepEqual(
          [failure.name, said.test(failure.message)],
          ["InputError", true],
          `${what}: ${failure.message}`,
        );
        if (model !== "torn") {
          assert.match(failure.message, new RegExp(`stages\\.${part}`), "it names the recipe's key");
        }
        assert.ok(!failure.message.includes("\n"), failure.message);
      }
    }
  }
});

Deno.test("what dynamic rotary scaling stretches, and ids that the model lacks, are told", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await prepare(folder);
  const path = join(folder, "recipe.yaml"), windows = join(folder, "w.safetensors");
  const told = async (row: Row) => {
    writeFileSync(path, stringify(recipeOf(folder, row)));
    const warnings: string[] = [];
    const { recipe } = await loadRecipe(path);
    const options = { purpose: "plan", device: "cpu", cache: join(folder, "cache") } as const;
    await (await pipeline.open(recipe, { ...options, warn: (message) => warnings.push(message) })).close();
    return warnings;
  };
  const stored = { dataset: { windows, tensor: "fine" } };
  const [stretched, ...rest] = await told(["dynamic", "evaluate", stored]);
  assert.match(stretched, /^stages\.evaluate\.perplexity\.1\.length is 64, beyond the 48 positions of dynamic: /);
  assert.deepEqual(rest.filter((message) => message.includes("positions")), []);
  const definition = JSON.parse(readFileSync(join(folder, "llama", "tokenizer.json"), "utf8"));
  definition.added_tokens.push({ id: 2048, content: "<pad>", special: true });
  writeFileSync(join(folder, "llama", "tokenizer.json"), JSON.stringify(definition));
  const text = (name: string) => ["llama", "evaluate", { dataset: { text: join(folder, name) } }] as const;
  const warnings = await told(text("long.txt"));
  assert.ok(warnings.some((each) => each.includes("has 2049 ids and the model 2048")), warnings.join("\n"));
  writeFileSync(join(folder, "padded.txt"), "Whales were seen. ".repeat(300) + "<pad>");
  await assert.rejects(told(text("padded.txt")), /below its vocabulary of 2048: current value is 2048 at token/);
});

Deno.test("windows of all texts are made before any block is worked on", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await prepare(folder);
  const path = join(folder, "recipe.yaml");
  const text = { dataset: { text: join(folder, "long.txt") } };
  writeFileSync(path, stringify(recipeOf(folder, ["llama", "evaluate", text])));
  const { recipe } = await loadRecipe(path);
  const subject = await pipeline.open(recipe, { purpose: "plan", device: "cpu", cache: join(folder, "cache") });
  const early = subject.steps.filter(({ early }) => early).map(({ id }) => id);
  assert.deepEqual(early.toSorted(), ["calibrate.windows", "evaluate.first.windows", "evaluate.second.windows"]);
  await subject.close();
});
