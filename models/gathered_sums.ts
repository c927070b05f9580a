/** Running sums about the inputs of linears, a block's or the head: XᵀX, or its diagonal. */
import { Tensor } from "onnxruntime-node";
import { ADDED, type BlockVariant } from "./block_graph.ts";
import { crossName, panels, residualName, sumName } from "./graph_parts.ts";
import type { InputSums, MatrixSums } from "./forward_protocol.ts";

/** The sums of one block or head; what the graph does not keep between runs. */
export class GatheredSums {
  /** Widths by input. */
  readonly #inputs: ReadonlyMap<string, number>;
  /** Strips of XᵀX by input (full). */
  readonly #strips = new Map<string, Float32Array[]>();
  /** Σx² by input, in float64 over the batches (diagonal). */
  readonly #diagonals = new Map<string, Float64Array>();
  /** X_oᵀX by input, X_o of the second stream. */
  readonly #crosses = new Map<string, Float32Array>();
  /** (R_o − R)ᵀX by input, R being the residual stream. */
  readonly #residuals = new Map<string, Float32Array>();
  readonly #hidden: number;
  /** By input, the sums at each mark (full). */
  readonly #marks = new Map<string, MatrixSums[]>();
  #tokens = 0;
  #windows = 0;

  /**
   * @param inputs widths of those that are gathered
   * @param variant of the graph; `hidden`: width of the residual stream, where that is looked at
   */
  constructor(
    inputs: ReadonlyMap<string, number>,
    { gather, original, hidden = 0 }: Pick<BlockVariant, "gather" | "original"> & { readonly hidden?: number },
  ) {
    this.#inputs = inputs;
    this.#hidden = hidden;
    for (const [input, width] of this.#inputs) {
      if (gather === "diagonal") this.#diagonals.set(input, new Float64Array(width));
      if (gather !== "full") continue;
      if (original) this.#crosses.set(input, new Float32Array(width * width));
      if (original?.residual && ADDED.includes(input)) this.#residuals.set(input, new Float32Array(hidden * width));
      this.#strips.set(input, panels(width).map(({ start, end }) => new Float32Array((end - start) * (width - start))));
    }
  }

  /**
   * Adds what a run must be fed with and asked for. A strip is passed as the product's addend and as its result: the
   * product starts from a copy of the addend, so both may lie in the same place.
   */
  attach(feeds: Record<string, Tensor>, fetches: Record<string, Tensor | null>): void {
    for (const input of this.#diagonals.keys()) fetches[`diagonal.${input}`] = null;
    for (const [input, values] of this.#crosses) {
      const width = this.#inputs.get(input) ?? 0, sum = new Tensor("float32", values, [width, width]);
      feeds[crossName(input)] = sum;
      fetches[`${crossName(input)}.out`] = sum;
    }
    for (const [input, values] of this.#residuals) {
      const sum = new Tensor("float32", values, [this.#hidden, this.#inputs.get(input) ?? 0]);
      feeds[residualName(input)] = sum;
      fetches[`${residualName(input)}.out`] = sum;
    }
    for (const [input, strips] of this.#strips) {
      const width = this.#inputs.get(input) ?? 0;
      for (const [index, { start, end }] of panels(width).entries()) {
        const name = sumName(input, index);
        const sum = new Tensor("float32", strips[index], [end - start, width - start]);
        feeds[name] = sum;
        fetches[`${name}.out`] = sum;
      }
    }
  }

  /** Takes in the results of a run over `windows` windows. */
  absorb(results: Readonly<Record<string, Tensor>>, { windows, length }: { windows: number; length: number }): void {
    this.#windows += windows;
    this.#tokens += windows * length;
    for (const [input, sum] of this.#diagonals) {
      const { data } = results[`diagonal.${input}`];
      for (let i = 0; i < sum.length; i++) sum[i] += Number(data[i]);
    }
  }

  /** Keeps the sums as they are now (full); they go on as if nothing had been kept. */
  mark(): void {
    for (const input of this.#strips.keys()) {
      const { upper, ...others } = this.#matrices(input);
      const copies = Object.fromEntries(Object.entries(others).map(([name, sum]) => [name, sum.slice()]));
      const kept = { windows: this.#windows, upper, ...copies };
      this.#marks.set(input, [...this.#marks.get(input) ?? [], kept]);
    }
  }

  /** The sums so far, by input. */
  result(): Record<string, InputSums> {
    const result: Record<string, InputSums> = {};
    for (const [input, size] of this.#inputs) {
      const common = { size, tokens: this.#tokens, windows: this.#windows };
      const diagonal = this.#diagonals.get(input), marks = this.#marks.get(input);
      if (this.#strips.has(input)) result[input] = { ...common, ...this.#matrices(input), ...(marks ? { marks } : {}) };
      if (diagonal) result[input] = { ...common, diagonal: Float32Array.from(diagonal) };
    }
    return result;
  }

  /** The triangle, which is a copy, and what is kept beside it, which is not. */
  #matrices(input: string): Omit<MatrixSums, "windows"> {
    const cross = this.#crosses.get(input), residual = this.#residuals.get(input);
    const upper = packUpper(this.#strips.get(input) ?? [], this.#inputs.get(input) ?? 0);
    return { upper, ...(cross && { cross }), ...(residual && { residual }) };
  }
}

/** The upper triangle of a size × size matrix by rows, from its strips. */
function packUpper(strips: readonly Float32Array[], size: number): Float32Array {
  const upper = new Float32Array((size * (size + 1)) / 2);
  let to = 0;
  for (const [index, { start, end }] of panels(size).entries()) {
    const width = size - start;
    for (let row = 0; row < end - start; row++) {
      upper.set(strips[index].subarray(row * width + row, (row + 1) * width), to);
      to += width - row;
    }
  }
  return upper;
}
