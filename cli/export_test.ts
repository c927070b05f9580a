import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linesOf, startTask } from "../tests/command_line_test_support.ts";
import { asExportError } from "./export.ts";
import { exitCodeOf } from "../runner/run_errors.ts";
import { main } from "./main.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

const MODEL = "configs/models/tiny-llama";

/** Runs `export`; what it printed, and its exit code. */
async function run(...args: readonly string[]) {
  const terminal = memoryTerminal({ width: 120 });
  const code = await main(["export", ...args], terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "export-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("export says what it wrote, what rounding cost, and where it runs; programs are told in JSON", () =>
  withFolder(async (folder) => {
    const { code, out } = await run(
      MODEL,
      "--to",
      folder,
      "--format",
      "gguf",
      "--type",
      "q8_0",
      "--name",
      "My model/1",
    );
    assert.equal(code, 0);
    assert.match(out, /^written {3}gguf Q8_0, 5\.\d MiB in one file$/m);
    assert.match(out, /^compared {2}56 tensors: .*rounded to Q8_0, which changes 43\s+of them;\s+most, by 0\.\d+ %/m);
    assert.match(out, /^runs in {3}llama\.cpp, .*Ollama/m);
    assert.deepEqual(readdirSync(folder), ["My-model-1-Q8_0.gguf"]);
    const json = await run(MODEL, "--to", join(folder, "hf"), "--format", "safetensors", "--json");
    const { files, tensors, exact, weights: [{ name, sha256 }] } = JSON.parse(json.out);
    assert.deepEqual([tensors, exact, name, files.at(-1)], [56, 56, "model.safetensors", "config.json"]);
    assert.match(sha256, /^[0-9a-f]{64}$/);
  }));

const refused: readonly {
  readonly what: string;
  readonly args: readonly string[];
  readonly code: number;
  readonly says: RegExp;
}[] = [
  { what: "no format", args: [MODEL, "--to", "x"], code: 2, says: /required option '--format/ },
  { what: "no folder", args: [MODEL, "--format", "gguf"], code: 2, says: /required option '--to/ },
  {
    what: "a type of another format",
    args: [MODEL, "--to", "x", "--format", "safetensors", "--type", "q8_0"],
    code: 2,
    says: /Cannot export safetensors as q8_0: --type must be one of f16, bf16; the others are GGUF's/,
  },
  {
    what: "a folder that is full",
    args: [MODEL, "--to", "configs", "--format", "safetensors"],
    code: 2,
    says: /not empty .*--force/,
  },
  {
    what: "a folder that is a file",
    args: [MODEL, "--to", "deno.json", "--format", "gguf"],
    code: 2,
    says: /Cannot export to .*deno.json as it is no folder/,
  },
  {
    what: "no model",
    args: ["nowhere", "--to", "x", "--format", "gguf"],
    code: 2,
    says: /no such (file, folder or )?run/,
  },
  {
    what: "codes that do not fit",
    args: [MODEL, "--to", join(tmpdir(), "export-none"), "--format", "gguf", "--type", "q2_0"],
    code: 3,
    says: /as Q2_0: .*nothing is written that only comes near/,
  },
];

for (const { what, args, code, says } of refused) {
  Deno.test(`export refuses ${what}`, async () => {
    const outcome = await run(...args);
    assert.match(outcome.err.replaceAll(/\s+/g, " "), says);
    assert.equal(outcome.code, code);
  });
}

Deno.test("export tells of a full disk as its own folder's, with the house's exit code", () => {
  const full = Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
  const tensors = new Map([["a", { shape: [1024, 1024] }]]);
  const error = asExportError(full, "/tmp", { tensors });
  assert.ok(error instanceof Error);
  assert.match(error.message, /^Cannot write to \/tmp as the disk is full: up to 2.0 MiB are needed.*--to$/);
  assert.equal(exitCodeOf(error), 4);
  assert.equal(asExportError(error, "/tmp", { tensors }), error);
});

Deno.test({
  name: "export leaves nothing under a final name when it is killed, and the same command goes through then",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder(async (folder) => {
      const to = join(folder, "out"), args = [MODEL, "--to", to, "--format", "safetensors", "--shard-size", "1MiB"];
      const process = startTask("export", args);
      const drained = [process.stdout, process.stderr].map(async (stream) => await Array.fromAsync(linesOf(stream)));
      while (!existsSync(join(to, ".safetensors.part"))) await new Promise((done) => setTimeout(done, 2));
      process.kill("SIGKILL");
      await Promise.all([process.status, ...drained]);
      assert.deepEqual(readdirSync(to), [".safetensors.part"]);
      assert.equal((await run(...args)).code, 0);
      assert.ok(readdirSync(to).includes("config.json") && !readdirSync(to).some((name) => name.endsWith(".part")));
    }),
});
