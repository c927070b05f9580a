/** The methods that recipes can name: a file and a line each. */
export { billm } from "./billm.ts";
export { spbo } from "./spbo.ts";
export { stbllm } from "./stbllm.ts";
