/** What the official code of each method took on the record's machine. */
import * as z from "zod";

const File = z.object({
  protocol: z.looseObject({ gemm_gflops: z.number().positive() }),
  rows: z.array(z.looseObject({ model: z.string(), method: z.string(), official: z.boolean() })),
});

const Timed = z.object({
  blocks_run: z.int().positive(),
  quantize_seconds: z.number().positive(),
  forward_seconds: z.number().positive(),
  settings: z.looseObject({
    variant: z.string().optional(),
    column_groups: z.boolean().optional(),
    keep: z.int().optional(),
  }),
});

/** A method of ours, and the official code that it is held against. */
export interface Rival {
  /** Name of our recipe in configs/methods. */
  readonly recipe: string;
  /** Name of our recipe in configs/bases with its settings alone, to run it on random weights of a real width. */
  readonly base?: string;
  /** The official code, in words. */
  readonly official: string;
  /** How many times as fast ours must be. */
  readonly least: number;
  /** Seconds that quantising SmolLM2-135M may take at most, on two cores. */
  readonly most?: number;
  /** The record's row. */
  readonly row: {
    readonly method: string;
    readonly variant?: string;
    readonly columnGroups?: boolean;
    readonly keep?: number;
  };
}

/**
 * By the method's name on the command line. No code of PBS²P is public, and WaterSIC's runs on CUDA only: they are held against BiLLM,
 * whose loop they share.
 */
export const RIVALS = {
  pbs2p: { recipe: "pbs2p-4of8", base: "paper", official: "BiLLM", least: 20, row: { method: "billm" } },
  trellis: { recipe: "trellis", base: "trellis", official: "BiLLM", least: 1, most: 60, row: { method: "billm" } },
  billm: { recipe: "billm", official: "BiLLM", least: 10, row: { method: "billm" } },
  "arb-rc": {
    recipe: "arb-rc-cgb",
    official: "ARB-LLM (rc)",
    least: 10,
    row: { method: "arb-llm", variant: "arb-rc", columnGroups: true },
  },
  "arb-x": {
    recipe: "arb-x-cgb",
    official: "ARB-LLM (x)",
    least: 10,
    row: { method: "arb-llm", variant: "arb-x", columnGroups: true },
  },
  stbllm: {
    recipe: "stbllm-4of8-released",
    official: "STBLLM",
    least: 10,
    row: { method: "stbllm", variant: "as-released", keep: 4 },
  },
} as const satisfies Readonly<Record<string, Rival>>;

/** Seconds for the whole model, and the rate of the machine they were measured on. */
export interface Official {
  readonly quantize: number;
  readonly forward: number;
  /** GFLOP/s of 1024³ in float32. */
  readonly gemm: number;
}

/**
 * Finds the official code's seconds for a model.
 *
 * @param json peers.json
 * @throws {RangeError} when the record has no such row
 */
export function officialSeconds(json: unknown, model: string, { official, row: wanted }: Rival): Official {
  const { protocol: { gemm_gflops: gemm }, rows } = File.parse(json);
  const row = rows.filter((row) => row.model === model && row.method === wanted.method && row.official)
    .map((row) => Timed.parse(row)).find(({ settings }) =>
      settings.variant === wanted.variant && (wanted.keep === undefined || settings.keep === wanted.keep) &&
      (wanted.columnGroups === undefined || settings.column_groups === wanted.columnGroups)
    );
  if (row === undefined) {
    throw new RangeError(`Cannot compare with ${official} as the record has no official row of ${model}`);
  }
  const { quantize_seconds: quantize, forward_seconds: forward } = row;
  return { quantize, forward, gemm };
}

/**
 * What it would take on a machine of another rate.
 *
 * @param rate GFLOP/s of that machine
 */
export function scaleTo(rate: number, { quantize, forward, gemm }: Official): Official {
  const factor = gemm / rate;
  return { quantize: quantize * factor, forward: forward * factor, gemm: rate };
}
