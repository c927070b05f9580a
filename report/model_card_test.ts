import assert from "node:assert/strict";
import { parseDocument } from "yaml";
import { buildMetrics } from "./metrics.ts";
import { DIVERGENCE, FACTS } from "./metrics_test_support.ts";
import { type CardFacts, renderModelCard } from "./model_card.ts";

const facts: CardFacts = {
  metrics: buildMetrics(FACTS),
  target: "me/tiny-llama-pbs2p",
  recipe: { name: "quickstart", expect: { heldout: { value: 37.1, within: 0.03 } } },
  base: { id: "me/tiny-llama", commit: "0123456789abcdef0123456789abcdef01234567", local: false },
  licence: { license: "apache-2.0" },
  texts: { heldout: { type: "Salesforce/wikitext", config: "wikitext-2-raw-v1", split: "test" } },
  version: "0.1.0",
};

/** Front matter and text, as the hub takes them apart. */
function split(card: string) {
  const [, front, text] = /^---\n([^]*?)\n---\n([^]*)$/.exec(card) ?? assert.fail("there is no front matter");
  const document = parseDocument(front);
  assert.deepEqual([...document.errors, ...document.warnings], []);
  const { "model-index": index, ...rest } = document.toJS({ maxAliasCount: 0 });
  return { index, rest, text };
}

Deno.test("renderModelCard() has front matter that the hub reads", () => {
  const { index, rest } = split(renderModelCard(facts));
  assert.deepEqual(rest, {
    license: "apache-2.0",
    library_name: "pbs2p",
    pipeline_tag: "text-generation",
    base_model: "me/tiny-llama",
    base_model_relation: "quantized",
    tags: ["pbs2p", "quantized"],
  });
  assert.deepEqual(index, [{
    name: "tiny-llama-pbs2p",
    results: [{
      task: { type: "text-generation" },
      dataset: { name: "heldout", type: "Salesforce/wikitext", config: "wikitext-2-raw-v1", split: "test" },
      metrics: [
        {
          type: "perplexity",
          value: 37.16,
          name: "Perplexity, compressed (0.55 nominal, 3.15 stored bits per weight)",
        },
        { type: "perplexity", value: 24.9, name: "Perplexity of the original model" },
      ],
    }],
  }]);
});

Deno.test("renderModelCard() says both counts, bytes, how to run and to verify, and what is not claimed", () => {
  const { text } = split(renderModelCard(facts));
  for (
    const said of [
      /^# tiny-llama-pbs2p$/m,
      /at commit `0123456789abcdef0123456789abcdef01234567`/,
      /\| heldout \| 24\.90 \| 37\.16 \| 51,200 \| 37\.10 ± 3 %: met \|/,
      /\| nominal \| \*\*0\.55\*\* \|/,
      /\| stored \| \*\*3\.15\*\* \| \S.* 0\.76 \+ /,
      /3045812 bytes/,
      /task generate hf:\/\/me\/tiny-llama-pbs2p --prompt/,
      /task verify hf:\/\/me\/tiny-llama-pbs2p --evaluate-only$/m,
      /task verify hf:\/\/me\/tiny-llama-pbs2p$/m,
      /no following of instructions, no safety/,
    ]
  ) assert.match(text, said);
  assert.doesNotMatch(text, /undefined|NaN|\[object/);
});

Deno.test("renderModelCard() says what is missed, what is no number, and which files others need", () => {
  const metrics = buildMetrics({
    ...FACTS,
    perplexity: { heldout: { original: 24, compressed: Infinity, tokens: 9 } },
  });
  const file = { name: "held.txt", bytes: 7, sha256: "ab".repeat(32) };
  const { index, text } = split(renderModelCard({
    ...facts,
    metrics,
    base: { ...facts.base, local: true },
    code: ["sketch.ts"],
    texts: { heldout: { type: "heldout", file } },
  }));
  assert.deepEqual(index[0].results[0].metrics.map(({ value }: { value: number }) => value), [24]);
  assert.match(text, /\| heldout \| 24 \| Infinity \| 9 \| 37\.10 ± 3 %: NOT met \|/);
  assert.match(text, /verify hf:\/\/me\/tiny-llama-pbs2p --model hf:\/\/me\/tiny-llama@0123456789abcdef/);
  assert.match(text, /code of its author's own, which is not here: `sketch\.ts`\..*--allow-plugins/);
  assert.match(text, /- heldout: `held\.txt`, 7 bytes, sha256 `(ab){32}`/);
});

Deno.test("renderModelCard() lets no name or description be markup, nor end the front matter", () => {
  const evil = "a\n---\nlicense: mit\n# <script>alert(1)</script> [x](javascript:1) `b` | c ![i](http://h/i)";
  const { rest, text } = split(renderModelCard({
    ...facts,
    metrics: buildMetrics({
      ...FACTS,
      method: evil,
      perplexity: { [evil]: { original: 1, compressed: 2, tokens: 3 } },
    }),
    recipe: { name: evil, description: evil },
    licence: { license: "other", license_name: evil },
    texts: {},
  }));
  assert.deepEqual([rest.license, rest.license_name, rest.tags], ["other", evil, ["pbs2p", evil, "quantized"]]);
  assert.doesNotMatch(text.replaceAll(/`[^`\n]*`/g, ""), /<script|(?<!\\)\[x(?<!\\)\]|^---$|^# <|^license:/m);
});

Deno.test("renderModelCard() tells zero-shot accuracies, in percent for people and as shares for the hub", () => {
  const rte = { acc: 0.5, acc_stderr: 0.03 }, piqa = { ...rte, acc_norm: 0.625, acc_norm_stderr: 0.02 };
  const metrics = buildMetrics({
    ...FACTS,
    tasks: {
      rte: { ...rte, original: { ...rte, acc: 0.75 }, items: 277, cut: 2 },
      piqa: { ...piqa, original: piqa, items: 1838, cut: 0 },
    },
  });
  const texts = { ...facts.texts, "tasks.rte": { type: "nyu-mll/glue" } };
  const { index, text } = split(renderModelCard({ ...facts, metrics, texts }));
  const [, asked, own] = index[0].results;
  assert.deepEqual(asked, {
    task: { type: "multiple-choice" },
    dataset: { name: "rte", type: "nyu-mll/glue" },
    metrics: [
      { type: "acc", value: 0.5, name: "Accuracy of the compressed model, zero-shot" },
      { type: "acc", value: 0.75, name: "Accuracy of the original model, zero-shot" },
    ],
  });
  assert.deepEqual([own.dataset.type, own.metrics.length], ["piqa", 4]);
  assert.match(text, /\| rte \| acc \| 75\.0 ± 3\.0 \| 50\.0 ± 3\.0 \|/);
  assert.match(text, /\| average \| acc \| 62\.5 \| 50\.0 \|/);
  assert.match(text, /Questions cut on the left, as too long: 2 of 277 in rte\./);
  assert.match(text, /Perplexity on heldout and zero-shot accuracy on rte, piqa, in the windows/);
});

Deno.test("renderModelCard() tells the divergence from the original below the perplexities", () => {
  const perplexity = { heldout: { ...FACTS.perplexity.heldout, divergence: DIVERGENCE } };
  const { text } = split(renderModelCard({ ...facts, metrics: buildMetrics({ ...FACTS, perplexity }) }));
  assert.match(
    text,
    /^Beside the original on heldout: KL 0\.521 nats a token, .* same top token 59\.7 %, RMS Δp 20\.1 %\.$/m,
  );
});
