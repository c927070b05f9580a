/** Bytes of safetensors files, for tests that put them elsewhere than on the disk. */
import { join } from "node:path";
import { type Tensor, writeSafetensors } from "./safetensors.ts";

/** The bytes that `writeSafetensors` writes. */
export async function encodeSafetensors(tensors: Readonly<Record<string, Tensor>>): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "x.safetensors");
    await writeSafetensors(path, tensors);
    return await Deno.readFile(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
