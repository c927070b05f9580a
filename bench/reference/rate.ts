/** Rows of the record of trellis codes (a prototype's), and the recipe that has the settings of each. */
import * as z from "zod";
import { stageDifferences, type Stages } from "./peers.ts";
import { parseProtocols, protocolOf, type Wanted } from "./rows.ts";

const Row = z.strictObject({
  model: z.string(),
  bits: z.number(),
  perplexity: z.number(),
  layer_error: z.number(),
  states: z.union([z.literal(1), z.literal(8)]),
  lam: z.number().default(0),
  gamma: z.boolean().default(true),
  target: z.literal("original").optional(),
  p: z.number().default(0.5),
  delta: z.number().default(0.01),
  skip: z.array(z.string()).default([]),
  inputs: z.literal("renewed").optional(),
});
type Row = z.infer<typeof Row>;

/** What a bit is worth in the recipes: with one state nothing, with more so many squared steps. */
const LAMBDA = { 1: 0, 8: 0.45 } as const;

/** What the prototype was asked for, in stored bits; what it came to is a little off. */
const BUDGETS = [1.2, 1.6, 2.1, 3.15] as const;

/** Names of layers, as recipes write them. */
const LAYERS: Readonly<Record<string, string>> = { down: "down_proj" };

/**
 * The rows whose settings are those of the method: least squares for each column, a price of bits for a trellis only. Rows of other
 * settings say what did not help.
 *
 * Layer errors are not compared: a record's bits are up to 0.01 off its budget, which is worth as much as errors may differ.
 *
 * @param json rate.json
 * @param peers peers.json, which has the protocols of the same windows
 * @throws {z.ZodError} when it is no such record, or a row says what is not known here
 */
export function rateRows(json: unknown, peers: unknown): Wanted[] {
  const { rows } = z.object({ rows: z.array(Row) }).parse(json), protocols = parseProtocols(peers);
  return rows.filter(({ gamma, states, lam, target, inputs }) =>
    gamma && lam === LAMBDA[states] && inputs === undefined && (states === 8 || target === undefined)
  ).map((row) => {
    const protocol = protocolOf(protocols, row.model);
    return {
      model: row.model,
      source: "prototype",
      perplexity: row.perplexity,
      original: protocol.original,
      keep: () => [],
      differencesFrom: (recipe) => stageDifferences(recipe, { model: row.model, stages: stagesOf(row), protocol }),
    };
  });
}

function stagesOf({ bits, states, lam, target, p, delta, skip }: Row): Stages {
  const budget = BUDGETS.find((each) => Math.abs(each - bits) < 0.02);
  const calibrate = target === undefined ? { inputs: "sequential", target: "layer" } : {
    ...{ inputs: "sequential", target, propagation: p, propagation_damping: delta },
    propagation_skip: skip.map((name) => LAYERS[name] ?? name),
  };
  return {
    calibrate,
    trellis: { bits: budget ?? bits, states, lambda: lam },
    compensate: { mode: "columnwise", damping: 0.01 },
  };
}
