/** Checked JSON: text or file in, typed value out, or an error that names file, line and field. */
import { MahaloError } from "@mahalo/torch";
import type { z } from "zod";
import { describeIssues, type Locate } from "./issues.ts";
import { lastOf } from "./need.ts";
import { readText } from "./read-file.ts";

/** Options of {@link checkValue}. */
export type CheckOptions = {
  /** Code of the error thrown. Default `E_JSON_FIELD`. */
  code?: string;
  /** What to do about it. */
  hint?: string;
  /** Where the value at a path stands, for example `recipe.yaml:7`; without it every message begins with `where`. */
  locate?: Locate;
};

/**
 * Checks a value that came from outside against a schema.
 *
 * @param where what the messages begin with: a file, or file and line (`values.jsonl:118`).
 * @throws MahaloError `E_JSON_FIELD` (or `options.code`): one line an issue, each naming the field; an unknown key gets
 *   the nearest known one as a suggestion.
 */
export const checkValue = <T>(
  value: unknown,
  schema: z.ZodType<T>,
  where: string,
  options: CheckOptions = {},
): T => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const lines = describeIssues(result.error.issues, schema, value, options.locate ?? (() => where));
  throw new MahaloError(options.code ?? "E_JSON_FIELD", lines.join("\n"), { hint: options.hint });
};

/** Brackets that may stand inside each other; what works on values calls itself for each, and would run out of stack. */
const deepest = 500;

/** Whether JSON text has more brackets inside each other than any value of use. */
export const isTooDeep = (text: string): boolean => {
  if (text.length <= deepest) return false;
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const letter = text.charCodeAt(i);
    if (letter === 0x22) quoted = !quoted;
    else if (quoted) i += letter === 0x5c ? 1 : 0;
    else if (letter === 0x5b || letter === 0x7b) {
      depth += 1;
      if (depth > deepest) return true;
    } else if (letter === 0x5d || letter === 0x7d) depth -= 1;
  }
  return false;
};

/** The position a JSON syntax error speaks of, if it names one. */
const errorOffset = (message: string, text: string): number | undefined => {
  const match = /position (\d+)/.exec(message);
  if (match?.[1] !== undefined) return Number(match[1]);
  return message.includes("end of JSON input") ? text.length : undefined;
};

/**
 * Parses JSON text and checks it against a schema.
 *
 * @param where a file, or file and line; for text of several lines the line of a syntax error is added.
 * @throws MahaloError E_JSON_SYNTAX, E_JSON_FIELD
 *
 * @example const row = parseJson(line, rowSchema, `${file}:${number}`);
 */
export const parseJson = <T>(
  text: string,
  schema: z.ZodType<T>,
  where: string,
  options: CheckOptions = {},
): T => {
  // Some editors begin a file with a byte order mark, which is no part of JSON.
  const plain = text.startsWith("\uFEFF") ? text.slice(1) : text;
  if (isTooDeep(plain))
    throw new MahaloError("E_JSON_SYNTAX", `${where}: is nested more than ${deepest} levels deep`);
  let value: unknown;
  try {
    value = JSON.parse(plain);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // What is missing is missed where the text ends, not behind its last line feed.
    const errorPlace = errorOffset(message, plain);
    const offset = errorPlace === undefined ? undefined : Math.min(errorPlace, plain.trimEnd().length);
    const before = offset === undefined ? [] : plain.slice(0, offset).split("\n");
    const place = before.length > 0 && plain.trimEnd().includes("\n") ? `${where}:${before.length}` : where;
    const column = before.length > 0 ? ` (column ${lastOf(before).length + 1})` : "";
    const what =
      plain.trim() === ""
        ? "is empty"
        : `is not valid JSON${column}: ${offset === undefined ? message : message.replace(/ at position .*$/s, "")}`;
    throw new MahaloError("E_JSON_SYNTAX", `${place}: ${what}`, { cause: error });
  }
  return checkValue(value, schema, where, options);
};

/**
 * Reads a JSON file and checks it against a schema.
 *
 * @throws MahaloError what {@link readText} throws, E_JSON_SYNTAX, E_JSON_FIELD
 */
export const readJsonFile = async <T>(
  path: string,
  schema: z.ZodType<T>,
  options: CheckOptions = {},
): Promise<T> => {
  return parseJson(await readText(path), schema, path, options);
};

/**
 * JSON text that is the same for equal values: object keys sorted, undefined fields left out. For content hashes.
 *
 * @throws MahaloError E_JSON_VALUE for what JSON cannot hold (NaN, infinite numbers, functions, bigint).
 */
export const canonicalJson = (value: unknown): string => {
  if (value === null || typeof value === "string" || typeof value === "boolean") return JSON.stringify(value);
  if (typeof value === "number" && Number.isFinite(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field)}`).join(",")}}`;
  }
  throw new MahaloError("E_JSON_VALUE", `JSON cannot hold ${String(value)} (${typeof value})`, {
    exitStatus: 1,
  });
};
