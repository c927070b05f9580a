import assert from "node:assert/strict";
import { findText } from "../datasets/hub_text.ts";
import { startFakeHub } from "../hub/fake_hub_test_support.ts";
import { DATASETS } from "./publishable.ts";

Deno.test("cards name the data sets that recipes read", async () => {
  const cache = await Deno.makeTempDir();
  try {
    await using hub = startFakeHub();
    for (const name of ["wikitext2", "ptb", "c4"] as const) {
      const { type, config } = DATASETS.get(name) ?? assert.fail(name);
      await assert.rejects(findText(name, "evaluation", { cache, endpoint: hub.url, token: null, retryDelay: 1 }));
      assert.ok(hub.requests.at(-1)?.path.startsWith(`/api/datasets/${type}/`), `${name} is ${type}`);
      const paths = ["test-00000-of-00001.parquet", "test/0.parquet", "c4-validation.00000-of-00008.json.gz"];
      hub.addRepo({
        ...{ kind: "dataset", id: type, revisions: ["main", "refs/convert/parquet"] },
        files: Object.fromEntries(paths.map((path) => [`${config}/${path}`, "x"])),
      });
      assert.equal(
        (await findText(name, "evaluation", { cache, endpoint: hub.url, token: null })).files.length,
        1,
        name,
      );
    }
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});
