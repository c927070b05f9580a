/** What goes wrong gives one clear message, no stack, and the documented exit code. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Outcome, runTask, temporaryFolder } from "./command_line_test_support.ts";
import { type PlainTensor, readPlain, writePlain } from "./plain_safetensors_test_support.ts";
import { cutModel, models, type SmallRecipe, writeRecipe } from "./small_models_test_support.ts";

/** Where a case makes its mess. */
interface Scene {
  readonly folder: string;
  /** A model of one block that may be spoiled. */
  readonly model: string;
  /** Writes a recipe of that model. */
  recipe(changes?: Partial<SmallRecipe>): string;
  /** Changes a tensor of that model. */
  change(name: string, change: (tensor: PlainTensor) => PlainTensor): void;
}

interface Case {
  readonly name: string;
  readonly code: number;
  readonly says: readonly RegExp[];
  /** Makes the mess. @returns the task and its arguments, without cache and runs */
  readonly prepare: (scene: Scene) => readonly string[];
}

const GATE = "model.layers.0.mlp.gate_proj.weight";

const cases: readonly Case[] = [
  {
    name: "several mistakes in a recipe, all at once",
    code: 2,
    says: [
      /bad\.yaml:3:11/,
      /iteratons/,
      /did you mean `iterations`/,
      /bad\.yaml:4:/,
      /did you mean `hessian`/,
      /bad\.yaml:5:/,
      /\^/,
    ],
    prepare: ({ folder }) => {
      const path = join(folder, "bad.yaml");
      const model = JSON.stringify(models.llama);
      writeFileSync(
        path,
        `model: { path: ${model} }
stages:
  spbo: { iteratons: 3 }
  fine-search: { metric: hesian }
  coarse-search: { keep: 9, of: 8 }
`,
      );
      return ["run", path];
    },
  },
  {
    name: "a recipe that is not YAML",
    code: 2,
    says: [/broken\.yaml:2:/, /\^/],
    prepare: ({ folder }) => {
      const path = join(folder, "broken.yaml");
      writeFileSync(path, "model: { path: x }\nstages: [}\n");
      return ["plan", path];
    },
  },
  {
    name: "a recipe that is not there",
    code: 2,
    says: [/nowhere\.yaml/, /no such file/],
    prepare: ({ folder }) => ["run", join(folder, "nowhere.yaml")],
  },
  {
    name: "a model that is not there",
    code: 3,
    says: [/no-model/],
    prepare: ({ folder, recipe }) => ["run", recipe({ model: join(folder, "no-model"), windows: models.llama })],
  },
  {
    name: "a truncated checkpoint",
    code: 3,
    says: [/model\.safetensors/, /truncated|bytes|ends/],
    prepare: ({ model, recipe }) => {
      const path = join(model, "model.safetensors");
      truncateSync(path, readFileSync(path).length - 1000);
      return ["plan", recipe()];
    },
  },
  {
    name: "weights of a type that are no numbers to compute with",
    code: 3,
    says: [new RegExp(GATE.replaceAll(".", "\\.")), /I16/],
    prepare: ({ recipe, change }) => {
      change(GATE, (tensor) => ({ ...tensor, dtype: "I16" }));
      return ["run", recipe()];
    },
  },
  {
    name: "a NaN in the weights",
    code: 3,
    says: [new RegExp(GATE.replaceAll(".", "\\.")), /finite/, /NaN/],
    prepare: ({ recipe, change }) => {
      change(GATE, (tensor) => {
        const bytes = tensor.bytes.slice();
        // Float16 and bfloat16 alike.
        bytes.set([0xff, 0x7f], 2 * 777);
        return { ...tensor, bytes };
      });
      return ["run", recipe()];
    },
  },
  {
    name: "a tensor that is missing",
    code: 3,
    says: [/mlp\.gate_proj/],
    prepare: ({ model, recipe }) => {
      const path = join(model, "model.safetensors");
      writePlain(path, new Map([...readPlain(path).tensors].filter(([name]) => name !== GATE)));
      return ["plan", recipe()];
    },
  },
  {
    name: "a tensor of a shape that the config denies",
    code: 3,
    says: [/mlp\.gate_proj/, /768/],
    prepare: ({ recipe, change }) => {
      change(GATE, (tensor) => ({ ...tensor, shape: [256, 768] }));
      return ["run", recipe()];
    },
  },
  {
    name: "an architecture that is not supported",
    code: 3,
    says: [/gpt2|GPT2LMHeadModel/, /llama/i, /opt/i],
    prepare: ({ model, recipe }) => {
      const path = join(model, "config.json");
      const config = JSON.parse(readFileSync(path, "utf8"));
      writeFileSync(path, JSON.stringify({ ...config, model_type: "gpt2", architectures: ["GPT2LMHeadModel"] }));
      return ["plan", recipe()];
    },
  },
  {
    name: "windows that are not there",
    code: 3,
    says: [/windows\.safetensors/],
    prepare: ({ folder, recipe }) => ["run", recipe({ windows: join(folder, "nowhere") })],
  },
  {
    name: "windows of another name",
    code: 3,
    says: [/calibraton/, /calibration/],
    prepare: ({ recipe }) => {
      const dataset = { windows: join(models.llama, "windows.safetensors"), tensor: "calibraton" };
      return ["run", recipe({ stages: { calibrate: { dataset } } })];
    },
  },
  {
    name: "token ids that the model does not have",
    code: 3,
    says: [/2048/, /99999/],
    prepare: ({ folder, recipe }) => {
      const windows = join(folder, "windows");
      mkdirSync(windows);
      const ids = (value: number): PlainTensor => {
        const data = new Int32Array(16 * 64).fill(7).fill(value, 100, 101);
        return { dtype: "I32", shape: [16, 64], bytes: new Uint8Array(data.buffer) };
      };
      const path = join(windows, "windows.safetensors");
      writePlain(path, new Map([["calibration", ids(99999)], ["heldout", ids(7)]]));
      return ["run", recipe({ windows })];
    },
  },
  {
    name: "M that does not divide a layer's inputs",
    code: 3,
    says: [/_proj/, /256/, /multiple of 3/],
    prepare: ({ recipe }) => [
      "plan",
      recipe({ stages: { "coarse-search": { keep: 2, of: 3 }, spbo: { group_size: 96 } } }),
    ],
  },
  {
    name: "M that does not divide the group",
    code: 2,
    says: [/group_size/, /128/, /\^/],
    prepare: ({ recipe }) => ["plan", recipe({ stages: { "coarse-search": { keep: 2, of: 3 } } })],
  },
  {
    name: "a device that this version does not have",
    code: 2,
    says: [/cuda/, /auto, cpu, webgpu/],
    prepare: ({ recipe }) => ["run", recipe(), "--device", "cuda"],
  },
  {
    name: "an unknown command",
    code: 2,
    says: [/unknown command 'comprss'|unknown command/],
    prepare: () => ["pbs2p", "comprss"],
  },
  {
    name: "generating from nothing",
    code: 2,
    says: [/no-such-run/],
    prepare: () => ["generate", "no-such-run", "--prompt", "Once"],
  },
];

/** A message is short, has no stack, and asks for no report of what was foreseen. */
function assertClear({ err }: Outcome): void {
  assert.doesNotMatch(err, /^\s+at /m, err);
  assert.doesNotMatch(err, /not foreseen|Uncaught|\bundefined\b|\[object/, err);
  assert.ok(err.trim().split("\n").length <= 40, err);
}

function makeScene(folder: string): Scene {
  const model = join(folder, "model");
  cutModel(models.llama, model, 1);
  return {
    folder,
    model,
    recipe: (changes) => writeRecipe(folder, { model, windows: models.llama, ...changes }),
    change: (name, change) => {
      const path = join(model, "model.safetensors");
      const { tensors } = readPlain(path);
      writePlain(path, new Map([...tensors].map(([each, tensor]) => [each, each === name ? change(tensor) : tensor])));
    },
  };
}

for (const { name, code, says, prepare } of cases) {
  Deno.test(`the command line ends with ${code} and one clear message for ${name}`, async () => {
    using temporary = temporaryFolder();
    const folder = temporary.path;
    const [task, ...args] = prepare(makeScene(folder));
    const places = ["run", "plan"].includes(task) ? ["--cache", join(folder, "cache")] : [];
    const runs = task === "run" ? ["--runs", join(folder, "runs")] : [];
    const outcome = await runTask(task, [...args, ...places, ...runs]);
    assert.equal(outcome.code, code, `${outcome.out}\n${outcome.err}`);
    for (const pattern of says) assert.match(outcome.err, pattern);
    assertClear(outcome);
    assert.doesNotMatch(outcome.out, /^Done/m);
  });
}

Deno.test("the command line without a command shows help", async () => {
  const { out, err } = await runTask("pbs2p", []);
  for (const command of ["run", "plan", "runs", "cache", "inspect", "generate", "doctor", "schema", "bench"]) {
    assert.match(out + err, new RegExp(`^  ${command}\\b`, "m"));
  }
});

Deno.test("run ends with 2 where the cache or the runs cannot be, and says so", async () => {
  using temporary = temporaryFolder();
  const scene = makeScene(temporary.path);
  const file = join(temporary.path, "file");
  writeFileSync(file, "not a folder");
  for (const [option, other] of [["--cache", "--runs"], ["--runs", "--cache"]]) {
    const outcome = await runTask("run", [scene.recipe(), option, file, other, join(temporary.path, "other")]);
    assert.equal(outcome.code, 2, outcome.err);
    assert.ok(outcome.err.includes(file) && outcome.err.includes(option), outcome.err);
    assertClear(outcome);
  }
});

/** Mounts a disk of its own, of so many MiB; says why where it cannot. */
function mountDisk(path: string, options: string): boolean {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) {
    console.log("skipped: a disk of its own needs Linux and root");
    return false;
  }
  mkdirSync(path);
  const { success, stderr } = new Deno.Command("mount", {
    args: ["-t", "tmpfs", "-o", options, "tmpfs", path],
  }).outputSync();
  if (!success) console.log(`skipped: no disk can be mounted here: ${new TextDecoder().decode(stderr).trim()}`);
  return success;
}

function unmount(path: string): void {
  assert.ok(new Deno.Command("umount", { args: [path] }).outputSync().success);
}

for (const place of ["cache", "runs"]) {
  Deno.test(`run on a disk that gets full under its ${place} ends with 4, and goes on when there is room`, async () => {
    using temporary = temporaryFolder();
    const folder = temporary.path;
    const scene = makeScene(folder);
    const disk = join(folder, "disk");
    if (!mountDisk(disk, "size=1m")) return;
    try {
      const places = { cache: join(folder, "cache"), runs: join(folder, "runs"), [place]: join(disk, place) };
      const args = [scene.recipe(), "--cache", places.cache, "--runs", places.runs];
      const outcome = await runTask("run", args);
      assert.equal(outcome.code, 4, `${outcome.out}\n${outcome.err}`);
      assert.match(outcome.err, /disk is full/);
      assert.ok(outcome.err.includes(disk), outcome.err);
      assertClear(outcome);
      if (place === "cache") assert.deepEqual(readdirSync(join(places.cache, "tmp")), []);
      const remount = new Deno.Command("mount", { args: ["-o", "remount,size=64m", disk] }).outputSync();
      assert.ok(remount.success);
      const again = await runTask("run", args);
      assert.equal(again.code, 0, `${again.out}\n${again.err}`);
    } finally {
      unmount(disk);
    }
  });
}

Deno.test("run ends with 2 on a cache that may not be written to, and says so", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  const scene = makeScene(folder);
  const disk = join(folder, "disk");
  if (!mountDisk(disk, "ro,size=1m")) return;
  try {
    const runs = join(folder, "runs");
    const outcome = await runTask("run", [scene.recipe(), "--cache", join(disk, "cache"), "--runs", runs]);
    assert.equal(outcome.code, 2, outcome.err);
    assert.ok(outcome.err.includes(disk), outcome.err);
    assertClear(outcome);
  } finally {
    unmount(disk);
  }
});
