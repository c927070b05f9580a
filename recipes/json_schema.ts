/** The recipe's JSON Schema, for editors; made from the one zod schema. */
import * as z from "zod";

/**
 * A schema of recipes as JSON Schema (draft 7, which the editors' YAML servers read), as text.
 *
 * @returns JSON, indented by two spaces, with a newline at its end
 */
export function recipeJsonSchema(recipe: z.ZodObject): string {
  // Marks are for this program alone.
  const strip = ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => void delete jsonSchema.path;
  const { $schema, ...rest } = z.toJSONSchema(recipe, { io: "input", target: "draft-7", override: strip });
  // A base recipe leaves the model to those that extend it.
  const { required: _required, ...open } = rest as Record<string, unknown>;
  return `${JSON.stringify({ $schema, title: "PBS2P recipe", ...open }, undefined, 2)}\n`;
}
