/** From codes and scales of refined groups back to weights; and some of the groups as codes of their own. */
import { GROUP_SHIFT, SECOND_SIGN, SIGN } from "../binary/ops.ts";
import type { Matrix } from "../device.ts";
import { firstScale, meansPerRow, productsPerRow, type RefinedShape } from "./layout.ts";

/** A column block as codes and scales. */
export interface RefinedBlock extends RefinedShape {
  /** rows × cols */
  readonly codes: Uint8Array;
  /** rows × `meansPerRow`, or × `productsPerRow` where there are column scales. */
  readonly scales: Float32Array;
  /** cols × `productsPerRow` */
  readonly columnScales?: Float32Array;
  readonly rows: number;
  readonly cols: number;
}

/** Operands of `decodeRefined`; see `RefinedBlock`. */
export interface RefinedOperands extends RefinedShape {
  readonly codes: Matrix<"u8">;
  readonly scales: Matrix;
  readonly columnScales?: Matrix;
}

/** Operands of `takeGroups`: `count` groups from `first` on. */
export interface TakenGroups {
  readonly codes: Matrix<"u8">;
  readonly first: number;
  readonly count: number;
}

/**
 * Decodes a column block: mean ± scale (± second scale), or with column scales ±r·c (± r₂·c₂).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { KEPT, SIGN } from "../binary/ops.ts";
 * const out = new Float32Array(2), codes = Uint8Array.of(KEPT, KEPT | SIGN), shape = { rows: 1, cols: 2, doubled: 0, single: 1 };
 * decodeRefinedBlock(out, { ...shape, codes, scales: Float32Array.of(3, 2) });
 * assert.deepEqual([...out], [1, 5]);
 * decodeRefinedBlock(out, { ...shape, codes, scales: Float32Array.of(3), columnScales: Float32Array.of(2, 5) });
 * assert.deepEqual([...out], [-6, 15]);
 * ```
 * @param out rows × cols, overwritten
 */
export function decodeRefinedBlock(out: Float32Array, block: RefinedBlock): void {
  const { codes, scales, columnScales, rows, cols, doubled, single } = block;
  const groups = doubled + single;
  if (columnScales === undefined) {
    const stride = meansPerRow(block), table = new Float32Array(8 * groups);
    for (let r = 0, at = 0; r < rows; r++) {
      for (let code = 0; code < table.length; code++) {
        const group = code >> GROUP_SHIFT, base = r * stride + firstScale(group, block, "means");
        const first = scales[base] + ((code & SIGN) !== 0 ? scales[base + 1] : -scales[base + 1]);
        const second = group < doubled ? scales[base + 2] : 0;
        table[code] = first + ((code & SECOND_SIGN) !== 0 ? second : -second);
      }
      for (const end = at + cols; at < end; at++) out[at] = table[codes[at]];
    }
    return;
  }
  const stride = productsPerRow(block);
  const places = Uint8Array.from({ length: groups }, (_, g) => firstScale(g, block, "products"));
  for (let r = 0, at = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++, at++) {
      const code = codes[at], group = code >> GROUP_SHIFT, row = r * stride + places[group];
      const column = c * stride + places[group];
      const first = scales[row] * columnScales[column], value = (code & SIGN) !== 0 ? first : -first;
      if (group >= doubled) {
        out[at] = value;
        continue;
      }
      const second = scales[row + 1] * columnScales[column + 1];
      out[at] = value + ((code & SECOND_SIGN) !== 0 ? second : -second);
    }
  }
}

/**
 * Some groups as codes of their own, numbered from 0; weights of the others have code 0, as pruned ones have.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { GROUP_SHIFT, KEPT } from "../binary/ops.ts";
 * const out = new Uint8Array(2), codes = Uint8Array.of(KEPT, 1 << GROUP_SHIFT | KEPT);
 * groupsOf(out, codes, { first: 1, count: 1 });
 * assert.deepEqual([...out], [0, KEPT]);
 * ```
 */
export function groupsOf(out: Uint8Array, codes: Uint8Array, { first, count }: Omit<TakenGroups, "codes">): void {
  for (let at = 0; at < codes.length; at++) {
    const group = (codes[at] >> GROUP_SHIFT) - first;
    out[at] = group >= 0 && group < count ? codes[at] - (first << GROUP_SHIFT) : 0;
  }
}
