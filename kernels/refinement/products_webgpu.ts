/** `refineProducts` on WebGPU: rows, columns and signs in turn, each a dispatch. */
import { type Matrix, matrix } from "../device.ts";
import { grid, GROUP_THREADS, readsBuffer, rowWindows, withTwoFloat, writesBuffer } from "../gpu/dispatch.ts";
import type { GpuContext, GpuOp } from "../gpu/op.ts";
import leadingCode from "./leading_parts.wgsl" with { type: "text" };
import columnsCode from "./product_columns.wgsl" with { type: "text" };
import rowsCode from "./product_rows.wgsl" with { type: "text" };
import signsCode from "./product_signs.wgsl" with { type: "text" };
import termsCode from "./product_terms.wgsl" with { type: "text" };
import { productsPerRow } from "./layout.ts";
import type { ProductsOperands } from "./products.ts";

const withTerms = (code: string) => withTwoFloat(`${termsCode}\n${code}`);

const ROWS: GpuOp = { name: "product_rows", code: withTerms(rowsCode) };
const COLUMNS: GpuOp = { name: "product_columns", code: withTerms(columnsCode) };
const SIGNS: GpuOp = { name: "product_signs", code: withTerms(signsCode) };
const LEADING: GpuOp = { name: "leading_parts", code: leadingCode };

/** Rows of one dispatch that sums over them, which a watchdog limits. */
const MOST_ROWS = 4096;

/** See `refineProductBlock`: signs are the CPU's but for ties beyond 45 bits. */
export function gpuRefineProducts(
  context: GpuContext,
  codes: Matrix<"u8">,
  scales: Matrix,
  columnScales: Matrix,
  options: ProductsOperands,
): void {
  const { w, doubled, single, iterations } = options, { rows, cols } = w, stride = productsPerRow(options);
  const pairs = matrix(context.scratch("f32", 2 * rows * stride), rows, 2 * stride);
  const columns = context.scratch("f32", 2 * cols * stride), groups = doubled + single;
  const sums = context.scratch("f32", 4 * cols * groups, { zeroed: false });
  const signs = (order: 0 | 1, start: 0 | 1) => {
    for (
      const { rows, written: [code], read: [x, row] } of rowWindows(context, { written: [codes], read: [w, pairs] })
    ) {
      context.run(
        SIGNS,
        [code.binding, x.binding, row.binding, readsBuffer(columns)],
        [rows, cols, doubled, single, order, start, code.offset, x.offset, row.offset],
        grid(context, rows * cols),
      );
    }
  };
  const fit = (order: 0 | 1, start: 0 | 1) => {
    for (
      const { rows, written: [row], read: [code, x] } of rowWindows(context, { written: [pairs], read: [codes, w] })
    ) {
      context.run(
        ROWS,
        [code.binding, x.binding, row.binding, readsBuffer(columns)],
        [rows, cols, doubled, single, order, start, code.offset, x.offset, row.offset],
        grid(context, rows),
      );
    }
    for (const window of rowWindows(context, { read: [codes, w, pairs], most: MOST_ROWS })) {
      const [code, x, row] = window.read, ends = Number(window.row + window.rows === rows);
      const shape = [window.rows, cols, doubled, single, order, start, code.offset, x.offset, row.offset];
      context.run(
        COLUMNS,
        [...window.read.map(({ binding }) => binding), writesBuffer(columns), writesBuffer(sums)],
        [...shape, Number(window.row === 0), ends],
        [Math.ceil(cols / GROUP_THREADS)],
      );
    }
  };
  const orders = doubled > 0 ? [0, 1] as const : [0] as const;
  for (const order of orders) {
    signs(order, 1);
    fit(order, 1);
  }
  for (let round = 0; round < iterations; round++) {
    for (const order of orders) fit(order, 0);
    if (doubled > 0) signs(0, 0);
  }
  const both = [[scales, pairs], [columnScales, matrix(columns, cols, 2 * stride)]] as const;
  for (const [to, from] of both) {
    for (const { rows, written: [out], read: [pair] } of rowWindows(context, { written: [to], read: [from] })) {
      const count = rows * stride;
      context.run(LEADING, [pair.binding, out.binding], [count, pair.offset, out.offset], grid(context, count));
    }
  }
  for (const buffer of [pairs.buffer, columns, sums]) context.release(buffer);
}
