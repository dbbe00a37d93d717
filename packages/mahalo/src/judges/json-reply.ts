/** Replies that are to be JSON of a declared form: the value in a reply, and whether it fits a JSON schema. */
import { MahaloError } from "@mahalo/torch";
import { Ajv2020 } from "ajv/dist/2020.js";
import { z } from "zod";
import { parseJson } from "../core/json.ts";

/** A JSON schema as a recipe holds it. */
export type JsonSchema = Record<string, unknown>;

/** Says what is wrong with a reply, or undefined where nothing is. */
export type JsonCheck = (response: string) => string | undefined;

const compile = (schema: JsonSchema) => {
  if (schema.$async !== undefined) {
    throw new MahaloError("E_JUDGE_OPTIONS", "$async is not a keyword of JSON schema");
  }
  // Unknown keywords are refused, so that a misspelt one is not passed over; formats are annotations, as the standard
  // has it.
  return new Ajv2020({
    strictSchema: true,
    strictTypes: false,
    strictTuples: false,
    validateFormats: false,
    logger: false,
  }).compile(schema);
};

/** What is wrong with a JSON schema, or undefined. */
export const jsonSchemaFault = (schema: JsonSchema): string | undefined => {
  try {
    compile(schema);
    return undefined;
  } catch (error) {
    return `is not a JSON schema of draft 2020-12: ${error instanceof Error ? error.message : String(error)}`;
  }
};

const fenced = /^```[\w-]*[ \t]*\r?\n(?<inside>[\s\S]*?)\r?\n?```$/u;

/**
 * The JSON text of a reply: all of it, or what its one code block holds where there is nothing beside that block.
 *
 * @example jsonText('```json\n{"a": 1}\n```') // '{"a": 1}'
 */
export const jsonText = (response: string): string => {
  const text = response.trim();
  return fenced.exec(text)?.groups?.inside ?? text;
};

/** Makes the check of replies against a schema. @throws Error where the schema is none; see {@link jsonSchemaFault} */
export const jsonCheck = (schema: JsonSchema): JsonCheck => {
  const fits = compile(schema);
  return (response) => {
    let value: unknown;
    try {
      value = parseJson(jsonText(response), z.unknown(), "the reply");
    } catch (error) {
      return error instanceof MahaloError ? error.message : String(error);
    }
    if (fits(value) === true) return undefined;
    const [first] = fits.errors ?? [];
    const where = first?.instancePath ? `${first.instancePath} ` : "";
    return `does not fit the JSON schema: ${where}${first?.message ?? "it is wrong"}`;
  };
};
