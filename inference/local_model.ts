/** Models that are on this machine: opened without asking the network, and read once for several texts. */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import type { ModelSource } from "../checkpoints/open.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { UnreachableError } from "../hub/mod.ts";
import { openModel } from "../models/open_model.ts";

/** Bytes of weights that are kept decoded between texts. */
const KEPT = 1024 ** 3;

/**
 * Opens a model as recipes name it, or a packed folder, and asks no network: what is not on this disk is not there.
 *
 * @param source with absolute paths
 * @param options `cache`: the folder that models of the hub were downloaded to
 * @throws {InputError} when it is not here, or cannot be read
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openLocalModel } from "./local_model.ts";
 *
 * const cache = await Deno.makeTempDir();
 * const model = await openLocalModel({ path: "configs/models/tiny-llama" }, { cache });
 * assert.equal(model.label, "tiny-llama");
 * model.close();
 * const absent = { hub: "owner/name", revision: "main" };
 * await assert.rejects(openLocalModel(absent, { cache }), /Cannot find owner\/name on this machine/);
 * await Deno.remove(cache, { recursive: true });
 * ```
 */
export async function openLocalModel(
  source: ModelSource,
  { cache }: { readonly cache: string },
): Promise<Checkpoint> {
  if ("path" in source) return await openModel(source, { packed: openPacked });
  // Whatever would be asked of the network ends with this instead; a branch is then what it was last.
  const offline = new UnreachableError(
    `Cannot find ${source.hub} on this machine, and nothing is downloaded here: a run of its recipe downloads it`,
  );
  return await openModel(source, { cache, token: null, signal: AbortSignal.abort(offline) });
}

/**
 * The same checkpoint, which decodes each tensor once: a packed model takes longer to decode than to run.
 *
 * Costs 4 bytes a weight as long as it is open, up to a limit beyond which tensors are decoded again.
 *
 * @param limit bytes
 */
export function keepDecoded(checkpoint: Checkpoint, limit = KEPT): Checkpoint {
  const kept = new Map<string, Float32Array>();
  let bytes = 0;
  return {
    ...checkpoint,
    async read(name) {
      const known = kept.get(name);
      // A copy, as readers move what they are given elsewhere.
      if (known !== undefined) return known.slice();
      const values = await checkpoint.read(name);
      if (bytes + values.byteLength <= limit) {
        kept.set(name, values.slice());
        bytes += values.byteLength;
      }
      return values;
    },
    close() {
      kept.clear();
      checkpoint.close();
    },
  };
}
