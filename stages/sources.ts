/** Hashes of the code that a stage's numbers come from, so that a changed kernel never meets an old artifact. */
import { createHash } from "node:crypto";

/** What of this package makes hidden states and S. */
export function forwardSources(): readonly URL[] {
  return sourcesIn("../models/").filter(({ pathname }) =>
    !/\/(generate|sample|mod|provider|provider_probe)\.ts$/.test(pathname)
  );
}

/** What makes codes and scales of a layer on a device: the CPU's artifacts do not depend on shaders. */
export function quantizeSources(device: string): readonly URL[] {
  return [
    ...sourcesIn("../kernels/").filter(({ pathname }) =>
      !PACKING.test(pathname) && !PACKING_WEBGPU.test(pathname) && !PRODUCTS.test(pathname) &&
      (device === "webgpu" || !WEBGPU.test(pathname))
    ),
    ...["../layers/layer.ts", "../layers/open.ts", "../layers/blocks.ts"].map((file) => new URL(file, import.meta.url)),
  ];
}

/** What turns them into bits. */
export function packSources(device: string): readonly URL[] {
  return [
    ...sourcesIn("../kernels/").filter(({ pathname }) =>
      PACKING.test(pathname) || (device === "webgpu" && (PACKING_WEBGPU.test(pathname) || SHARED_WEBGPU.test(pathname)))
    ),
    new URL("../checkpoints/packed/planes.ts", import.meta.url),
  ];
}

const WEBGPU = /webgpu[^/]*\.ts$|_wgsl\.ts$|\.wgsl$/;
const PACKING = /\/(pack|combinations|radix|float16|quantized_layer)\.ts$/;
const PACKING_WEBGPU = /\/((pack|plane|unpack)_[^/]+\.(ts|wgsl)|digits\.wgsl)$/;
/** Shaders that packing and decoding share with quantization. */
const SHARED_WEBGPU = /\/(decode|fill|narrow|widen)\.wgsl$/;
/** Products with packed layers, which no stage needs. */
const PRODUCTS = /\/(matvec[^/]*|half\.wgsl)$/;

/**
 * Hash of source files as code: comments and white space do not count, so that prose may change without a re-run.
 *
 * @param urls files of this package
 * @returns hex sha256
 */
export function sourceHash(urls: readonly URL[]): string {
  const hash = createHash("sha256");
  for (const url of urls) {
    const code = Deno.readTextFileSync(url)
      .replace(/\/\*[\s\S]*?\*\//g, " ")
      .replace(/(^|\s)\/\/.*$/gm, " ")
      .replace(/\s+/g, " ");
    hash.update(`${url.pathname.split("/").pop()}\0${code}\0`);
  }
  return hash.digest("hex");
}

/** Code and shaders of a folder, without what only tests or benchmarks use. */
function sourcesIn(folder: string): URL[] {
  const base = new URL(folder, import.meta.url);
  return [...Deno.readDirSync(base)]
    .map(({ name }) => name)
    .filter((name) => /\.(ts|wgsl)$/.test(name) && !/_(test|bench|test_support)\.ts$/.test(name))
    .sort()
    .map((name) => new URL(name, base));
}
