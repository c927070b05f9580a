import assert from "node:assert/strict";
import fc from "fast-check";
import type { Step } from "./stage.ts";
import { orderSteps } from "./step_order.ts";

function step(id: string, needs: readonly string[] = []): Step {
  return {
    id,
    stage: "spbo",
    code: "1",
    reads: [],
    facts: {},
    inputs: Object.fromEntries(needs.map((need) => [need, { step: need, output: "out" }])),
    outputs: {},
    estimate: { seconds: 0, memory: 0 },
    run: () => Promise.resolve(),
  };
}

Deno.test("orderSteps() puts what a step needs right before it", () => {
  const steps = [step("c[1]", ["c[0]", "p[0]"]), step("c[0]"), step("p[0]", ["c[0]"]), step("p[1]", ["c[1]"])];
  assert.deepEqual(orderSteps(steps).map(({ id }) => id), ["c[0]", "p[0]", "c[1]", "p[1]"]);
});

Deno.test("orderSteps() keeps every step once, after all it needs", () => {
  const graphs = fc.array(fc.array(fc.nat(30), { maxLength: 4 }), { maxLength: 30 });
  fc.assert(fc.property(graphs, fc.infiniteStream(fc.nat()), (needs, random) => {
    const steps = needs.map((some, i) => step(`s${i}`, [...new Set(some.filter((n) => n < i))].map((n) => `s${n}`)));
    const shuffled = steps.map((one) => ({ one, at: random.next().value })).sort((a, b) => a.at - b.at);
    const ordered = orderSteps(shuffled.map(({ one }) => one)).map(({ id }) => id);
    assert.equal(new Set(ordered).size, steps.length);
    for (const { id, inputs } of steps) {
      for (const need of Object.keys(inputs)) assert.ok(ordered.indexOf(need) < ordered.indexOf(id), `${need} < ${id}`);
    }
  }));
});

Deno.test("orderSteps() refuses circles and unknown inputs", () => {
  assert.throws(() => orderSteps([step("a", ["b"]), step("b", ["a"])]), /"a" depends on itself/);
  assert.throws(() => orderSteps([step("a", ["x"])]), /a takes an output of "x", which is not a step/);
});
