import assert from "node:assert/strict";
import { type Diagnostic, renderDiagnostic, renderDiagnostics, toDiagnostics } from "./diagnostics.ts";
import { fillEmptyMaps } from "./empty_maps.ts";
import { overlay, type Source } from "./located.ts";
import { oneMethod as language } from "./one_method_test_support.ts";
import { readYaml } from "./read_yaml.ts";
import { validate } from "./problems.ts";
import { readSettings } from "./settings.ts";

/** What is said about a recipe's text and `--set` arguments. */
function diagnose(text: string, set: readonly string[] = []): Diagnostic[] {
  const source: Source = { kind: "file", name: "my.yaml", folder: "/", text };
  const { tree: read, faults } = readYaml(source);
  const settings = readSettings(set, "/");
  const problems = [...faults.map((fault) => ({ severity: "error" as const, ...fault })), ...settings.problems];
  const incomplete = problems.length > 0;
  if (read) {
    const [under, over] = [read, settings.tree].map((each) => each && fillEmptyMaps(each, language.schema));
    const tree = under && over ? overlay(under, over) : under ?? read;
    problems.push(...validate(language, tree, { incomplete }).problems);
  }
  return toDiagnostics(problems);
}

const model = "model: { path: w }\n";

/** Stages without which nothing comes of a recipe. */
const stages = "stages:\n  calibrate:\n  spbo:\n  pack:\n";

const cases: readonly { name: string; text: string; set?: string[]; wanted: string }[] = [
  {
    name: "an unknown key",
    text: `${model}stages:\n  spbo:\n    iteratons: 20\n`,
    wanted: `
error: unknown key \`iteratons\` in stages.spbo
 --> my.yaml:4:5
  |
4 |     iteratons: 20
  |     ^^^^^^^^^ did you mean \`iterations\`?
  = allowed: group_size, salient, salient_max, split_points, split_search,
             split_on, candidates, search_grid, search_target, solver, schedule,
             iterations, resign, profile, block_metric`,
  },
  {
    name: "a key in the wrong place",
    text: `${model}stages: { coarse-search: { iterations: 3 } }\n`,
    wanted: `
error: unknown key \`iterations\` in stages.coarse-search
 --> my.yaml:2:28
  |
2 | stages: { coarse-search: { iterations: 3 } }
  |                            ^^^^^^^^^^
  = allowed: metric, bits, similarity, keep, of, spread
  = note: \`iterations\` belongs to stages.spbo`,
  },
  {
    name: "a wrong word",
    text: `${model}stages: { spbo: { solver: jont } }\n`,
    wanted: `
error: stages.spbo.solver cannot be "jont" (text)
 --> my.yaml:2:27
  |
2 | stages: { spbo: { solver: jont } }
  |                           ^^^^ did you mean \`joint\`?
  = allowed: alternate, joint, none`,
  },
  {
    name: "a number out of range",
    text: `${model}stages: { calibrate: { samples: 0 } }\n`,
    wanted: `
error: stages.calibrate.samples cannot be 0 (a number)
 --> my.yaml:2:33
  |
2 | stages: { calibrate: { samples: 0 } }
  |                                 ^
  = allowed: a whole number from 1 to 1000000`,
  },
  {
    name: "a stage with nothing after it, which has its defaults",
    text: `${model}${stages}`,
    wanted: "\n",
  },
  {
    name: "a stage that is null in so many words",
    text: `${model}${stages}  compensate: null\n`,
    wanted: `
error: stages.compensate cannot be nothing (an empty value)
 --> my.yaml:6:15
  |
6 |   compensate: null
  |               ^^^^
  = allowed: a map`,
  },
  {
    name: "a recipe without a method",
    text: `${model}stages:\n  calibrate: {}\n  coarse-search: {}\n  fine-search: {}\n  pack: {}\n  evaluate: {}\n`,
    wanted: `
error: no stage makes \`quantized\`: add spbo
 --> my.yaml:6:3
  |
6 |   pack: {}
  |   ^^^^
  = note: stages.fine-search and stages.pack need it`,
  },
  {
    name: "a recipe that packs nothing",
    text: `${model}stages:\n  calibrate:\n  spbo:\n`,
    wanted: `
error: no stage makes \`packed\`: add pack
 --> my.yaml:2:1
  |
2 | stages:
  | ^^^^^^
  = note: every run ends in it`,
  },
  {
    name: "an empty list of stages, and what makes one of use",
    text: `${model}stages: {}\n`,
    wanted: `
error: no stage makes \`packed\`: add calibrate, spbo and pack
 --> my.yaml:2:1
  |
2 | stages: {}
  | ^^^^^^
  = note: every run ends in it`,
  },
  {
    name: "no stages at all",
    text: model,
    wanted: `
error: no stage makes \`packed\`: add calibrate, spbo and pack
 --> my.yaml:1:1
  |
1 | model: { path: w }
  | ^^^^^
  = note: every run ends in it`,
  },
  {
    name: "stages that are missing in several places",
    text: `${model}stages:\n  fine-search:\n  evaluate:\n`,
    wanted: `
error: no stage makes \`statistics\`: add calibrate
 --> my.yaml:3:3
  |
3 |   fine-search:
  |   ^^^^^^^^^^^
  = note: stages.fine-search needs it

error: no stage makes \`allocation\`: add coarse-search
 --> my.yaml:3:3
  |
3 |   fine-search:
  |   ^^^^^^^^^^^
  = note: stages.fine-search needs it

error: no stage makes \`quantized\`: add spbo
 --> my.yaml:3:3
  |
3 |   fine-search:
  |   ^^^^^^^^^^^
  = note: stages.fine-search needs it

error: no stage makes \`packed\`: add pack
 --> my.yaml:4:3
  |
4 |   evaluate:
  |   ^^^^^^^^
  = note: stages.evaluate needs it

4 errors`,
  },
  {
    name: "a stage that is misspelt, and no more than that",
    text: `${model}stages:\n  calibrate:\n  sbpo:\n  pack:\n`,
    wanted: `
error: unknown key \`sbpo\` in stages
 --> my.yaml:4:3
  |
4 |   sbpo:
  |   ^^^^ did you mean \`spbo\`?
  = allowed: calibrate, coarse-search, fine-search, spbo, compensate, pack,
             evaluate`,
  },
  {
    name: "a stage that changes nothing, as a warning",
    text: `${model}${stages}  coarse-search:\n`,
    wanted: `
warning: nothing takes the \`allocation\` that stages.coarse-search makes
 --> my.yaml:6:3
  |
6 |   coarse-search:
  |   ^^^^^^^^^^^^^
  = note: fine-search would`,
  },
  {
    name: "an expectation of what is not evaluated at all",
    text: `${model}${stages}expect: { ptb: { value: 3, within: 0.1 } }\n`,
    wanted: `
error: nothing named \`ptb\` is evaluated
 --> my.yaml:6:11
  |
6 | expect: { ptb: { value: 3, within: 0.1 } }
  |           ^^^
  = allowed: nothing, as stages.evaluate.perplexity is empty`,
  },
  {
    name: "a missing key",
    text: stages,
    wanted: `
error: missing key \`model\`
 --> my.yaml:1:1
  |
1 | stages:
  | ^^^^^^
  = allowed: a map with \`path\`, or a map with \`hub\``,
  },
  {
    name: "an empty file",
    text: "# nothing yet\n",
    wanted: `
error: the recipe cannot be nothing (an empty value)
 --> my.yaml:1:1
  |
1 | # nothing yet
  | ^
  = allowed: a map with \`model\``,
  },
  {
    name: "a form that comes nearest, and only that",
    text: `${model}stages: { calibrate: { dataset: { windws: a.safetensors } } }\n`,
    wanted: `
error: missing key \`tensor\` in stages.calibrate.dataset
 --> my.yaml:2:24
  |
2 | stages: { calibrate: { dataset: { windws: a.safetensors } } }
  |                        ^^^^^^^
  = allowed: text: Name of the tensor in it
  = note: or else wikitext2, ptb, c4, or a map with \`text\`

error: unknown key \`windws\` in stages.calibrate.dataset
 --> my.yaml:2:35
  |
2 | stages: { calibrate: { dataset: { windws: a.safetensors } } }
  |                                   ^^^^^^ did you mean \`windows\`?
  = allowed: windows, tensor, skip, shuffle
  = note: or else wikitext2, ptb, c4, or a map with \`text\`

2 errors`,
  },
  {
    name: "a task that there is not",
    text: `${model}${stages}  evaluate: { tasks: [boolQ, rte] }\n`,
    wanted: `
error: stages.evaluate.tasks.0 cannot be "boolQ" (text)
 --> my.yaml:6:23
  |
6 |   evaluate: { tasks: [boolQ, rte] }
  |                       ^^^^^ did you mean \`boolq\`?
  = allowed: boolq, rte, hellaswag, winogrande, arc_easy, arc_challenge,
             openbookqa, piqa, or a map with \`name\``,
  },
  {
    name: "inputs and targets that do not go together",
    text: `${model}stages:\n  calibrate: { inputs: original, target: original }\n  spbo:\n  pack:\n`,
    wanted: `
error: target \`original\` is what inputs \`original\` already lead to
 --> my.yaml:3:42
  |
3 |   calibrate: { inputs: original, target: original }
  |                                          ^^^^^^^^
  = allowed: stages.calibrate.inputs: sequential or renewed, or
             stages.calibrate.target: layer
  = note: on the original model's inputs a layer's own output is the original
          one`,
  },
  {
    name: "settings of a target that is not asked for",
    text: `${model}stages:\n  calibrate: { propagation: 1, propagation_skip: [down_proj] }\n  spbo:\n  pack:\n`,
    wanted: `
warning: propagation counts only with target \`original\`: it changes nothing here
 --> my.yaml:3:29
  |
3 |   calibrate: { propagation: 1, propagation_skip: [down_proj] }
  |                             ^

warning: propagation_skip counts only with target \`original\`: it changes nothing
  here
 --> my.yaml:3:50
  |
3 |   calibrate: { propagation: 1, propagation_skip: [down_proj] }
  |                                                  ^^^^^^^^^^^`,
  },
  {
    name: "inputs that are seen too late for masks",
    text:
      `${model}stages:\n  calibrate: { inputs: renewed }\n  coarse-search:\n  fine-search: { mask_from: original }\n` +
      "  spbo:\n  pack:\n",
    wanted: `
error: inputs \`renewed\` are seen too late for mask_from \`original\`
 --> my.yaml:3:24
  |
3 |   calibrate: { inputs: renewed }
  |                        ^^^^^^^
  = allowed: stages.calibrate.inputs: sequential or original,
             stages.fine-search.mask_from: updated, or
             stages.fine-search.inputs: original
  = note: all masks of a block would be made before any of its layers is
          compressed`,
  },
  {
    name: "a target that is misspelt, and a propagation beyond its range",
    text: `${model}stages:\n  calibrate: { target: orignal, propagation: 2 }\n  spbo:\n  pack:\n`,
    wanted: `
error: stages.calibrate.target cannot be "orignal" (text)
 --> my.yaml:3:24
  |
3 |   calibrate: { target: orignal, propagation: 2 }
  |                        ^^^^^^^ did you mean \`original\`?
  = allowed: layer, original

error: stages.calibrate.propagation cannot be 2 (a number)
 --> my.yaml:3:46
  |
3 |   calibrate: { target: orignal, propagation: 2 }
  |                                              ^
  = allowed: a number from 0 to 1, or auto

2 errors`,
  },
  {
    name: "a propagation to be chosen that is misspelt",
    text: `${model}stages:\n  calibrate: { target: original, propagation: aut }\n  spbo:\n  pack:\n`,
    wanted: `
error: stages.calibrate.propagation cannot be "aut" (text)
 --> my.yaml:3:47
  |
3 |   calibrate: { target: original, propagation: aut }
  |                                               ^^^
  = allowed: a number from 0 to 1, or auto`,
  },
  {
    name: "a propagation to be chosen on inputs that are seen too early",
    text: `${model}stages:\n  calibrate: { target: original, propagation: auto }\n  spbo:\n  pack:\n`,
    wanted: `
warning: propagation \`auto\` may go too far with inputs \`sequential\`
 --> my.yaml:3:47
  |
3 |   calibrate: { target: original, propagation: auto }
  |                                               ^^^^
  = note: each layer of a block then makes up for all that is off where the
          block begins; with stages.calibrate.inputs: renewed a layer sees what
          those before it have made up for`,
  },
  {
    name: "a choice on halves of one sample",
    text:
      `${model}stages:\n  calibrate: { target: original, propagation_damping: auto, samples: 1 }\n  spbo:\n  pack:\n`,
    wanted: `
error: propagation_damping \`auto\` is chosen on two halves of the samples: there
  is 1
 --> my.yaml:3:70
  |
3 |   calibrate: { target: original, propagation_damping: auto, samples: 1 }
  |                                                                      ^
  = allowed: stages.calibrate.samples: 2 or more, or a number for
             stages.calibrate.propagation_damping`,
  },
  {
    name: "an argument, in the argument",
    text: model,
    set: ["stages.spbo.itertions=20", "stages.pack.scales=f8", "stages", "a..b=1", "extends=x"],
    wanted: `
error: \`--set\` takes path=value
 --> --set:1:1
  |
1 | stages
  | ^^^^^^
  = note: for example \`--set model.path=../my-model\`

error: \`--set\` takes keys joined with single dots
 --> --set:1:1
  |
1 | a..b=1
  | ^^^^
  = note: for example \`--set model.path=../my-model\`

error: \`extends\` cannot be set from the command line
 --> --set:1:1
  |
1 | extends=x
  | ^^^^^^^

error: unknown key \`itertions\` in stages.spbo
 --> --set:1:13
  |
1 | stages.spbo.itertions=20
  |             ^^^^^^^^^ did you mean \`iterations\`?
  = allowed: group_size, salient, salient_max, split_points, split_search,
             split_on, candidates, search_grid, search_target, solver, schedule,
             iterations, resign, profile, block_metric

error: stages.pack.scales cannot be "f8" (text)
 --> --set:1:20
  |
1 | stages.pack.scales=f8
  |                    ^^
  = allowed: f16, f32

5 errors`,
  },
  {
    name: "rules between keys",
    text: [
      model.trim(),
      "stages:",
      "  coarse-search: { keep: 9 }",
      "  spbo: { group_size: 100, split_search: doubled, split_points: 3, solver: none, resign: 1 }",
      "  evaluate: { perplexity: [ptb, { name: ptb, dataset: c4 }] }",
      "  calibrate:",
      "  fine-search:",
      "  pack:",
      "expect: { ptbb: { value: 3, within: 0.1 } }",
      "",
    ].join("\n"),
    wanted: `
error: keep cannot be above of: 9 of every 8
 --> my.yaml:3:26
  |
3 |   coarse-search: { keep: 9 }
  |                          ^
  = allowed: keep from 1 to 8

error: group_size must be a multiple of of: 100 is not one of 8
 --> my.yaml:4:23
  |
4 |   spbo: { group_size: 100, split_search: doubled, split_points: 3, solver: …
  |                       ^^^
  = allowed: group_size 96 or 104, or an of that divides 100

error: split_search doubled needs split_points 2: it is 3
 --> my.yaml:4:65
  |
4 |   spbo: { group_size: 100, split_search: doubled, split_points: 3, solver: …
  |                                                                 ^
  = note: it sets the second threshold to twice the first

error: resign needs a solver, and solver is none
 --> my.yaml:4:90
  |
4 | …ize: 100, split_search: doubled, split_points: 3, solver: none, resign: 1 }
  |                                                                          ^
  = allowed: resign 0, or solver alternate or joint

error: evaluation \`ptb\` is listed twice
 --> my.yaml:5:41
  |
5 |   evaluate: { perplexity: [ptb, { name: ptb, dataset: c4 }] }
  |                                         ^^^
  = note: names are the keys of metrics.json

error: nothing named \`ptbb\` is evaluated
 --> my.yaml:9:11
  |
9 | expect: { ptbb: { value: 3, within: 0.1 } }
  |           ^^^^ did you mean \`ptb\`?
  = allowed: ptb

6 errors`,
  },
  {
    name: "what is allowed but surprising, as a warning",
    text:
      `${model}stages: { coarse-search: { keep: 8 }, spbo: { group_size: 32, salient_max: 40 },\n  calibrate: , fine-search: , pack: }\n`,
    wanted: `
warning: keep + spread is 9, above of (8), so that blocks are clamped
 --> my.yaml:2:34
  |
2 | stages: { coarse-search: { keep: 8 }, spbo: { group_size: 32, salient_max: …
  |                                  ^
  = note: the mean over blocks will not be 8; a spread of 0 keeps it

warning: salient_max is clamped to 31
 --> my.yaml:2:76
  |
2 | …s: { coarse-search: { keep: 8 }, spbo: { group_size: 32, salient_max: 40 },
  |                                                                        ^^
  = note: a group has 32 columns, and one at least is not salient`,
  },
  {
    name: "a key given twice",
    text: `${model}stages: { pack: { scales: f16, scales: f32 } }\n`,
    wanted: `
error: this key is given twice in one map
 --> my.yaml:2:32
  |
2 | stages: { pack: { scales: f16, scales: f32 } }
  |                                ^^^^^^
  = note: keep one of them`,
  },
  {
    name: "tabs",
    text: "model:\n\tpath: w\n",
    wanted: `
error: YAML is indented with spaces, not with tabs
 --> my.yaml:2:1
  |
2 |  path: w
  | ^`,
  },
  {
    name: "an alias without an anchor",
    text: "model: { path: *nowhere }\n",
    wanted: `
error: alias \`*nowhere\` has no anchor before it
 --> my.yaml:1:16
  |
1 | model: { path: *nowhere }
  |                ^^^^^^^^`,
  },
];

for (const { name, text, set, wanted } of cases) {
  Deno.test(`renderDiagnostics() shows ${name}`, () => {
    assert.equal(`\n${renderDiagnostics(diagnose(text, set))}`, wanted);
  });
}

Deno.test("renderDiagnostic() stays within the width, and the caret under its text", () => {
  const long = `${model}stages: { ${" ".repeat(300)}spboo: {}${" ".repeat(300)} }\n`;
  const [diagnostic] = diagnose(long);
  for (const width of [40, 60, 80, 120]) {
    const lines = renderDiagnostic(diagnostic, { width }).split("\n");
    assert.ok(lines.every((line) => [...line].length <= width), `${width}`);
    const caret = lines.findIndex((line) => line.includes("^"));
    assert.equal(lines[caret].indexOf("^"), lines[caret - 1].indexOf("spboo"));
  }
});

Deno.test("renderDiagnostic() lets nothing in the recipe steer the terminal", () => {
  const text = renderDiagnostics(diagnose('model: { path: w, "\\x1b[31m": 1 }\nstages: "\x1b[2J"\n'));
  assert.ok([...text].every((letter) => letter === "\n" || letter >= " "), JSON.stringify(text));
});

Deno.test("renderDiagnostic() uses colours only when asked", () => {
  const [diagnostic] = diagnose("model: 3\n");
  assert.ok(!renderDiagnostic(diagnostic).includes("\x1b"));
  assert.ok(renderDiagnostic(diagnostic, { colour: true }).startsWith("\x1b[1;31merror\x1b[0m"));
});
