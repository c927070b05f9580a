// TEMPORARY
import * as z from "zod";
import { pointOf, type States, trellisOf } from "../../kernels/trellis/ops.ts";
import type { LayerFormat } from "./format.ts";
import { layerShape } from "./header_fields.ts";
const Header = z.strictObject({ ...layerShape, states: z.int(), strip: z.int() });
type H = z.infer<typeof Header>;
export const coded: LayerFormat<H> = {
  name: "coded",
  header: Header,
  planes: ["codes", "steps", "rowSizes", "columnSizes"],
  required: ["codes", "steps"],
  components: [{ name: "codes", planes: ["codes"], label: "codes" }, {
    name: "steps",
    planes: ["steps", "rowSizes", "columnSizes"],
    label: "steps",
  }],
  formulas: { nominal: "bits" },
  pack: ({ format, rows, cols, facts, arrays }) =>
    Promise.resolve({
      format,
      header: { rows, cols, states: facts.states as number, strip: facts.strip as number },
      tensors: arrays,
    }),
  unpack: ({ format, header: { rows, cols, states, strip }, tensors }) => ({
    format,
    rows,
    cols,
    facts: { states, strip },
    arrays: tensors,
  }),
  decode({ header: { rows, cols, states, strip }, tensors }) {
    const out = new Float32Array(rows * cols),
      codes = tensors.codes.data as Int16Array,
      steps = tensors.steps.data as Float32Array,
      t = trellisOf(states as States);
    for (let j = 0; j < cols; j++) {
      let s = 0;
      for (let i = 0; i < rows; i++) {
        if (i % strip === 0) s = 0;
        const k = codes[i * cols + j];
        out[i * cols + j] = Math.fround(pointOf(states as States, t.quantizers[s], k) * steps[j]);
        s = t.next[2 * s + (k & 1)];
      }
    }
    return Promise.resolve(out);
  },
  figures: () => Promise.resolve({ nominal: 2, cells: {}, shares: {} }),
};
