/** The recipe's JSON schema, for editors that check and complete YAML. */
import { z } from "zod";
import { recipeSchema } from "./schema.ts";

/**
 * JSON schema (draft 2020-12) of a recipe as it is written, with defaults and descriptions.
 *
 * Point an editor at it with a first line such as `# yaml-language-server: $schema=./recipe.schema.json`.
 */
export const recipeJsonSchema = (): Record<string, unknown> => ({
  ...z.toJSONSchema(recipeSchema, { io: "input" }),
  title: "mahalo recipe",
});
