/** The methods that recipes can name: a file and a line each. */
export { gptq } from "./gptq.ts";
export { rtn } from "./rtn.ts";
export { spbo } from "./spbo.ts";
export { prune } from "./prune.ts";
export { arbLlm } from "./arb_llm.ts";
export { billm } from "./billm.ts";
export { spbo } from "./spbo.ts";
export { stbllm } from "./stbllm.ts";
