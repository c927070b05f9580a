/** The methods that recipes can name: a file and a line each. */
export { spbo } from "./spbo.ts";
export { arbLlm } from "./arb_llm.ts";
