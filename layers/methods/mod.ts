/** The methods that recipes can name: a file and a line each. */
export { arbLlm } from "./arb_llm.ts";
export { billm } from "./billm.ts";
export { gptq } from "./gptq.ts";
export { prune } from "./prune.ts";
export { rtn } from "./rtn.ts";
export { spbo } from "./spbo.ts";
export { stbllm } from "./stbllm.ts";
export { trellis } from "./trellis.ts";
