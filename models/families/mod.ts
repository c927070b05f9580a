/** The families of models that can be read: a file and a line each. */
export { llama } from "./llama.ts";
export { mistral } from "./mistral.ts";
export { opt } from "./opt.ts";
export { qwen2 } from "./qwen2.ts";
export { qwen3 } from "./qwen3.ts";
