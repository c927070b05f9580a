/** STBLLM's stages. */

/** Every stage of a recipe that has the method, with what it needs of them. */
export const STBLLM: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  calibrate: {},
  "coarse-search": { metric: "ri" },
  "fine-search": { metric: "ria", mask_from: "original", inputs: "original" },
  stbllm: {},
  compensate: {},
  pack: {},
};
