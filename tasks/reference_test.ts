/** Questions, token ids and scores against lm-evaluation-harness itself (`testdata/make_expected.py`). */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { openModel } from "../models/open_model.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";
import { encodeItem, loadItems, scoreItems, tasks } from "./mod.ts";
import { characters } from "./python_text.ts";
import { readExpected } from "./expected_test_support.ts";

/** The models, as this repository has them. */
const MODELS = { "tiny-llama": "../configs/models/tiny-llama", "tiny-opt": "../tests/fixtures/tiny-opt" } as const;

for (const model of ["tiny-llama", "tiny-opt"] as const) {
  Deno.test(`token ids and scores are the harness's: ${model}`, async (test) => {
    const checkpoint = await openModel({
      path: fileURLToPath(new URL(MODELS[model], import.meta.url)),
    });
    assert.ok(checkpoint.tokenizer);
    const tokenizer = openTokenizer(checkpoint.tokenizer), expected = readExpected(model);
    checkpoint.close();
    let cut = 0;
    for (const task of tasks) {
      await test.step(task.name, async () => {
        const file = fileURLToPath(new URL(`testdata/${task.name}.jsonl`, import.meta.url));
        const { items } = await loadItems(task, { file }), { scores, items: recorded } = expected.tasks[task.name];
        assert.equal(items.length, recorded.length);
        for (const [index, item] of items.entries()) {
          const encoded = encodeItem(tokenizer, item, { maxLength: expected.max_length });
          assert.deepEqual(
            encoded.map(({ context, continuation }) => [[...context], [...continuation]]),
            recorded[index].choices.map(([context, continuation]) => [context, continuation]),
            `question ${index + 1}`,
          );
          for (const { context, continuation, input, cut: off } of encoded) {
            const whole = [...context, ...continuation];
            assert.deepEqual([...input], whole.slice(off, -1));
            assert.equal(off, Math.max(0, whole.length - 1 - expected.max_length));
            if (off > 0) cut++;
          }
        }
        const answers = recorded.map(({ choices }) =>
          choices.map(([, , logLikelihood, greedy]) => ({ logLikelihood, greedy }))
        );
        const asked = items.map(({ gold, texts }) => ({ gold, characters: texts.map(characters) }));
        const own = scoreItems(asked, answers, task);
        const close = (actual: number, wanted: number) =>
          assert.ok(Math.abs(actual - wanted) < 1e-9, `${actual} ${wanted}`);
        close(own.acc.value, scores.acc);
        close(own.acc.error, scores.acc_stderr);
        assert.equal(own.acc_norm === undefined, scores.acc_norm === undefined);
        if (own.acc_norm === undefined) return;
        close(own.acc_norm.value, scores.acc_norm ?? NaN);
        close(own.acc_norm.error, scores.acc_norm_stderr ?? NaN);
      });
    }
    assert.ok(cut > 0, "no question is longer than the model takes");
  });
}

Deno.test("the questions ask both scores for different choices", () => {
  const { tasks: recorded } = readExpected("tiny-llama");
  const differ = Object.values(recorded).flatMap(({ items }) => items).filter(({ acc, acc_norm }) =>
    acc_norm !== undefined && acc !== acc_norm
  );
  assert.ok(differ.length >= 5, `${differ.length}`);
});
