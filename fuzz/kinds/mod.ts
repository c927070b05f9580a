/** All kinds of inputs. */
import type { Kind } from "../kind.ts";
import { bin } from "./bin.ts";
import { config } from "./config.ts";
import { gguf } from "./gguf.ts";
import { safetensors } from "./safetensors.ts";

/** In the order in which they are tried. */
export const kinds: readonly Kind[] = [safetensors, gguf, bin, config];
