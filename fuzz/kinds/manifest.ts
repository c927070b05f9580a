/** Caches: artifacts with their manifests, and the index. */
import { join } from "node:path";
import { cacheCommand } from "../../cli/cache.ts";
import { MANIFEST, parseManifest, renderManifest } from "../../runner/cache/manifest.ts";
import { type KeyComponents, outputKey, stepKey } from "../../runner/keys.ts";
import { openCache } from "../../runner/mod.ts";
import type { Kind, Target } from "../kind.ts";
import { runQuietly } from "../quiet.ts";
import { smallTensors } from "../small_model.ts";

const COMPONENTS: KeyComponents = {
  stage: "spbo",
  code: "0".repeat(64),
  reads: { "stages.spbo.iterations": 15, "stages.spbo.solver": "joint" },
  facts: { layer: [16, 16], damping: 0.01 },
  inputs: { weights: "1".repeat(64) },
};

/** When artifacts were made, whenever this runs. */
const CREATED = Date.UTC(2026, 0, 1);

const STEP = stepKey(COMPONENTS);
const KEY = outputKey(STEP, "layers");
const PLACE = `artifacts/${KEY.slice(0, 2)}/${KEY}`;

/** The kind. */
export const manifest: Kind = {
  name: "manifest",
  async make(folder) {
    const cache = await openCache(join(folder, "cache"));
    const draft = cache.draft({ flush: false });
    await draft.write("weights.safetensors", smallTensors());
    draft.value({ errors: { "model.layers.0.self_attn.q_proj": 0.25 }, keep: [4], note: "none" });
    await cache.publish({
      ...{ stepKey: STEP, components: COMPONENTS, step: "spbo[0]", stage: "spbo", model: "small" },
      ...{ seconds: 2.5, stages: { spbo: 2, compensate: 0.5 }, estimate: 3 },
      drafts: { layers: { draft, retain: "keep" } },
    });
    cache.close();
    const path = join(folder, "cache", PLACE, MANIFEST);
    const made = parseManifest(await Deno.readFile(path), KEY);
    await Deno.writeTextFile(path, renderManifest({ ...made, created: CREATED }));
    // The index holds times; it is made again when it is not there.
    await Deno.remove(join(folder, "cache", "index.sqlite"));
    await Deno.remove(join(folder, "cache", "live"), { recursive: true });
    return [{
      name: "cache",
      targets: [
        ...Array<Target>(4).fill({ path: `${PLACE}/${MANIFEST}`, syntax: "manifest" }),
        { path: `${PLACE}/weights.safetensors`, syntax: "safetensors" },
      ],
    }];
  },
  async read(folder, _sample, seen) {
    for (const command of ["ls", "du", "verify", "gc"]) await runQuietly(cacheCommand, [command, "--cache", folder]);
    const cache = await openCache(folder);
    try {
      seen("artifacts", cache.list());
      seen("usage", cache.usage());
      seen("records", [cache.records("small", "spbo[0]"), cache.recordsOfStage("spbo"), cache.producer(KEY) ?? null]);
      await cache.findDamaged([KEY]);
      if (!cache.has(KEY)) return;
      const artifact = cache.read(KEY);
      seen("value", artifact.value);
      for (const file of artifact.files) await artifact.read(file);
    } finally {
      cache.close();
    }
  },
};
