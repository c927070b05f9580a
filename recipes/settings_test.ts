import assert from "node:assert/strict";
import { loadRecipe } from "../pipeline/mod.ts";
import { RecipeError } from "./diagnostics.ts";

/** What is said of quickstart with some arguments: message, allowed, note. */
async function refusal(...set: string[]): Promise<string> {
  try {
    await loadRecipe("configs/quickstart.yaml", { set });
  } catch (error) {
    assert.ok(error instanceof RecipeError);
    return error.diagnostics.map(({ message, allowed, note }) => [message, allowed, note].join(" | ")).join("\n");
  }
  return "";
}

const whole = (path: string) => `a list as a whole is set by \`--set '${path}=[…]'\``;
const list = "stages.evaluate.perplexity";

Deno.test("--set of an item that is not there says how long the list is", async () => {
  const one = `${list} has 1 item: there is no item 5 | 0 | ${whole(list)}`;
  assert.equal(await refusal(`${list}.5.samples=1`), one);
  assert.equal(await refusal(`${list}.5=c4`), one);
  assert.equal(
    await refusal(`${list}=[ptb, c4]`, `${list}.2=c4`),
    one.replace("1 item: ", "2 items: ")
      .replace("item 5 | 0", "item 2 | 0 to 1"),
  );
  assert.match(await refusal(`${list}=[]`, `${list}.0=c4`), /is empty: there is no item 0/);
  for (const key of ["first", "-1", "01", "1e0"]) {
    assert.match(await refusal(`${list}.${key}.samples=1`), /is a list: its items are numbered from 0/);
  }
  assert.match(
    await refusal("stages.evaluate.tasks.0=x"),
    /^stages\.evaluate\.tasks is not in the recipe, so that it has no item 0/,
  );
});

Deno.test("--set of a key in a value that has none says so", async () => {
  assert.equal(
    await refusal("stages.spbo.iterations.x=3"),
    "stages.spbo.iterations is no map with keys of its own | a whole number from 0 to 10000 | a value as a whole is " +
      "set by `--set 'stages.spbo.iterations=…'`",
  );
  assert.match(await refusal("name.b="), /^name is no map with keys of its own/);
});

Deno.test("--set takes dashes and dots as text, and one value only", async () => {
  const { recipe } = await loadRecipe("configs/quickstart.yaml", { set: ["name=---", "description=--- x ..."] });
  assert.deepEqual([recipe.name, recipe.description], ["---", "--- x ..."]);
  assert.match(await refusal("name=a\n---\nb"), /^a value is one YAML document, and a second one begins here/);
  assert.match(await refusal("name=%a"), /^this is not YAML: plain value cannot start with/);
  assert.match(await refusal("name=\x1b[31m"), /^the control character U\+001B/);
});
