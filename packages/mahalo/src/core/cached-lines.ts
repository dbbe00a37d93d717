/** Reads files of what cost something to get, line by line; lines that a crash has left broken are passed over. */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { checkRegular } from "@mahalo/torch";
import { z } from "zod";
import { errorCode, fileError } from "./files.ts";
import { parseJson } from "./json.ts";

const readLine = (line: string): unknown => {
  try {
    return parseJson(line, z.unknown(), "a kept line");
  } catch {
    return undefined;
  }
};

/**
 * The lines of a JSON-lines file that fit a schema, in order; none where the file is not there. A line that does not fit
 * is passed over, since it costs a second asking at most.
 *
 * @throws MahaloError E_FILE_READ
 */
export async function* cachedLines<T>(path: string, schema: z.ZodType<T>): AsyncGenerator<T> {
  try {
    checkRegular(path);
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      const parsed = schema.safeParse(readLine(line));
      if (parsed.success) yield parsed.data;
    }
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw fileError("E_FILE_READ", "read", path, error);
  }
}
