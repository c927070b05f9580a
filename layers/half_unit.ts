/** Whether a layer's scales are packed in a unit of their own, as float16 would lose them. */
import type { JsonRecord } from "../files/json.ts";
import type { Tensor } from "../files/safetensors.ts";
import { halfExponent } from "../kernels/matrix/ops.ts";
import type { MethodLayer } from "./methods/method.ts";

/** Scales, and how many in turn are stored in one unit. */
export interface ScaleSets {
  readonly scales: Tensor;
  readonly together: number;
}

/**
 * The fact `exponent`, the layer's unit, where float16 would lose a scale; nothing for nearly every layer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { halfUnit } from "./half_unit.ts";
 *
 * const scales = (value: number) => ({ dtype: "F32", shape: [2], data: Float32Array.of(0, value) }) as const;
 * const open = { job: { settings: { scales: "f16" } }, layer: { exponent: 0 } } as const;
 * assert.deepEqual(halfUnit(open, [{ scales: scales(0.5), together: 2 }]), {});
 * assert.deepEqual(halfUnit(open, [{ scales: scales(2 ** -30), together: 2 }]), { exponent: 0 });
 * ```
 */
export function halfUnit(
  { job: { settings }, layer: { exponent } }: {
    readonly job: { readonly settings: Pick<MethodLayer["job"]["settings"], "scales"> };
    readonly layer: Pick<MethodLayer["layer"], "exponent">;
  },
  sets: readonly ScaleSets[],
): JsonRecord {
  if (settings.scales !== "f16") return {};
  return exponent !== 0 || sets.some(isLost) ? { exponent } : {};
}

function isLost({ scales: { data }, together }: ScaleSets): boolean {
  for (let start = 0; start < data.length; start += together) {
    let largest = 0;
    for (let i = start; i < start + together; i++) largest = Math.max(largest, Math.abs(Number(data[i])));
    if (halfExponent(largest) !== 0) return true;
  }
  return false;
}
