/** The two models that are measured and compared: what steps that run a block of one depend on, and where its weights are read. */
import { dirname } from "node:path";
import type { TensorShapes } from "../checkpoints/read_tensors.ts";
import type { Json, OutputRef, StepContext } from "../runner/stage.ts";
import { PACKED_WEIGHTS, type Roles } from "./artifacts.ts";
import type { Planning } from "./planning.ts";
import type { Tools } from "./tools/mod.ts";

/** The models. */
export const VARIANTS = ["original", "compressed"] as const;
export type Variant = typeof VARIANTS[number];

/** Reads tensors of the original checkpoint, or of the packed file. */
export interface WeightReader {
  read(shapes: TensorShapes): Promise<Record<string, Float32Array>>;
  /** Told what will be read next. */
  ahead(shapes: TensorShapes): void;
}

/** What a step that runs a block of one of the models takes from it. */
export interface VariantBlock {
  readonly tools: Pick<Tools, "forward">;
  readonly code: string;
  /** Facts of the weights that it reads. */
  readonly facts: Readonly<Record<string, Json>>;
  /** The packed model, where it is that. */
  readonly inputs: Readonly<Record<string, OutputRef>>;
  readonly weights: (context: StepContext) => Promise<WeightReader>;
  /** The original's weights beside the packed model's, where they are read. */
  readonly original?: () => WeightReader;
}

/**
 * What a step that runs a block of one of the models depends on.
 *
 * @param source the `import.meta.url` of what runs it; the first block reads the embedding, too, and the last the head
 */
export function variantBlock(
  planning: Planning,
  { source, variant, block, packed, compared = false }: {
    readonly source: string;
    /** Whether the packed model's last block reads the original's head, too. */
    readonly compared?: boolean;
    readonly variant: Variant;
    readonly block: number;
    readonly packed: Roles["packed"];
  },
): VariantBlock {
  const { spec, identities, architecture, forward, roles: { quantized } } = planning;
  const facts = { architecture, provider: forward.provider };
  if (variant === "compressed") {
    const formats = quantized ? packed.formats(quantized.format) : [];
    const last = compared && block === spec.blocks - 1;
    const { tools, code } = planning.use(source, ["forward", "model_file", ...(last ? ["weights"] as const : [])], {
      formats,
    });
    return {
      ...{ tools, code, inputs: { model: packed.model }, weights: (context) => packedReader(tools, context) },
      facts: { ...facts, ...(last ? { original: identities.head } : {}) },
      ...(last ? { original: () => originalReader(tools) } : {}),
    };
  }
  const { tools, code } = planning.use(source, ["forward", "weights"]);
  const weights = {
    weights: identities.blocks[block],
    ...(block === 0 ? { embedding: identities.embedding } : {}),
    ...(block === spec.blocks - 1 ? { head: identities.head } : {}),
  };
  return {
    ...{ tools, code, inputs: {} },
    facts: { ...facts, ...weights },
    weights: () => Promise.resolve(originalReader(tools)),
  };
}

/** Reads plain numbers, which takes too little to begin ahead. */
function originalReader({ weights }: Pick<Tools, "weights">): WeightReader {
  return { read: (shapes) => weights.read(shapes), ahead: () => {} };
}

async function packedReader(
  { model_file }: Pick<Tools, "model_file">,
  context: StepContext,
): Promise<WeightReader> {
  const model = await context.input("model");
  for (const file of model.files) await model.path(file);
  return await model_file.open(dirname(await model.path(PACKED_WEIGHTS)));
}
