/** Entry of a child process, with all kinds there are. */
import { kinds } from "./kinds/mod.ts";
import { serve } from "./serve.ts";

if (import.meta.main) {
  await serve(kinds);
  Deno.exit(0);
}
