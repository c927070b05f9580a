/** The public API's documentation: every export of mod.ts says what it is, and shows it in an example that asserts. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

const Documentation = z.object({
  nodes: z.record(
    z.string(),
    z.object({
      symbols: z.array(z.object({
        name: z.string(),
        declarations: z.array(z.object({
          location: z.object({ filename: z.string(), line: z.int() }),
          kind: z.string(),
          jsDoc: z.object({
            doc: z.string().optional(),
            tags: z.array(z.object({ kind: z.string(), doc: z.string().optional() })).optional(),
          }).optional(),
        })),
      })),
    }),
  ),
});

/** One declaration of an export. */
interface Declared {
  /** Name and place. */
  readonly label: string;
  readonly text: string;
  readonly examples: readonly string[];
}

/** What a module exports, each declaration with its doc comment. */
async function exportsOf(path: string): Promise<Declared[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", path],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  const { nodes } = Documentation.parse(JSON.parse(new TextDecoder().decode(stdout)));
  return Object.values(nodes).flatMap(({ symbols }) => symbols).flatMap(({ name, declarations }) =>
    declarations.map(({ location: { filename, line }, kind, jsDoc }) => ({
      label: `${kind} ${name} (${relative(ROOT, fileURLToPath(filename)).replaceAll("\\", "/")}:${line})`,
      text: jsDoc?.doc ?? "",
      examples: (jsDoc?.tags ?? []).filter(({ kind }) => kind === "example").map(({ doc = "" }) => doc),
    }))
  );
}

/** A code block that runs, imports an assertion and uses it. */
function asserts(example: string): boolean {
  const [, code] = /^```ts\n([^]*?)^```$/m.exec(example) ?? [];
  return code !== undefined && /^import assert from "node:assert\/strict";$/m.test(code) &&
    /\bassert(\.\w+)?\(/.test(code);
}

function withoutSentence(declared: readonly Declared[]): string[] {
  return declared.filter(({ text }) => !/^[A-Z`][^]*?[.:](\s|$)/.test(text.trim())).map(({ label }) => label);
}

function withoutExample(declared: readonly Declared[]): string[] {
  return declared.filter(({ examples }) => !examples.some(asserts)).map(({ label }) => label);
}

const declared = await exportsOf("mod.ts");

Deno.test("mod.ts exports nothing without a first sentence", () => {
  assert.ok(declared.length > 40, `only ${declared.length} exports were found`);
  assert.deepEqual(withoutSentence(declared), []);
});

Deno.test("mod.ts exports nothing without an example that asserts", () => {
  assert.deepEqual(withoutExample(declared), []);
});

Deno.test("exportsOf() finds what has no sentence and no example that asserts", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-api-"));
  const example = (code: string) => `/**\n * A thing.\n *\n * @example\n * \`\`\`ts\n * ${code}\n * \`\`\`\n */\n`;
  try {
    await writeFile(
      join(folder, "entry.ts"),
      "export interface Bare {\n  readonly one: 1;\n}\n\n/** With a sentence. */\nexport const told = 1;\n\n" +
        `${example("console.log(shown);")}export const shown = 1;\n`,
    );
    await writeFile(join(folder, "mod.ts"), 'export { type Bare, shown, told } from "./entry.ts";\n');
    const found = await exportsOf(join(folder, "mod.ts"));
    const names = (labels: readonly string[]) => labels.map((label) => label.split(" ")[1]).sort();
    assert.deepEqual(names(withoutSentence(found)), ["Bare"]);
    assert.deepEqual(names(withoutExample(found)), ["Bare", "shown", "told"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
