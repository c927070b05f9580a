import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeLayer } from "../../kernels/binary/ops.ts";
import { randomLayer } from "../../kernels/binary/quantized_layer_test_support.ts";
import { InputError } from "../../files/input_error.ts";
import { openPacked } from "./open.ts";
import type { EncodedLayer } from "./format.ts";
import { contentOf, encodeLayer } from "./planes.ts";
import { type PackedContent, writePackedModel } from "./write.ts";
import type { Tensor } from "../../files/safetensors.ts";

const SHAPE = {
  rows: 24,
  cols: 192,
  groupSize: 128,
  keep: 4,
  of: 8,
  type: "semi-structured",
  segments: 3,
  salient: true,
} as const;
const OPTIONS = { mask: "enumerative", scales: "f16" } as const;
const NAMES = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj"];
const LAYERS = NAMES.map((name, i) => [name, randomLayer({ ...SHAPE, keep: 4 + i }, i)] as const);
const NORM: Tensor = { dtype: "BF16", shape: [3], data: new Uint16Array([0x3f80, 0xbf80, 0x4000]) };

function content(change: Partial<PackedContent> = {}): PackedContent {
  return {
    layers: LAYERS.map(([name, layer]) => [name, encodeLayer(layer, OPTIONS)] as const),
    others: [["model.norm.weight", NORM]],
    config: { model_type: "llama" },
    tokenizer: { kind: "files", tokenizer: { model: {} }, config: { bos_token: "<s>" } },
    source: { label: "tiny" },
    ...change,
  };
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-packed-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("openPacked() reads what writePackedModel() wrote", () =>
  withFolder(async (folder) => {
    const written = await writePackedModel(folder, content());
    const packed = await openPacked(folder);
    try {
      assert.equal(packed.format, "packed");
      assert.equal(packed.bytes, (await stat(written.path)).size);
      assert.equal(packed.bytes, written.bytes);
      assert.deepEqual([...packed.tensors.keys()], [...NAMES.map((name) => `${name}.weight`), "model.norm.weight"]);
      for (const [name, layer] of LAYERS) {
        assert.deepEqual(await packed.layer(name), contentOf(layer));
        assert.deepEqual(await packed.read(`${name}.weight`), decodeLayer(layer));
        assert.deepEqual(packed.tensors.get(`${name}.weight`)?.shape, [24, 192]);
      }
      assert.deepEqual(await packed.read("model.norm.weight"), new Float32Array([1, -1, 2]));
      assert.deepEqual(packed.tokenizer, { kind: "files", tokenizer: { model: {} }, config: { bos_token: "<s>" } });
      assert.equal(packed.config.model_type, "llama");
      assert.deepEqual(packed.config.quantization_config, { quant_method: "pbs2p", version: 1 });
      assert.deepEqual(packed.source, { label: "tiny" });
      await packed.verify();
      await assert.rejects(packed.read("nothing"), { name: "InputError", message: /no such tensor/ });
    } finally {
      packed.close();
    }
  }));

Deno.test("writePackedModel() writes the same bytes again, and leaves nothing when a layer cannot be made", () =>
  withFolder(async (folder) => {
    const first = await writePackedModel(join(folder, "a"), content());
    const second = await writePackedModel(join(folder, "b"), content());
    assert.equal(first.sha256, second.sha256);
    async function* broken(): AsyncGenerator<readonly [string, EncodedLayer]> {
      yield [NAMES[0], encodeLayer(LAYERS[0][1], OPTIONS)];
      await Promise.reject(new Error("The disk is full"));
    }
    await assert.rejects(writePackedModel(join(folder, "c"), content({ layers: broken() })), /The disk is full/);
    assert.deepEqual([...Deno.readDirSync(join(folder, "c"))], []);
    const twice = content({ others: [["a", NORM], ["a", NORM]] });
    await assert.rejects(writePackedModel(join(folder, "c"), twice), /two tensors of one name: "a"/);
  }));

Deno.test("openPacked() refuses a file cut anywhere", () =>
  withFolder(async (folder) => {
    const { path, bytes } = await writePackedModel(folder, content());
    const whole = await readFile(path);
    for (const length of [0, 7, 8, 100, bytes >> 1, bytes - 1]) {
      await writeFile(path, whole);
      await truncate(path, length);
      await assert.rejects(openPacked(folder), InputError, `${length} bytes`);
    }
  }));

Deno.test("openPacked() refuses other versions, other files and headers that are not its own", () =>
  withFolder(async (folder) => {
    const { path } = await writePackedModel(folder, content());
    const whole = (await readFile(path)).toString("latin1");
    const cases: [string, string, RegExp][] = [
      ['"version":"1"', '"version":"2"', /version must be 1: current value is 2/],
      ['"format":"pbs2p"', '"format":"pt___"', /not those of format "pbs2p"/],
      [
        '\\"segments\\":3',
        '\\"segments\\":9',
        /list of packed layers is malformed at "model.*": segments is none that .*: current value is 9; pack it again/,
      ],
      ['\\"rows\\":24', '\\"rows\\":-4', /list of packed layers is malformed/],
      [
        '\\"groupSize\\":128',
        '\\"format\\":\\"xy\\"',
        /format "xy": this version knows .*planes.*; use a newer pbs2p$/,
      ],
      [`${NAMES[0]}.scales"`, `${NAMES[0]}.scalez"`, /has no tensor/],
    ];
    for (const [from, to, message] of cases) {
      assert.ok(whole.includes(from), from);
      await writeFile(path, Buffer.from(whole.replace(from, to), "latin1"));
      await assert.rejects(openPacked(folder), { name: "InputError", message }, from);
    }
    await writePackedModel(folder, content({ others: [[`${NAMES[1]}.weight`, NORM]] }));
    await assert.rejects(openPacked(folder), { name: "InputError", message: /packed and unpacked/ });
    await rm(path);
    await assert.rejects(openPacked(folder), { name: "InputError", message: /no such file/ });
  }));

Deno.test("verify() finds any changed byte of the tensors; decoding never crashes on one", () =>
  withFolder(async (folder) => {
    const { path, bytes } = await writePackedModel(folder, content());
    const whole = await readFile(path);
    const dataBegin = 8 + Number(whole.readBigUInt64LE(0));
    for (let at = dataBegin; at < bytes; at += 97) {
      await writeFile(path, whole.with(at, whole[at] ^ 0x11));
      const packed = await openPacked(folder);
      try {
        await assert.rejects(packed.verify(), { name: "InputError", message: /not the ones that were written/ });
        for (const name of NAMES) {
          await packed.layer(name).catch((error) => assert.ok(error instanceof InputError, `byte ${at}: ${error}`));
        }
      } finally {
        packed.close();
      }
    }
  }));

Deno.test("openPacked() opens or refuses a file with any changed byte in its header, and nothing else", () =>
  withFolder(async (folder) => {
    const { path } = await writePackedModel(folder, content());
    const whole = await readFile(path);
    const dataBegin = 8 + Number(whole.readBigUInt64LE(0));
    for (let at = 0; at < dataBegin; at += 7) {
      await writeFile(path, whole.with(at, whole[at] ^ (1 + at % 5)));
      const refused = (error: unknown) => assert.ok(error instanceof InputError, `byte ${at}: ${error}`);
      const packed = await openPacked(folder).catch(refused);
      for (const name of packed?.layers.keys() ?? []) await packed?.layer(name).catch(refused);
      packed?.close();
    }
  }));

Deno.test("openPacked() says what a file of the folder is instead", () =>
  withFolder(async (folder) => {
    await writePackedModel(folder, content());
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:5d\nsize 700\n";
    for (const name of ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]) {
      const path = join(folder, name);
      const whole = await readFile(path);
      for (
        const [text, message] of [[pointer, /git lfs pull/], ["", /it is empty/], ["<html>", /an HTML page/]] as const
      ) {
        await writeFile(path, text);
        await assert.rejects(openPacked(folder), { name: "InputError", message }, name);
        await assert.rejects(openPacked(folder), { name: "InputError", message: new RegExp(name) });
      }
      await rm(path);
      await symlink("../../blobs/abab", path);
      await assert.rejects(openPacked(folder), { name: "InputError", message: /link to .*which is not there/ }, name);
      await rm(path);
      await writeFile(path, whole);
    }
  }));
