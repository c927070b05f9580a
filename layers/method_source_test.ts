import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openCpuDevice } from "../kernels/cpu.ts";
import { findMethod } from "./find_method.ts";
import type { LayerJob, MethodSource } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { loadMethods, methodsOf } from "./method_source.ts";
import { openLayerPool } from "./pool.ts";

/** spbo under another name, which fails where it is asked to. */
const TEXT = `import { spbo } from "pbs2p/layers/methods/spbo.ts";
export const other = { ...spbo, name: "other", open(device, scope, layer) {
  if (layer.job.name === "bad") throw new RangeError("No such luck");
  return spbo.open(device, scope, layer);
} };
`;

function write(file: string, text: string): MethodSource {
  writeFileSync(file, text);
  return { url: pathToFileURL(file).href, files: { [file]: createHash("sha256").update(text).digest("hex") } };
}

function job(name: string, method: string, source?: MethodSource): LayerJob {
  return {
    ...{
      name,
      rows: 4,
      cols: 16,
      weight: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * i)),
      keep: 4,
      of: 8,
    },
    settings: {
      ...{ method, params: {}, ...source ? { source } : {}, scales: "f16" },
      search: { metric: "hessian", type: "semi-structured", seed: 0 },
      feedback: { mode: "exact", damping: 0.01 },
    },
  };
}

Deno.test("loadMethods() makes a file's methods known in its thread and in workers, and only to jobs that name the file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const source = write(join(folder, "other.ts"), TEXT);
    assert.throws(() => findMethod("other", {}, { source }), RangeError);
    assert.deepEqual((await loadMethods(source)).map(({ name }) => name), ["other"]);
    assert.equal(await loadMethods(source), methodsOf(source));
    assert.equal(findMethod("other", {}, { source }).method.name, "other");
    assert.throws(() => findMethod("other", {}), /must be one of .*spbo.*: current value is other/);
    const device = openCpuDevice(), pool = openLayerPool({ workers: 2 });
    const wanted = await quantizeLayer(device, job("a", "spbo"));
    for (const { layer } of await pool.quantize([job("a", "other", source), job("b", "other", source)])) {
      assert.deepEqual(layer, wanted.layer);
    }
    await assert.rejects(pool.quantize([job("bad", "other", source)]), {
      message: 'Cannot compress layer "bad": No such luck (other.ts:3:39)',
    });
    await assert.rejects(quantizeLayer(device, job("bad", "other", source)), {
      message: "No such luck (other.ts:3:39)",
    });
    pool.close();
    await device.destroy();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("loadMethods() refuses a file that is no longer what keys say", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "other.ts"), source = write(file, TEXT);
    writeFileSync(file, `${TEXT}// changed\n`);
    await assert.rejects(loadMethods(source), /Cannot use other\.ts as it has changed since the run began/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
