/** `inspect`: what a model is made of, and what its weights cost in bits. */
import { Command } from "commander";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { inspectPacked, type PackedInspection } from "../checkpoints/packed/bits.ts";
import { modelShapes, modelSpec, vocabularyTensors } from "../models/mod.ts";
import { locateModel, MODEL_TARGET, openModel } from "./models.ts";
import { type CommandContext, runsOption, withOutputOptions } from "./options.ts";
import { formatBytes as bytes } from "../report/numbers.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly runs?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** The command. */
export function inspectCommand(context: CommandContext): Command {
  return withOutputOptions(new Command("inspect"))
    .description("list a model's layers with N:M and bits, or an ordinary checkpoint's tensors")
    .argument("<model>", MODEL_TARGET)
    .addOption(runsOption())
    .action(async (target: string, options: Options) => {
      const terminal = context.terminal(options);
      const model = await locateModel(target, options, terminal),
        checkpoint = await openModel(model, { headers: true });
      try {
        if (checkpoint.format === "packed" && "path" in model) {
          await inspect(model.path, checkpoint, { options, terminal });
        } else listTensors(checkpoint, options, terminal);
      } finally {
        checkpoint.close();
      }
    });
}

async function inspect(
  folder: string,
  { config }: Pick<Checkpoint, "config">,
  { options: { json }, terminal }: { readonly options: Options; readonly terminal: Terminal },
): Promise<void> {
  const spec = modelSpec(config), shapes = modelShapes(spec);
  const packed = await inspectPacked(folder, { apart: { ...vocabularyTensors(spec) }, shapes });
  if (json) return terminal.line(JSON.stringify(packed));
  for (const line of renderInspection(packed, terminal.width)) terminal.line(line);
}

/** A packed model as lines: its layers, then bits by component. */
function renderInspection(packed: PackedInspection, width: number): string[] {
  const right = "right";
  const cells = [...new Set(packed.layers.flatMap((layer) => Object.keys(layer.cells)))];
  const layers = renderTable(
    [
      { head: "layer" },
      { head: "shape", side: right },
      ...cells.map((head) => ({ head, side: right }) as const),
      { head: "nominal", side: right },
      { head: "stored", side: right },
    ],
    packed.layers.map((layer) => [
      layer.name,
      `${layer.header.rows}×${layer.header.cols}`,
      ...cells.map((cell) => layer.cells[cell] ?? ""),
      layer.nominal.toFixed(3),
      layer.stored.total.toFixed(3),
    ]),
    { width },
  );
  const { stored, uncoded, nominal, storing, parts, formulas } = packed;
  const apart = Object.values(packed.apart).reduce((sum, { bytes }) => sum + bytes, 0);
  const beside = (name: string) => [stored[name], ...(uncoded ? [uncoded[name]] : [])].map((bits) => bits.toFixed(3));
  const formula = formulas.storing === undefined ? "" : ` (${formulas.storing})`;
  const components = renderTable(
    [
      { head: "bits per compressed weight" },
      { head: uncoded ? "stored" : "", side: right },
      ...(uncoded ? [{ head: "as planes", side: right } as const] : []),
    ],
    [
      ["nominal, as papers count", nominal.toFixed(3)],
      ...(storing === undefined ? [] : [[`  with it, for storing${formula}`, storing.toFixed(3)]]),
      ...packed.components.map(({ name, label }) => [label, ...beside(name)]),
      ["stored", ...beside("total")],
      ...Object.entries(packed.apart).map(([part, { format, stored }]) => [`${part}, ${format}`, stored.toFixed(3)]),
      ["whole model, everything included", packed.model.toFixed(3)],
    ].map((row) => uncoded ? [...row, "", ""].slice(0, 3) : row),
    { width },
  );
  return [
    ...layers,
    "",
    ...components,
    "",
    ...wrapText(
      [
        `${bytes(packed.bytes)}: compressed layers ${bytes(parts.layers)}`,
        ...Object.entries(packed.apart).map(([part, { bytes: size }]) => `${part} ${bytes(size)}`),
        `other tensors ${bytes(parts.others - apart)}`,
        `header ${bytes(parts.header)}`,
      ].join(", "),
      width,
    ),
    ...wrapText(`${packed.parameters} parameters, ${packed.weights} of them in compressed layers`, width),
  ];
}

function listTensors(checkpoint: Checkpoint, { json }: Options, terminal: Terminal): void {
  const tensors = [...checkpoint.tensors.values()];
  const { format, label, config } = checkpoint;
  if (json) return terminal.line(JSON.stringify({ format, label, bytes: checkpoint.bytes, config, tensors }));
  const rows = tensors.map(({ name, dtype, shape, bytes: size }) => [name, dtype, shape.join("×"), bytes(size)]);
  const columns = [{ head: "tensor" }, { head: "type" }, { head: "shape", side: "right" }, {
    head: "size",
    side: "right",
  }] as const;
  for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
  terminal.line();
  const text = `${label}: ${format}, ${tensors.length} tensors, ${bytes(checkpoint.bytes)}; not compressed by pbs2p`;
  for (const line of wrapText(text, terminal.width)) terminal.line(line);
}
