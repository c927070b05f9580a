import assert from "node:assert/strict";
import { clearMessage, found, shown, visibleText } from "./clear_text.ts";
import { InputError } from "./input_error.ts";

Deno.test("visibleText() leaves nothing that steers a terminal", () => {
  assert.equal(visibleText("a\tb\r\n\x07\x9bm\u2066x"), "a\\u0009b\\u000d\\u000a\\u0007\\u009bm\\u2066x");
  assert.equal(visibleText("漢 é 👩‍💻"), "漢 é 👩‍💻");
});

Deno.test("an InputError is one line of bounded length that keeps what is wrong and the remedy", () => {
  const words = "many words ".repeat(1000), word = "x".repeat(1e5), lines = "a\nb\u001b[2J";
  for (const quoted of [words, word, lines, `${word} ${word} ${word}`]) {
    const { message } = new InputError(`Cannot read "${quoted}" of model.gguf; download it again`);
    assert.match(message, /^Cannot read "/);
    assert.match(message, /model\.gguf; download it again$/);
    assert.ok(message.length <= 560, `${message.length}`);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(message, /[\x00-\x1f\x7f-\x9f]/);
  }
  const plain = `Cannot open /${"folder/".repeat(30)}model.safetensors: there is no such file`;
  assert.equal(new InputError(plain).message, plain);
  assert.equal(clearMessage(""), "");
});

Deno.test("found() tells a value that is missing from one that is there, whatever it is", () => {
  assert.deepEqual([undefined, null, NaN, -Infinity, "a", [1], 7n].map(found), [
    "it is missing",
    "current value is null",
    "current value is NaN",
    "current value is -Infinity",
    'current value is "a"',
    "current value is [1]",
    "current value is 7",
  ]);
  assert.equal(shown({ a: "y".repeat(500) }).length, 81);
});
