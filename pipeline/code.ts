/** The code behind a step: what its stage's file and its tools reach through imports, on the device that it runs on. */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type OutsideCode, type Reach, reachOf } from "../runner/reach.ts";

/** What code depends on besides imports. */
export interface CodeOptions {
  /** `Device.kind` of the kernels. */
  readonly device: string;
  /** Entries that are used of lists of which a recipe takes one; all of them where it is not said. */
  readonly methods?: readonly (string | OutsideCode)[];
  readonly formats?: readonly string[];
  readonly families?: readonly string[];
  /** Folder of the sources; default: this project. */
  readonly root?: string;
}

/** This project's folder. */
const PROJECT = fileURLToPath(new URL("../", import.meta.url));

/** The CPU's results do not depend on what only a GPU runs; these names are how kernels/ tells it apart. */
const GPU_ONLY = /^kernels\/(gpu\/|webgpu\.ts$)|_webgpu\.ts$|_wgsl\.ts$|\.wgsl$/;

/**
 * What matters to no result: estimates of seconds and bytes; what checks and explains recipes, whose values are in the keys; and
 * downloads, as files of the hub are held against the hashes by which they are known.
 */
const NO_RESULT = /^stages\/costs\.ts$|^recipes\/|^hub\//;

/** Lists, and the folder of their entries: an entry that is not used matters to nobody. */
const LISTS = {
  methods: { list: "layers/methods/mod.ts", folder: "layers/methods" },
  formats: { list: "checkpoints/packed/format_list.ts", folder: "checkpoints/packed" },
  families: { list: "models/families/mod.ts", folder: "models/families" },
} as const;

/**
 * Finds the code behind a step.
 *
 * @param source the stage's `import.meta.url`
 * @param tools names of files in stages/tools
 */
export function codeOf(source: string, tools: readonly string[], options: CodeOptions): Reach {
  const { device, root = PROJECT } = options;
  const chosen: Record<string, readonly (string | OutsideCode)[]> = {};
  for (const name of ["methods", "formats", "families"] as const) {
    const { list, folder } = LISTS[name], used = options[name];
    if (used) {
      chosen[list] = used.map((entry) =>
        typeof entry === "string" ? `${folder}/${entry.replaceAll("-", "_")}.ts` : entry
      );
    }
  }
  return reachOf(
    [relative(PROJECT, fileURLToPath(source)).replaceAll("\\", "/"), ...tools.map((tool) => `stages/tools/${tool}.ts`)],
    { root, chosen, skip: (path) => NO_RESULT.test(path) || (device === "cpu" && GPU_ONLY.test(path)) },
  );
}
