/** What goes to the hub and comes from it: a run's folder, of which a card is made, and a folder that was pulled. */
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { parse, stringify } from "yaml";
import { openClaim } from "../../cli/verify_claim.ts";
import { openPublishable } from "../../pipeline/publishable.ts";
import { isPulled, ORIGIN, pulledFrom } from "../../pipeline/pulled.ts";
import { loadRecipe } from "../../pipeline/mod.ts";
import { renderModelCard } from "../../report/model_card.ts";
import { UnfitError } from "../judge.ts";
import type { Kind } from "../kind.ts";
import { smallRun, steady } from "../small_run.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const SCORES = { acc: 0.5, acc_norm: 0.25 }, ERRORS = { acc_stderr: 0.125, acc_norm_stderr: 0.125 };

/** The kind. */
export const published: Kind = {
  name: "published",
  async make(folder) {
    const run = join(folder, "run"), model = join(run, "model");
    await Deno.mkdir(model, { recursive: true });
    const made = await smallRun(join(folder, "making"));
    const lock = steady(parse(await Deno.readTextFile(join(made, "recipe.lock.yaml")))) as Lock;
    const metrics = steady(JSON.parse(await Deno.readTextFile(join(made, "metrics.json")))) as Record<string, unknown>;
    await Deno.remove(join(folder, "making"), { recursive: true });
    // Asking the small model would take longer than it tells.
    lock.outcome.metrics.tasks = { rte: { original: { ...SCORES }, compressed: { ...SCORES }, items: 16 } };
    metrics.tasks = {
      rte: { ...SCORES, ...ERRORS, original: { ...SCORES, ...ERRORS }, items: 16, cut: 1, tokens: 900 },
    };
    lock.outcome.model = {};
    for (const name of ["config.json", "model.safetensors"]) {
      await Deno.writeTextFile(join(model, name), name);
      const sha256 = createHash("sha256").update(name).digest("hex");
      lock.outcome.model[name] = { bytes: name.length, sha256 };
    }
    const files = { "recipe.lock.yaml": stringify(lock, { lineWidth: 120 }), "metrics.json": JSON.stringify(metrics) };
    for (const [name, text] of Object.entries({ ...files, "events.ndjson": "", "report.html": "<!doctype html>" })) {
      await Deno.writeTextFile(join(run, name), text);
    }
    const pulled = join(folder, "pulled");
    await Deno.mkdir(pulled);
    await Deno.writeTextFile(join(pulled, ORIGIN), JSON.stringify({ id: "me/small", commit: COMMIT }));
    const recipe = {
      model: { hub: "me/small", revision: COMMIT },
      stages: { calibrate: {}, rtn: { bits: 3 }, pack: {} },
    };
    await Deno.writeTextFile(join(pulled, "recipe.yaml"), stringify(recipe));
    return [
      {
        name: "run",
        targets: [{ path: "recipe.lock.yaml", syntax: "yaml" }, { path: "metrics.json", syntax: "json" }],
      },
      { name: "pulled", targets: [{ path: ORIGIN, syntax: "json" }, { path: "recipe.yaml", syntax: "yaml" }] },
    ];
  },
  async read(folder, sample, seen) {
    if (sample === "pulled") return await readPulled(folder, seen);
    const run = await openPublishable(openClaim(folder, { runs: dirname(folder) }, "push"));
    const card = renderModelCard({
      ...{ metrics: run.metrics, target: "me/small-pbs2p", texts: run.texts, code: run.code, version: "0.1.0" },
      recipe: { ...run.recipe, name: run.recipe.name ?? "small" },
      base: { ...run.base ?? { id: "me/small", commit: COMMIT }, local: run.base === undefined },
      licence: { license: "mit" },
    });
    const [empty, front] = card.split(/^---$/m);
    if (empty !== "") throw new UnfitError("the card does not begin with its front matter");
    const { library_name: library, ...rest } = parse(front) as Record<string, unknown>;
    if (library !== "pbs2p") throw new UnfitError("the card's front matter is another's");
    seen("front matter", rest);
    if (/\[object|\bundefined\b/.test(card)) throw new UnfitError("printed in the card: what means nothing");
  },
};

async function readPulled(folder: string, seen: Parameters<Kind["read"]>[2]): Promise<void> {
  const recipe = join(folder, "recipe.yaml");
  const origin = pulledFrom(folder);
  if (origin !== undefined) seen("origin", { ...origin });
  if (!isPulled(recipe)) throw new UnfitError("a folder that was pulled is taken for one's own");
  await loadRecipe(recipe);
}

interface Lock {
  readonly outcome: {
    readonly metrics: Record<string, unknown>;
    model: Record<string, { readonly bytes: number; readonly sha256: string }>;
  };
}
