/** `searchSalient` on WebGPU. */
import columnOrderCode from "./column_order.wgsl" with { type: "text" };
import { type Matrix, matrix } from "../device.ts";
import type { SalientOperands } from "./salient.ts";
import { gpuColumnSums } from "../scores/ops.ts";
import chooseCode from "./salient_choose.wgsl" with { type: "text" };
import errorsCode from "./salient_errors.wgsl" with { type: "text" };
import rowsCode from "./salient_rows.wgsl" with { type: "text" };
import type { GpuBuffer, GpuContext } from "../gpu/op.ts";
import {
  denseOffset,
  grid,
  reads,
  readsBuffer,
  rowWindows,
  withTwoFloat,
  writes,
  writesBuffer,
} from "../gpu/dispatch.ts";

const COLUMN_ORDER = { name: "column_order", code: withTwoFloat(columnOrderCode) };
const SALIENT_ROWS = { name: "salient_rows", code: rowsCode };
const SALIENT_ERRORS = { name: "salient_errors", code: withTwoFloat(errorsCode) };
const SALIENT_CHOOSE = { name: "salient_choose", code: withTwoFloat(chooseCode) };

/** What one dispatch may take: elements that it writes, and values that it reads, which a watchdog limits. */
const MOST_WRITTEN = 2 ** 23, MOST_READ = 2 ** 30;

/** See `searchSalient`. */
export function gpuSearchSalient(context: GpuContext, salient: Matrix<"u8">, options: SalientOperands): void {
  const { score, most, coarse = false } = options, { cols } = score, limit = Math.max(0, Math.min(most, cols - 1));
  const sums = context.scratch("f32", 2 * cols);
  const [places, order] = [cols, cols].map((length) => context.scratch("u32", length, { zeroed: false }));
  gpuColumnSums(context, sums, score, { absolute: true });
  context.run(
    COLUMN_ORDER,
    [
      readsBuffer(sums),
      writesBuffer(places),
      writesBuffer(order),
    ],
    [cols],
    grid(context, cols),
  );
  // Without a number to try, choosing marks none.
  const totals = context.scratch("f32", Math.max(4 * limit, 2));
  if (limit > 0) addErrors(context, totals, order, limit, options);
  context.run(
    SALIENT_CHOOSE,
    [readsBuffer(totals), readsBuffer(places), writes(salient)],
    [cols, limit, denseOffset(salient), Number(coarse)],
    [1],
  );
  for (const buffer of [sums, places, order, totals]) context.release(buffer);
}

/**
 * Sums the errors of both sides over the rows.
 *
 * @param totals 2 · limit pairs of floats: leading columns by their number, then the rest
 * @param order columns by place
 */
function addErrors(
  context: GpuContext,
  totals: GpuBuffer,
  order: GpuBuffer,
  limit: number,
  options: SalientOperands,
): void {
  const { values, columnWeight, rank, pruned } = options, { rows, cols } = values, perRow = 2 * limit;
  const written = Math.min(MOST_WRITTEN, context.bindable);
  const most = Math.min(written / (2 * cols), written / perRow, MOST_READ / (limit * cols));
  const step = Math.max(1, Math.min(rows, Math.floor(most)));
  const unset = { zeroed: false };
  const seen = context.scratch("f32", 2 * step * cols, unset), errors = context.scratch("f32", step * perRow, unset);
  const counts = context.scratch("u32", step * (limit + 1), unset);
  for (const { rows, read: [bound, ranks] } of rowWindows(context, { read: [values, rank], most: step })) {
    context.run(
      SALIENT_ROWS,
      [
        bound.binding,
        ranks.binding,
        columnWeight ? reads(columnWeight) : bound.binding,
        readsBuffer(order),
        writesBuffer(seen),
        writesBuffer(counts),
      ],
      [
        rows,
        cols,
        limit,
        pruned,
        Number(columnWeight !== undefined),
        bound.offset,
        ranks.offset,
        columnWeight ? denseOffset(columnWeight) : 0,
      ],
      grid(context, rows),
    );
    context.run(
      SALIENT_ERRORS,
      [
        writesBuffer(errors),
        readsBuffer(seen),
        readsBuffer(counts),
      ],
      [rows, cols, limit],
      grid(context, rows * perRow),
    );
    gpuColumnSums(context, totals, matrix(errors, rows, perRow), { absolute: false });
  }
  for (const buffer of [seen, counts, errors]) context.release(buffer);
}
