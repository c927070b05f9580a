/** `packedMatVec` on WebGPU. */
import type { Matrix } from "../device.ts";
import { CHUNK, chunkShape, type PackedMatrix } from "./matvec_layout.ts";
import half from "./half.wgsl" with { type: "text" };
import matvec from "./matvec.wgsl" with { type: "text" };
import { scalesPerBlock } from "../binary/ops.ts";
import { type GpuContext, WINDOW_ALIGNMENT } from "../gpu/op.ts";
import { grid, readsBuffer } from "../gpu/dispatch.ts";
import { bindMatrix } from "../gpu/window.ts";

const CODE = `${half}\n${matvec}`;

/** Rows of a workgroup, as the shader says. */
const ROWS = 32;

/** Columns of one dispatch: a thread takes an eighth of them, and loops no longer than llvmpipe lets it. */
const MOST_COLUMNS = 2 ** 17;

/**
 * See `packedMatVec`.
 *
 * @throws {RangeError} when a chunk of the layer's words, its scales or its inputs are beyond one binding
 */
export function gpuPackedMatVec(context: GpuContext, out: Matrix, weights: PackedMatrix, x: Matrix): void {
  const { rows, cols, groupSize, planes, marks, salient, signs, lastSigns } = weights;
  const constants = {
    PLANES: planes,
    MARKS: marks,
    SALIENT: Number(salient),
    SCALES_PER_BLOCK: scalesPerBlock(weights),
    HALF: Number(weights.half),
    LANES: x.rows === 1 ? 1 : x.rows <= 4 ? 4 : 8,
  };
  const to = bindMatrix(out, "read_write"), from = bindMatrix(x, "read");
  const chunks = Math.ceil(cols / CHUNK), perChunk = chunkShape({ ...weights, cols: CHUNK }, 0).words * rows;
  const most = Math.min(MOST_COLUMNS / CHUNK, Math.floor((context.bindable - WINDOW_ALIGNMENT) / perChunk));
  for (let chunk = 0; chunk < chunks; chunk += Math.max(1, most)) {
    const end = Math.min(chunks, chunk + Math.max(1, most)), begin = chunk * perChunk;
    const first = Math.floor(begin / WINDOW_ALIGNMENT) * WINDOW_ALIGNMENT;
    const last = end * CHUNK <= cols ? end * perChunk : weights.words.length;
    const work = 2 * rows * Math.min(cols - chunk * CHUNK, (end - chunk) * CHUNK) * x.rows;
    context.run(
      { name: "packed_matvec", code: CODE, constants, work },
      [
        to.binding,
        { buffer: weights.words, access: "read", first, count: last - first },
        readsBuffer(weights.scales),
        readsBuffer(weights.salientColumns),
        from.binding,
      ],
      [
        ...[x.rows, rows, cols, groupSize, signs, lastSigns, chunk, end, Number(chunk > 0)],
        ...[to.offset, out.stride, from.offset, x.stride, begin - first],
      ],
      grid(context, rows, ROWS),
    );
  }
}
