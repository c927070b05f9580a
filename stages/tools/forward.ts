/** Forward passes of one model, opened on first use. */
import { type Forward, openForward } from "../../models/forward.ts";
import type { Provider } from "../../models/provider.ts";
import type { ModelSpec } from "../../models/spec.ts";
import type { Shelf } from "./shelf.ts";

/** Opens the passes; every call gives the same ones. */
export interface ForwardTool {
  (): Promise<Forward>;
  /** Leaves them on the shelf. */
  close(): Promise<void>;
}

/**
 * Makes the tool.
 *
 * @param options.provider onnxruntime's execution provider
 * @param shelf where an earlier run of the same model may have left its passes
 */
export function openForwardTool(
  { spec, provider }: { readonly spec: ModelSpec; readonly provider: Provider },
  shelf: Shelf<Forward>,
): ForwardTool {
  const kind = JSON.stringify([provider, spec]);
  let forward: Promise<Forward> | undefined;
  const open = async () => shelf.take(kind) ?? await openForward(spec, { provider });
  return Object.assign(() => forward ??= open(), {
    async close() {
      // What did not open was told to whoever asked for it.
      const opened = await forward?.catch(() => undefined);
      if (opened) await shelf.leave(kind, opened, { whole: opened.reusable() });
    },
  });
}
