/** The recipe's JSON Schema, for editors; made from the one zod schema. */
import * as z from "zod";
import { RecipeSchema } from "../stages/schema.ts";

/**
 * The recipe's JSON Schema (draft 7, which the editors' YAML servers read), as text.
 *
 * @returns JSON, indented by two spaces, with a newline at its end
 */
export function recipeJsonSchema(): string {
  const schema = z.toJSONSchema(RecipeSchema, { io: "input", target: "draft-7" });
  const { $schema, ...rest } = schema;
  // A base recipe leaves the model to those that extend it.
  const { required: _required, ...open } = rest as Record<string, unknown>;
  return `${JSON.stringify({ $schema, title: "PBS2P recipe", ...open }, undefined, 2)}\n`;
}
