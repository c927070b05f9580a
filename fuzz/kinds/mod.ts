/** All kinds of inputs. */
import type { Kind } from "../kind.ts";
import { bin } from "./bin.ts";
import { config } from "./config.ts";
import { exported } from "./exported.ts";
import { gguf } from "./gguf.ts";
import { index } from "./index.ts";
import { lock } from "./lock.ts";
import { manifest } from "./manifest.ts";
import { packed } from "./packed.ts";
import { published } from "./published.ts";
import { recipe } from "./recipe.ts";
import { safetensors } from "./safetensors.ts";
import { tokenizer } from "./tokenizer.ts";
import { windows } from "./windows.ts";

/** In the order in which they are tried. */
export const kinds: readonly Kind[] = [
  safetensors,
  index,
  gguf,
  bin,
  config,
  tokenizer,
  windows,
  recipe,
  packed,
  lock,
  manifest,
  exported,
  published,
];
