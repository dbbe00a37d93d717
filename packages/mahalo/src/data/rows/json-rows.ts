/** Cuts a stream of JSON bytes into rows, one at a time: JSON lines, values behind one another, or the elements of one array. */
import { MahaloError } from "@mahalo/torch";
import { formatBytes } from "../../core/format.ts";

/** The bytes of one row; `line` is its line in JSON lines, its number in an array, both from 1. */
export type RowBytes = { bytes: Uint8Array; line: number };

/** What the cutters need: the bytes as they come, the file's name for errors, and the most bytes one row may have. */
export type ByteSource = {
  chunks: AsyncIterable<Uint8Array>;
  file: string;
  maxRowBytes: number;
  /** The line that the bytes begin in. Default 1. */
  line?: number;
};

const newline = 0x0a;
const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openings = new Set([0x5b, 0x7b]);
const closings = new Set([0x5d, 0x7d]);
const closeArray = 0x5d;

/** Whether a byte is JSON's white space. */
export const isBlank = (byte: number): boolean =>
  byte === 0x20 || byte === newline || byte === 0x0d || byte === 0x09;

/** Gathers the bytes of one row over several chunks, up to a limit that the white space before it counts towards. */
class RowBuffer {
  readonly #parts: Uint8Array[] = [];
  #length = 0;
  #blank = 0;
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  get empty(): boolean {
    return this.#length === 0;
  }

  /** Counts white space before the row. */
  skip(bytes: number, line: number): void {
    this.#blank += bytes;
    if (this.#blank > this.#source.maxRowBytes)
      throw tooLong(this.#source, line, "white space without a row");
  }

  add(part: Uint8Array, line: number): void {
    this.#length += part.length;
    if (this.#length > this.#source.maxRowBytes) throw tooLong(this.#source, line, "one row");
    this.#parts.push(part);
  }

  take(): Uint8Array {
    const [only, ...others] = this.#parts;
    const bytes =
      only === undefined ? new Uint8Array() : others.length === 0 ? only : Buffer.concat(this.#parts);
    this.#parts.length = 0;
    this.#length = 0;
    this.#blank = 0;
    return bytes;
  }
}

const tooLong = ({ file, maxRowBytes }: ByteSource, line: number, what: string): MahaloError =>
  new MahaloError(
    "E_DATA_ROW_TOO_LONG",
    `${file}:${line}: has more than ${formatBytes(maxRowBytes)} of ${what}`,
    {
      hint: "is this really a file of rows, one JSON object per line or one array of objects? MAHALO_MAX_ROW_MB allows more",
    },
  );

/** Lines that are not blank. Cut on bytes, since a line feed is never a part of another UTF-8 character. */
export async function* cutLines(source: ByteSource): AsyncGenerator<RowBytes> {
  const row = new RowBuffer(source);
  let line = source.line ?? 1;
  for await (const chunk of source.chunks) {
    let from = 0;
    while (from < chunk.length) {
      if (row.empty) {
        const blanks = countBlanks(chunk, from);
        row.skip(blanks.bytes, line);
        from += blanks.bytes;
        line += blanks.lines;
        if (from === chunk.length) break;
      }
      const end = chunk.indexOf(newline, from);
      row.add(chunk.subarray(from, end === -1 ? undefined : end), line);
      if (end === -1) break;
      yield { bytes: row.take(), line };
      line += 1;
      from = end + 1;
    }
  }
  if (!row.empty) yield { bytes: row.take(), line };
}

/** White space from a place in a chunk on, and the line feeds in it. */
export const countBlanks = (chunk: Uint8Array, from: number): { bytes: number; lines: number } => {
  let lines = 0;
  let end = from;
  for (let byte = chunk[end]; byte !== undefined && isBlank(byte); byte = chunk[++end]) {
    if (byte === newline) lines += 1;
  }
  return { bytes: end - from, lines };
};

/** How far a JSON value has been read: open brackets, and whether inside a string. */
type Nesting = { depth: number; inString: boolean; escaped: boolean };

/** Reads one byte of a JSON value. */
const step = (nesting: Nesting, byte: number): void => {
  if (nesting.inString) {
    if (nesting.escaped) nesting.escaped = false;
    else if (byte === backslash) nesting.escaped = true;
    else if (byte === quote) nesting.inString = false;
  } else if (byte === quote) nesting.inString = true;
  else if (openings.has(byte)) nesting.depth += 1;
  else if (closings.has(byte)) nesting.depth -= 1;
};

/**
 * How a text begins: with a value that is whole and has nothing behind it, with a whole one and something behind it, or
 * with one that goes on (or is broken inside a string).
 */
export const beginning = (line: Uint8Array): "whole" | "followed" | "open" | "broken" => {
  const nesting: Nesting = { depth: 0, inString: false, escaped: false };
  for (let place = 0; place < line.length; place++) {
    const byte = line[place];
    if (byte === undefined) break;
    step(nesting, byte);
    if (nesting.depth > 0 || nesting.inString) continue;
    return line.subarray(place + 1).every(isBlank) ? "whole" : "followed";
  }
  return nesting.inString ? "broken" : "open";
};

/**
 * Objects behind one another, whatever white space or commas stand between them and inside: objects over several lines,
 * lines that end with a comma, rows that only a carriage return divides. `line` is where a row begins.
 */
export async function* cutValues(source: ByteSource): AsyncGenerator<RowBytes> {
  const row = new RowBuffer(source);
  let line = source.line ?? 1;
  let start = line;
  let bare = false;
  let nesting: Nesting = { depth: 0, inString: false, escaped: false };
  for await (const chunk of source.chunks) {
    let from = 0;
    for (let place = 0; place < chunk.length; place++) {
      const byte = chunk[place];
      if (byte === undefined) break;
      const outside = nesting.depth === 0 && !nesting.inString;
      if (outside && (isBlank(byte) || byte === comma) && !bare) {
        row.skip(1, line);
        from = place + 1;
      } else if (outside && bare && byte === newline) {
        row.add(chunk.subarray(from, place), start);
        yield { bytes: row.take(), line: start };
        bare = false;
        from = place + 1;
      } else {
        if (outside && !bare) start = line;
        step(nesting, byte);
        if (nesting.depth > 0 || nesting.inString) bare = false;
        else if (closings.has(byte) && nesting.depth === 0) {
          row.add(chunk.subarray(from, place + 1), start);
          yield { bytes: row.take(), line: start };
          from = place + 1;
        } else {
          // What is no object is the parser's to refuse, up to the end of its line.
          bare = true;
          nesting = { depth: 0, inString: false, escaped: false };
        }
      }
      if (byte === newline) line += 1;
    }
    if (from < chunk.length) row.add(chunk.subarray(from), start);
  }
  if (!row.empty) yield { bytes: row.take(), line: start };
}

/**
 * Elements of one JSON array, found by counting brackets outside of strings; what is inside is left to the parser.
 *
 * @throws MahaloError E_DATA_TRUNCATED if the array is never closed, E_DATA_FORMAT if something follows it
 */
export async function* cutArray(source: ByteSource): AsyncGenerator<RowBytes> {
  const row = new RowBuffer(source);
  let number = 1;
  let depth = 0;
  let inString = false;
  let escaped = false;
  let closed = false;
  for await (const chunk of source.chunks) {
    let from = 0;
    for (let index = 0; index < chunk.length; index++) {
      const byte = chunk[index];
      if (byte === undefined) break;
      if (closed) {
        if (!isBlank(byte)) throw trailing(source.file);
        row.skip(1, number);
      } else if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
      } else if (byte === quote) {
        inString = true;
      } else if (openings.has(byte)) {
        depth += 1;
        if (depth === 1) from = index + 1;
      } else if (depth === 1 && (byte === comma || byte === closeArray)) {
        row.add(chunk.subarray(from, index), number);
        const bytes = row.take();
        const last = byte === closeArray;
        // Only an empty array has no element before its end; elsewhere an empty element is the parser's to refuse.
        if (!(last && number === 1 && bytes.every(isBlank))) yield { bytes, line: number };
        number += 1;
        from = index + 1;
        if (last) {
          depth = 0;
          closed = true;
        }
      } else if (closings.has(byte)) {
        depth -= 1;
      }
    }
    if (depth > 0) row.add(chunk.subarray(from), number);
  }
  if (!closed) {
    throw new MahaloError(
      "E_DATA_TRUNCATED",
      `${source.file}:${number}: the file ends inside its JSON array`,
      {
        hint: "fetch or write the file again; it was cut short",
      },
    );
  }
}

const trailing = (file: string): MahaloError =>
  new MahaloError("E_DATA_FORMAT", `${file}: something follows the end of the JSON array`, {
    hint: "a file holds either one array of rows or one row per line",
  });
