/** Rows of a file, streamed: JSON in its usual forms, packed or not, or Parquet, told apart by content. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { formatBytes } from "../../core/format.ts";
import { parseJson } from "../../core/json.ts";
import { textKind } from "./file-kind.ts";
import {
  type ByteSource,
  beginning,
  countBlanks,
  cutArray,
  cutLines,
  cutValues,
  type RowBytes,
} from "./json-rows.ts";
import { rowLimits } from "./limits.ts";
import { readParquet } from "./parquet.ts";
import { formatOrigin } from "./problems.ts";
import { unpackFile } from "./unpack.ts";
import { watchedRows } from "./watched-rows.ts";
import { type RawRow, wholeFileRows } from "./whole-file.ts";

/** Options of {@link readRows}. */
export type ReadOptions = {
  /** How origins and errors call the file. Default: its path. */
  name?: string;
  /** Most bytes of one JSON row. Default 64 MB, or what MAHALO_MAX_ROW_MB says. */
  maxRowBytes?: number;
  /** Ends the reading. */
  signal?: AbortSignal | undefined;
};

/**
 * Streams the rows of a file; memory holds one row (one row group of a Parquet file) at a time.
 *
 * The form is told by content, not by the name: JSON lines, objects behind one another, one array, or one object around
 * an array; as it is or in gzip or zstd; or Parquet. Blank lines are passed over; origins count lines from 1 in text and
 * rows from 1 in arrays and Parquet files. An empty file has no rows.
 *
 * @throws MahaloError E_FILE_READ, E_FILE_KIND, E_JSON_SYNTAX (with line), E_DATA_UTF8, E_DATA_TRUNCATED, E_DATA_GZIP,
 *   E_DATA_ZSTD, E_DATA_EXPANDS, E_DATA_ROW_TOO_LONG, E_DATA_TOO_MANY_ROWS, E_DATA_FORMAT, E_DATA_PARQUET,
 *   E_INTERRUPTED
 *
 * @example for await (const { value, origin } of readRows("pairs.jsonl.gz")) console.log(origin.line, value);
 */
export async function* readRows(path: string, options: ReadOptions = {}): AsyncGenerator<RawRow> {
  const limits = rowLimits();
  const { name = path, maxRowBytes = limits.maxRowBytes, signal } = options;
  const watch = { name, maxRows: limits.maxRows, signal };
  const { first, chunks, layers } = await unpackFile(path, name, limits);
  if (first.subarray(0, 4).toString("latin1") === "PAR1") {
    await chunks.return(undefined);
    if (layers.length === 0) {
      yield* watchedRows(readParquet(path, name, limits), watch);
      return;
    }
    throw new MahaloError("E_DATA_FORMAT", `${name}: is a Parquet file inside ${layers.join(" inside ")}`, {
      hint: "unpack it first, and name what was inside",
    });
  }
  try {
    const rows = await cutterOf({ chunks, file: name, maxRowBytes });
    yield* watchedRows(wholeFileRows(parsedRows(rows, name), name), watch);
  } finally {
    await chunks.return(undefined);
  }
}

const openArray = 0x5b;
const openObject = 0x7b;
const newline = 0x0a;

/** Up to where the first line is looked at to tell the form by; a longer one is cut by brackets. */
const longestFirstLine = 2 ** 22;

/** Rows by the form that the beginning of a text tells. */
const cutterOf = async (source: ByteSource): Promise<AsyncGenerator<RowBytes>> => {
  const { head, line, chunks } = await beginningOf(source);
  const rows = { ...source, chunks, line };
  const end = head.indexOf(newline);
  const whole = end === -1 ? head : head.subarray(0, end);
  if (head[0] === openArray) {
    // Lines that are lists are rows of their own, though no useful ones.
    const lists =
      end !== -1 && beginning(whole) === "whole" && countBlanks(head, end).bytes < head.length - end;
    return lists ? cutLines(rows) : cutArray(rows);
  }
  if (head[0] !== openObject) return cutLines(rows);
  const form = beginning(whole);
  return form === "whole" || (form === "broken" && end !== -1) ? cutLines(rows) : cutValues(rows);
};

type Beginning = { head: Buffer; line: number; chunks: AsyncIterable<Uint8Array> };

/** The first line that is not blank with a little of what follows it, and the stream from that line on. */
const beginningOf = async ({ chunks: source, file, maxRowBytes }: ByteSource): Promise<Beginning> => {
  const rest = source[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  let line = 1;
  let blank = 0;
  let marked = false;
  let failure: { error: unknown } | undefined;
  try {
    for (;;) {
      const next = await rest.next();
      if (next.done) break;
      let chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length);
      if (!marked && chunk.length > 0) chunk = withoutMark(chunk);
      marked ||= next.value.length > 0;
      if (head.length === 0) {
        const blanks = countBlanks(chunk, 0);
        blank += blanks.bytes;
        line += blanks.lines;
        if (blank > maxRowBytes) throw onlyBlank(file, maxRowBytes);
        chunk = chunk.subarray(blanks.bytes);
      }
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf(newline);
      if (head.length > longestFirstLine) break;
      if (end !== -1 && countBlanks(head, end).bytes < head.length - end) break;
    }
  } catch (error) {
    failure = { error };
  }
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    yield head;
    // An error met while looking ahead belongs to the place where the reader gets to it.
    if (failure !== undefined) throw failure.error;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  };
  return { head, line, chunks: chunks() };
};

const onlyBlank = (file: string, maxRowBytes: number): MahaloError =>
  new MahaloError(
    "E_DATA_ROW_TOO_LONG",
    `${file}: begins with more than ${formatBytes(maxRowBytes)} of white space`,
    {
      hint: "is this really a file of rows? MAHALO_MAX_ROW_MB allows more",
    },
  );

const withoutMark = (chunk: Buffer): Buffer =>
  chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? chunk.subarray(3) : chunk;

/** Decodes strictly: a replacement character would be learnt like any other text. */
const utf8 = new TextDecoder("utf-8", { fatal: true });

async function* parsedRows(rows: AsyncGenerator<RowBytes>, file: string): AsyncGenerator<RawRow> {
  let any = false;
  for await (const { bytes, line } of rows) {
    const origin = { file, line };
    const where = formatOrigin(origin);
    const text = decode(bytes, where);
    let value: unknown;
    try {
      value = parseRow(text, where);
    } catch (error) {
      const kind = any && !text.includes("\0") ? undefined : textKind(text.slice(0, 10_000), file);
      if (kind === undefined) throw error;
      throw new MahaloError("E_DATA_FORMAT", `${where}: ${kind.what}`, { hint: kind.hint, cause: error });
    }
    yield { value, origin };
    any = true;
  }
}

const decode = (bytes: Uint8Array, where: string): string => {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new MahaloError("E_DATA_UTF8", `${where}: the row is not valid UTF-8`, {
      hint: "convert the file to UTF-8 (from Latin-1: iconv -f LATIN1 -t UTF-8)",
      cause: error,
    });
  }
};

/** Numbers that Python writes though JSON has none, and all strings, so that none inside a string is taken for one. */
const looseNumber = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:NaN|Infinity)\b/gs;

/** What JSON has in place of such a number: nothing for NaN, what is too large for Infinity. */
const strictNumber = (literal: string): string => {
  if (literal.startsWith('"')) return literal;
  return literal.endsWith("NaN") ? "null" : literal.replace("Infinity", "1e999");
};

/** A row out of its text; NaN becomes null, and JSON inside a string is the row itself. */
const parseRow = (text: string, where: string): unknown => {
  const plain = /NaN|Infinity/.test(text) ? text.replace(looseNumber, strictNumber) : text;
  const value = parseJson(plain, z.unknown(), where);
  return typeof value === "string" && /^\s*\{/.test(value) ? parseJson(value, z.unknown(), where) : value;
};
