/** Models whose weights are PyTorch's state dicts: zip files of a pickle and of raw numbers, written by PyTorch itself. */
import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { projectFolder } from "../../cli/places.ts";
import { parseStateDict, readTorchTensor } from "../../checkpoints/pytorch.ts";
import { openFile } from "../../files/byte_source.ts";
import type { Kind, Seen } from "../kind.ts";
import { readModel } from "../read_model.ts";

const testdata = join(projectFolder, "checkpoints", "testdata");

/** The kind. */
export const bin: Kind = {
  name: "bin",
  async make(folder) {
    const [shards, views] = ["shards", "views"].map((name) => join(folder, name));
    for (const each of [shards, views]) await Deno.mkdir(each);
    const from = join(testdata, "tiny_opt");
    for (const name of await readdir(from)) await copyFile(join(from, name), join(shards, name));
    await copyFile(join(testdata, "views.bin"), join(views, "pytorch_model.bin"));
    const zips = (await readdir(from)).filter((name) => name.endsWith(".bin")).sort();
    return [
      { name: "shards", targets: zips.map((path) => ({ path, syntax: "zip" })) },
      { name: "views", targets: [{ path: "pytorch_model.bin", syntax: "zip" }] },
    ];
  },
  read: (folder, sample, seen) => sample === "views" ? readViews(folder, seen) : readModel({ path: folder }, seen),
};

/** Tensors of every type, and no model's. */
async function readViews(folder: string, seen: Seen): Promise<void> {
  const source = await openFile(join(folder, "pytorch_model.bin"));
  try {
    for (const [name, tensor] of await parseStateDict(source)) {
      const { shape, data } = await readTorchTensor(source, tensor);
      seen(name, shape);
      // Views of floats may be anything, as these are bits.
      if (data.length !== shape.reduce((product, length) => product * length, 1)) {
        throw new TypeError(`Cannot use ${name}: it has ${data.length} elements and shape [${shape}]`);
      }
    }
  } finally {
    source.close();
  }
}
