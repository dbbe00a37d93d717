/** A request's body: read within a bound, as UTF-8, as JSON, and checked against a schema. */
import type { IncomingMessage } from "node:http";
import type { z } from "zod";
import { describeIssues, type FieldPath, formatPath, valueAt } from "../../core/issues.ts";
import { isTooDeep } from "../../core/json.ts";
import { protoKeys } from "../../core/names.ts";
import { ApiError } from "./api-error.ts";

const tooLarge = (most: number): ApiError =>
  new ApiError(413, `the body is larger than ${most} bytes`, {
    code: "body_too_large",
    // What is left of it is not read.
    headers: { connection: "close" },
  });

/** The bytes of a body. @throws ApiError 413, 400 where it ends early */
const readBytes = async (incoming: IncomingMessage, most: number): Promise<Buffer> => {
  const declared = Number(incoming.headers["content-length"]);
  if (declared > most) throw tooLarge(most);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > most) throw tooLarge(most);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(400, "the body ended early", {
      code: "incomplete_body",
      headers: { connection: "close" },
    });
  }
  return Buffer.concat(chunks);
};

const badJson = (why: string): ApiError => new ApiError(400, `the body ${why}`, { code: "invalid_json" });

const parse = (bytes: Buffer): unknown => {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw badJson("is not UTF-8");
  }
  if (text.trim() === "") throw badJson("is empty");
  if (isTooDeep(text)) throw badJson("is nested too deep");
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badJson(
      `is not valid JSON: ${error instanceof Error ? error.message.slice(0, 200) : "cannot be read"}`,
    );
  }
};

/** Paths of texts that hold half a character, which no tokenizer reads. */
const brokenTexts = (value: unknown, path: FieldPath = []): FieldPath[] => {
  if (typeof value === "string") return /\p{Surrogate}/u.test(value) ? [path] : [];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    brokenTexts(inner, [...path, Array.isArray(value) ? Number(key) : key]),
  );
};

/** Codes of OpenAI's for what can be wrong with a field. */
const codeOf = (issue: z.core.$ZodIssue, missing: boolean): string => {
  if (issue.code === "unrecognized_keys") return "unknown_parameter";
  if (missing) return "missing_required_parameter";
  return issue.code === "invalid_type" ? "invalid_type" : "invalid_value";
};

/** Checks a value that came in a request. @throws ApiError 400 naming the field */
export const checkBody = <T>(value: unknown, schema: z.ZodType<T>): T => {
  const [proto] = protoKeys(value);
  if (proto !== undefined)
    throw new ApiError(400, `${formatPath(proto)}: is no field`, {
      code: "unknown_parameter",
      param: formatPath(proto),
    });
  const [broken] = brokenTexts(value);
  if (broken !== undefined)
    throw new ApiError(400, `${formatPath(broken)}: holds half a character (a lone surrogate)`, {
      code: "invalid_value",
      param: formatPath(broken),
    });
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const lines = describeIssues(result.error.issues, schema, value, () => "");
  const [issue] = result.error.issues;
  const path =
    issue === undefined
      ? []
      : issue.code === "unrecognized_keys"
        ? [...issue.path, ...issue.keys.slice(0, 1)]
        : issue.path;
  const message = lines.map((line) => line.replace(/^: ?/, "")).join("; ");
  throw new ApiError(400, message, {
    code: issue === undefined ? null : codeOf(issue, valueAt(value, issue.path) === undefined),
    param: path.length === 0 ? null : formatPath(path),
  });
};

/** Reads and checks a body. @throws ApiError 400, 413 */
export const readJsonBody = async <T>(
  incoming: IncomingMessage,
  schema: z.ZodType<T>,
  most: number,
): Promise<T> => checkBody(parse(await readBytes(incoming, most)), schema);
