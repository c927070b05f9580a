/** Models that are written for others to run: packed ones, as safetensors and as GGUF, whose names and metadata come from their files. */
import { join } from "node:path";
import { exportCommand } from "../../cli/export.ts";
import type { Kind, Target } from "../kind.ts";
import { runQuietly } from "../quiet.ts";
import { readModel } from "../read_model.ts";
import { writeJson } from "../small_model.ts";
import { writeSample } from "./packed.ts";

const TARGETS: readonly Target[] = [
  ...Array<Target>(2).fill({ path: "config.json", syntax: "json" }),
  ...Array<Target>(2).fill({ path: "tokenizer.json", syntax: "json" }),
  { path: "tokenizer_config.json", syntax: "json" },
  { path: "generation_config.json", syntax: "json" },
  { path: "model.safetensors", syntax: "safetensors" },
];

/** The kind. */
export const exported: Kind = {
  name: "exported",
  async make(folder) {
    const model = join(folder, "model");
    await writeSample(model, "grid");
    await writeJson(join(model, "generation_config.json"), { bos_token_id: 1, eos_token_id: [2, 3], temperature: 0.5 });
    return [{ name: "model", targets: TARGETS }];
  },
  async read(folder, _sample, seen) {
    const to = join(folder, "exported");
    await runQuietly(exportCommand, [folder, "--format", "gguf", "--type", "q8_0", "--name", "small", "--to", to]);
    await readModel({ path: join(to, "small-Q8_0.gguf") }, seen);
    await runQuietly(exportCommand, [folder, "--format", "safetensors", "--to", join(folder, "shards"), "--json"]);
  },
};
