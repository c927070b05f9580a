/** `searchSalient` on WebGPU. */
import columnOrderCode from "./column_order.wgsl" with { type: "text" };
import { type Device, type Matrix, matrix } from "./device.ts";
import { gpuColumnSums } from "./importance_webgpu.ts";
import chooseCode from "./salient_choose.wgsl" with { type: "text" };
import errorsCode from "./salient_errors.wgsl" with { type: "text" };
import type { GpuContext } from "./webgpu_context.ts";
import { denseOffset, grid, reads, withTwoFloat, writes } from "./webgpu_dispatch.ts";

const COLUMN_ORDER = { name: "column_order", code: withTwoFloat(columnOrderCode) };
const SALIENT_ERRORS = { name: "salient_errors", code: withTwoFloat(errorsCode) };
const SALIENT_CHOOSE = { name: "salient_choose", code: withTwoFloat(chooseCode) };

/** What one dispatch may take: errors that it writes, and values that it reads, which a watchdog limits. */
const MOST_ERRORS = 2 ** 22, MOST_READ = 2 ** 30;

/** See `Device.searchSalient`. */
export function gpuSearchSalient(
  context: GpuContext,
  salient: Matrix<"u8">,
  options: Parameters<Device["searchSalient"]>[1],
): void {
  const { score, values, columnWeight, rank, pruned, most } = options, { rows, cols } = score;
  const limit = Math.max(0, Math.min(most, cols - 1));
  const sums = context.scratch("f32", 2 * cols), places = context.scratch("u32", cols);
  gpuColumnSums(context, sums, score, { absolute: true });
  const order = { buffer: places, access: "read" } as const;
  context.run(
    COLUMN_ORDER,
    [{ buffer: sums, access: "read" }, { buffer: places, access: "read_write" }],
    [0, cols],
    grid(context, cols),
  );
  context.release(sums);
  // Without a number to try, choosing marks none.
  const totals = context.scratch("f32", Math.max(4 * limit, 2));
  if (limit > 0) {
    const perRow = 2 * limit, step = Math.min(rows, Math.floor(MOST_ERRORS / perRow), MOST_READ / (perRow * cols));
    const tile = Math.max(1, Math.floor(step)), errors = context.scratch("f32", tile * perRow);
    for (let row = 0; row < rows; row += tile) {
      const some = Math.min(tile, rows - row);
      context.run(
        SALIENT_ERRORS,
        [
          { buffer: errors, access: "read_write" },
          reads(values),
          reads(rank),
          reads(columnWeight ?? values),
          order,
        ],
        [
          0,
          some,
          cols,
          limit,
          row,
          pruned,
          Number(columnWeight !== undefined),
          denseOffset(values),
          denseOffset(rank),
          columnWeight ? denseOffset(columnWeight) : 0,
        ],
        grid(context, some * perRow),
      );
      gpuColumnSums(context, totals, matrix(errors, some, perRow), { absolute: false });
    }
    context.release(errors);
  }
  context.run(
    SALIENT_CHOOSE,
    [{ buffer: totals, access: "read" }, order, writes(salient)],
    [0, cols, limit, denseOffset(salient)],
    [1],
  );
  context.release(totals);
  context.release(places);
}
