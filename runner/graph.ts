/** The steps of a run with their content keys, and which of them must run. No weights are read. */
import { componentsOf, type KeyComponents, outputKey, stepKey } from "./keys.ts";
import type { Recipe } from "../recipes/language.ts";
import type { Step } from "./stage.ts";

/** A step with its keys. */
export interface Node {
  readonly step: Step;
  readonly components: KeyComponents;
  readonly key: string;
  /** Output keys by the step's names for its inputs. */
  readonly inputs: Readonly<Record<string, string>>;
  /** Output keys by output name. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** Steps by id, each after those whose outputs it takes. */
export type Graph = ReadonlyMap<string, Node>;

/** Whether a step runs; `fetch`: a mirror has what is missing; `skip`: its outputs are not there, and nothing needs them. */
export type State = "cached" | "run" | "fetch" | "skip";

/**
 * Computes the content keys of all steps.
 *
 * @throws {Error} when steps do not fit together: double ids, unknown or later inputs, or two blocks with one key
 */
export function buildGraph(steps: readonly Step[], recipe: Recipe): Graph {
  const graph = new Map<string, Node>();
  const blocks = new Map<string, Step>();
  for (const step of steps) {
    if (graph.has(step.id)) throw new Error(`Cannot plan step "${step.id}": there are two of that name`);
    const inputs = Object.fromEntries(
      Object.entries(step.inputs).map(([name, ref]) => {
        const key = graph.get(ref.step)?.outputs[ref.output];
        if (key !== undefined) return [name, key];
        throw new Error(
          `Cannot plan step "${step.id}": its input "${name}" must be an output of an earlier step: ` +
            `got output "${ref.output}" of "${ref.step}"`,
        );
      }),
    );
    const components = componentsOf(step, recipe, inputs);
    const key = stepKey(components);
    const twin = blocks.get(key);
    if (twin !== undefined && twin.block !== step.block) {
      throw new Error(
        `Cannot plan step "${step.id}": its content key is that of "${twin.id}", so it would get that block's results; ` +
          "its facts must say what tells them apart",
      );
    }
    blocks.set(key, step);
    const outputs = Object.fromEntries(Object.keys(step.outputs).map((name) => [name, outputKey(key, name)]));
    graph.set(step.id, { step, components, key, inputs, outputs });
  }
  return graph;
}

/** Keys of all outputs. */
export function outputKeys(graph: Graph): string[] {
  return [...graph.values()].flatMap(({ outputs }) => Object.values(outputs));
}

/** The step that makes an output. */
export function makerOf(graph: Graph, key: string): string | undefined {
  return [...graph].find(([, { outputs }]) => Object.values(outputs).includes(key))?.[0];
}

/** Output keys that a target must leave behind: what it keeps, or everything if it keeps nothing. */
export function resultKeys({ step, outputs }: Node): string[] {
  const kept = Object.keys(outputs).filter((name) => step.outputs[name].retain === "keep");
  return (kept.length > 0 ? kept : Object.keys(outputs)).map((name) => outputs[name]);
}

/** Steps that depend on any of `ids`, and these themselves. */
export function descendants(graph: Graph, ids: Iterable<string>): Set<string> {
  const found = new Set(ids);
  for (const [id, { step }] of graph) {
    if (Object.values(step.inputs).some((ref) => found.has(ref.step))) found.add(id);
  }
  return found;
}

/**
 * Finds which steps must run: backwards from the targets, a step runs when something that is needed of it is missing.
 *
 * @param has whether an output is in the cache
 * @param required output keys that must exist in the end
 * @param forced steps that run, if they are needed at all, although their outputs exist; closed under dependents
 * @param offers whether a mirror has all of these outputs of a step; default: none has anything
 */
export function resolve(
  graph: Graph,
  { has, required, forced, offers = () => false }: {
    readonly has: (key: string) => boolean;
    readonly required: Iterable<string>;
    readonly forced: ReadonlySet<string>;
    readonly offers?: (node: Node, outputs: readonly string[]) => boolean;
  },
): Map<string, State> {
  const present = new Map<string, boolean>();
  for (const { outputs } of graph.values()) for (const key of Object.values(outputs)) present.set(key, has(key));
  const needed = new Set(required);
  const states: [string, State][] = [];
  for (const [id, node] of [...graph].reverse()) {
    const wanted = Object.keys(node.outputs).filter((name) => needed.has(node.outputs[name]));
    const missing = wanted.filter((name) => !present.get(node.outputs[name]));
    const fetch = missing.length > 0 && !forced.has(id) && offers(node, missing);
    const run = !fetch && (missing.length > 0 || wanted.length > 0 && forced.has(id));
    if (run) { for (const key of Object.values(node.inputs)) needed.add(key); }
    const rest = () => resultKeys(node).every((key) => present.get(key)) ? "cached" : "skip";
    states.push([id, fetch ? "fetch" : run ? "run" : rest()]);
  }
  return new Map(states.reverse());
}
