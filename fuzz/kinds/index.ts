/** Indices of sharded models, and the shards they name. */
import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { projectFolder } from "../../cli/places.ts";
import { writeSafetensors } from "../../files/safetensors.ts";
import type { Kind } from "../kind.ts";
import { readModel } from "../read_model.ts";
import { smallTensors, writeDescription, writeJson } from "../small_model.ts";

/** The kind. */
export const index: Kind = {
  name: "index",
  async make(folder) {
    const [shards, pytorch] = ["safetensors", "pytorch"].map((name) => join(folder, name));
    for (const each of [shards, pytorch]) await Deno.mkdir(each);
    await writeShards(shards);
    const from = join(projectFolder, "checkpoints", "testdata", "tiny_opt");
    for (const name of await readdir(from)) await copyFile(join(from, name), join(pytorch, name));
    return [
      {
        name: "safetensors",
        targets: [
          { path: "model.safetensors.index.json", syntax: "json" },
          { path: "model.safetensors.index.json", syntax: "json" },
          { path: "model-00001-of-00002.safetensors", syntax: "safetensors" },
        ],
      },
      { name: "pytorch", targets: [{ path: "pytorch_model.bin.index.json", syntax: "json" }] },
    ];
  },
  read: (folder, _sample, seen) => readModel({ path: folder }, seen),
};

async function writeShards(folder: string): Promise<void> {
  const tensors = Object.entries(smallTensors());
  const half = Math.ceil(tensors.length / 2);
  const parts = [tensors.slice(0, half), tensors.slice(half)];
  const shardOf: Record<string, string> = {};
  let bytes = 0;
  for (const [at, part] of parts.entries()) {
    const shard = `model-0000${at + 1}-of-00002.safetensors`;
    await writeSafetensors(join(folder, shard), Object.fromEntries(part), {}, { flush: false });
    for (const [name, { data }] of part) {
      shardOf[name] = shard;
      bytes += data.byteLength;
    }
  }
  await writeDescription(folder);
  await writeJson(join(folder, "model.safetensors.index.json"), {
    metadata: { total_size: bytes },
    weight_map: shardOf,
  });
}
