/** Entry of a child process that serves the planted kinds. */
import { plantedKinds } from "./planted_test_support.ts";
import { serve } from "./serve.ts";

if (import.meta.main) {
  await serve(plantedKinds);
  Deno.exit(0);
}
