/** mahalo schema: print the recipe's JSON schema for editors. */
import type { Command } from "commander";
import { recipeJsonSchema } from "../recipe/schema/json-schema.ts";
import { type CommonOptions, command, type Io, outputOf } from "./command.ts";

/** Prints the JSON schema of a recipe. */
export const schemaCommand = (io: Io): Command =>
  command({
    name: "schema",
    summary: "Print the JSON schema of recipes, for editors that check and complete YAML.",
    examples: [
      ["mahalo schema > recipe.schema.json", "then begin a recipe with"],
      ["# yaml-language-server: $schema=recipe.schema.json", "so that the editor knows its keys"],
    ],
  }).action((options: CommonOptions) => {
    const schema = recipeJsonSchema();
    outputOf(io, options).result(schema, () => `${JSON.stringify(schema, null, 2)}\n`);
  });
