/** What the official BiLLM code took on the record's machine. */
import * as z from "zod";

const File = z.object({
  protocol: z.looseObject({ gemm_gflops: z.number().positive() }),
  rows: z.array(z.looseObject({ model: z.string(), method: z.string(), official: z.boolean() })),
});

const Billm = z.object({
  blocks_run: z.int().positive(),
  quantize_seconds: z.number().positive(),
  forward_seconds: z.number().positive(),
});

/** Seconds for the whole model, and the rate of the machine they were measured on. */
export interface Official {
  readonly quantize: number;
  readonly forward: number;
  /** GFLOP/s of 1024³ in float32. */
  readonly gemm: number;
}

/**
 * Finds official BiLLM's seconds for a model.
 *
 * @param json peers.json
 * @throws {RangeError} when the record has no such row
 */
export function officialBillm(json: unknown, model: string): Official {
  const { protocol: { gemm_gflops: gemm }, rows } = File.parse(json);
  const row = rows.find((row) => row.model === model && row.method === "billm" && row.official);
  if (row === undefined) {
    throw new RangeError(`Cannot compare with BiLLM as the record has no official row of ${model}`);
  }
  const { quantize_seconds: quantize, forward_seconds: forward } = Billm.parse(row);
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
