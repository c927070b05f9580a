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
  const { required: _required, ...open } = rest as JsonNode & { readonly required?: unknown };
  const node = { $schema, title: "PBS2P recipe", ...open };
  allowEmptyMaps(node);
  return `${JSON.stringify(node, undefined, 2)}\n`;
}

/** A map may have nothing after its key, which YAML calls null (see `empty_maps.ts`). */
function allowEmptyMaps(node: JsonNode): void {
  for (const inner of Object.values(node.properties ?? {})) {
    if (inner.properties === undefined) continue;
    inner.type = ["object", "null"];
    allowEmptyMaps(inner);
  }
}

interface JsonNode {
  type?: unknown;
  readonly properties?: Readonly<Record<string, JsonNode>>;
}
