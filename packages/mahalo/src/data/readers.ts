/** Rows of a file, streamed: JSON lines, a JSON array, either of them gzipped, or Parquet, told apart by content. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { checkRegular, MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { errorCode, fileError } from "../core/files.ts";
import { parseJson } from "../core/json.ts";
import { type ByteSource, cutArray, cutLines, isBlank, type RowBytes } from "./json-rows.ts";
import { readParquet } from "./parquet.ts";
import { formatOrigin, type Origin } from "./problems.ts";

/** One row as it stands in a file, unchecked. */
export type RawRow = { value: unknown; origin: Origin };

/** Options of {@link readRows}. */
export type ReadOptions = {
  /** How origins and errors call the file. Default: its path. */
  name?: string;
  /** Most bytes of one JSON row. Default 64 MiB. */
  maxRowBytes?: number;
};

/**
 * Streams the rows of a file; memory holds one row (one row group of a Parquet file) at a time.
 *
 * The form is told by the first bytes, not by the name. Blank lines are passed over; origins count lines from 1 in
 * JSON lines and rows from 1 in arrays and Parquet files. An empty file has no rows.
 *
 * @throws MahaloError E_FILE_READ, E_JSON_SYNTAX (with line), E_DATA_UTF8, E_DATA_TRUNCATED, E_DATA_GZIP,
 *   E_DATA_ROW_TOO_LONG, E_DATA_FORMAT, E_DATA_PARQUET
 *
 * @example for await (const { value, origin } of readRows("pairs.jsonl.gz")) console.log(origin.line, value);
 */
export async function* readRows(path: string, options: ReadOptions = {}): AsyncGenerator<RawRow> {
  const { name = path, maxRowBytes = 64 * 2 ** 20 } = options;
  const magic = await firstBytes(path, name);
  if (magic.toString("latin1") === "PAR1") {
    yield* readParquet(path, name);
    return;
  }
  const gzipped = magic[0] === 0x1f && magic[1] === 0x8b;
  const { first, chunks } = await peek(fileChunks(path, name, gzipped));
  const source: ByteSource = { chunks, file: name, maxRowBytes };
  let last: Origin | undefined;
  try {
    for await (const row of first === openArray ? cutArray(source) : cutLines(source)) {
      const origin = { file: name, line: row.line };
      yield { value: parseRow(row, origin), origin };
      last = origin;
    }
  } catch (error) {
    throw inflateError(error, name, last);
  }
}

const openArray = 0x5b;

/** Decodes strictly: a replacement character would be learnt like any other text. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

const parseRow = ({ bytes }: RowBytes, origin: Origin): unknown => {
  const where = formatOrigin(origin);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (error) {
    throw new MahaloError("E_DATA_UTF8", `${where}: the row is not valid UTF-8`, {
      hint: "convert the file to UTF-8",
      cause: error,
    });
  }
  return parseJson(text, z.unknown(), where);
};

const firstBytes = async (path: string, name: string): Promise<Buffer> => {
  try {
    checkRegular(path);
    const handle = await open(path, "r");
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError("E_FILE_READ", "read", name, error);
  }
};

/** Bytes of a file, unpacked where it is gzipped; streams are closed when the reader stops early. */
async function* fileChunks(path: string, name: string, gzipped: boolean): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 2 ** 18 });
  const unzip = gzipped ? createGunzip({ chunkSize: 2 ** 18 }) : undefined;
  if (unzip !== undefined) file.on("error", (error) => unzip.destroy(error)).pipe(unzip);
  try {
    for await (const chunk of unzip ?? file) yield chunk;
  } catch (error) {
    throw errorCode(error)?.startsWith("Z_") ? error : fileError("E_FILE_READ", "read", name, error);
  } finally {
    unzip?.destroy();
    file.destroy();
  }
}

/** The first byte that is no white space (and no byte order mark), and all chunks with the mark taken off. */
const peek = async (
  source: AsyncGenerator<Buffer>,
): Promise<{ first: number | undefined; chunks: AsyncIterable<Uint8Array> }> => {
  const held: Buffer[] = [];
  let failure: unknown;
  let first: number | undefined;
  try {
    while (first === undefined) {
      const next = await source.next();
      if (next.done) break;
      const chunk = held.length === 0 ? withoutMark(next.value) : next.value;
      held.push(chunk);
      first = chunk.find((byte) => !isBlank(byte));
    }
  } catch (error) {
    failure = error;
  }
  const chunks = async function* () {
    try {
      yield* held;
      // An error met while looking ahead belongs to the place where the reader gets to it.
      if (failure !== undefined) throw failure;
      yield* source;
    } finally {
      await source.return(undefined);
    }
  };
  return { first, chunks: chunks() };
};

const withoutMark = (chunk: Buffer): Buffer =>
  chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? chunk.subarray(3) : chunk;

const inflateError = (error: unknown, name: string, last: Origin | undefined): unknown => {
  const code = errorCode(error);
  if (!code?.startsWith("Z_")) return error;
  const place = last === undefined ? "before its first row" : `after row ${last.line}`;
  return code === "Z_BUF_ERROR"
    ? new MahaloError("E_DATA_TRUNCATED", `${name}: the gzip file ends too early, ${place}`, {
        hint: "fetch the file again; it was cut short",
        cause: error,
      })
    : new MahaloError("E_DATA_GZIP", `${name}: the gzip file is damaged ${place}`, {
        hint: "fetch the file again",
        cause: error,
      });
};
