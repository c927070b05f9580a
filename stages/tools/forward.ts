/** Forward passes of one model, opened on first use. */
import { type Forward, openForward } from "../../models/forward.ts";
import type { Provider } from "../../models/provider.ts";
import type { ModelSpec } from "../../models/spec.ts";

/** Opens the passes; every call gives the same ones. */
export interface ForwardTool {
  (): Promise<Forward>;
  close(): Promise<void>;
}

/**
 * Makes the tool.
 *
 * @param options.provider onnxruntime's execution provider
 */
export function openForwardTool(
  { spec, provider }: { readonly spec: ModelSpec; readonly provider: Provider },
): ForwardTool {
  let forward: Promise<Forward> | undefined;
  const open = () => forward ??= openForward(spec, { provider });
  return Object.assign(open, { close: async () => await (await forward)?.close() });
}
