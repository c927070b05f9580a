/** `alternate` on WebGPU: the forms of every group and level, then the rounds over them. */
import formsCode from "./alternate_forms.wgsl" with { type: "text" };
import roundsCode from "./alternate_rounds.wgsl" with { type: "text" };
import type { Matrix } from "../device.ts";
import { type AlternateOperands, scheduleSteps } from "./alternate.ts";
import { gpuMemberLists, listElements } from "./member_lists_webgpu.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import { bind, bindRows, bindWhole, columnRanges, rowTiles } from "../gpu/row_tiles.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import { GROUP_THREADS, readsBuffer, withTwoFloat, writesBuffer } from "../gpu/dispatch.ts";

/** Forms of one group and level, each a pair of floats. */
const FORMS = 9;

const forms: GpuOp = { name: "alternate forms", code: withTwoFloat(formsCode), constants: { THREADS: GROUP_THREADS } };
const rounds: GpuOp = {
  name: "alternate rounds",
  code: withTwoFloat(roundsCode),
  constants: { THREADS: GROUP_THREADS },
};

/**
 * See `alternateRounds`. Sums are kept as pairs of floats (48 bits), so that scales are those of float64 sums, rounded
 * once, unless S is singular beyond that.
 *
 * @param scales rows × scales of a row: the start on entry, the optimised ones on return
 */
export function gpuAlternate(context: GpuContext, scales: Matrix, options: AlternateOperands): void {
  const { w, gram, codes, rank, segments, salient, pruned, iterations } = options;
  const { rows, cols } = w, steps = scheduleSteps(options), groups = segments + 1, stride = scalesPerBlock(options);
  const perRow = (groups * steps * FORMS + groups * 3) * 2, reduction = groups * steps * FORMS + 2 * GROUP_THREADS;
  for (
    const tile of rowTiles(context, rows, {
      scratch: Math.max(perRow, listElements(groups * steps, cols)),
      cols,
      work: cols * cols,
    })
  ) {
    const scratch = context.scratch("f32", tile.rows * perRow);
    const members = gpuMemberLists(context, codes, tile, { groups, steps, pruned, rank });
    const [values, s] = [bindRows(w, tile, "read"), bindWhole(gram)];
    const bindings = [values.binding, s.binding, readsBuffer(members), writesBuffer(scratch)];
    const second = bind([bindRows(scales, tile, "read_write")], scratch);
    for (const { from, to } of columnRanges(cols, () => cols + reduction, GROUP_THREADS)) {
      const params = [tile.rows, cols, from, to, segments, steps, values.at, s.at];
      context.run(forms, bindings, params, [tile.rows]);
    }
    const workgroups = [Math.ceil(tile.rows / GROUP_THREADS), salient ? groups : segments] as const;
    // Before the first round, loops sum the forms up; between steps they begin anew.
    const cost = (round: number) => round === 0 ? steps * (FORMS + 1) : 1 + Number(round % iterations === 0);
    for (const { from, to } of columnRanges(steps * iterations, cost)) {
      const params = [tile.rows, salient ? 0 : 1, salient ? 1 : 0, steps, iterations, stride, from, to];
      context.run(rounds, second.bindings, [...params, ...second.offsets], workgroups);
    }
    for (const buffer of [scratch, members]) context.release(buffer);
  }
}
