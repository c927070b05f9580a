/** `schema`: the recipe's JSON Schema, for editors. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { recipeJsonSchema } from "../recipes/json_schema.ts";
import { RecipeSchema } from "../stages/schema.ts";
import type { CommandContext } from "./options.ts";
import { projectFolder } from "./places.ts";

/** The command. */
export function schemaCommand(context: CommandContext): Command {
  return new Command("schema")
    .description("print the recipe's JSON Schema, which editors read for completion and documentation")
    .option("--write", "write it to configs/recipe.schema.json instead")
    .action(async ({ write }: { write?: boolean }) => {
      const terminal = context.terminal({});
      if (!write) return terminal.write(recipeJsonSchema(RecipeSchema));
      const file = join(projectFolder, "configs", "recipe.schema.json");
      await writeFile(file, recipeJsonSchema(RecipeSchema));
      terminal.line(file);
    });
}
