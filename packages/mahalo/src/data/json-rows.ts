/** Cuts a stream of JSON bytes into rows, one at a time: JSON lines, or the elements of one JSON array. */
import { MahaloError } from "@mahalo/torch";
import { formatBytes } from "../core/format.ts";

/** The bytes of one row; `line` is its line in JSON lines, its number in an array, both from 1. */
export type RowBytes = { bytes: Uint8Array; line: number };

/** What the cutters need: the bytes as they come, the file's name for errors, and the most bytes one row may have. */
export type ByteSource = { chunks: AsyncIterable<Uint8Array>; file: string; maxRowBytes: number };

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

/** Gathers the bytes of one row over several chunks, up to a limit. */
class RowBuffer {
  readonly #parts: Uint8Array[] = [];
  #length = 0;
  readonly #source: ByteSource;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  add(part: Uint8Array, line: number): void {
    this.#length += part.length;
    if (this.#length > this.#source.maxRowBytes) {
      throw new MahaloError(
        "E_DATA_ROW_TOO_LONG",
        `${this.#source.file}:${line}: the row is longer than ${formatBytes(this.#source.maxRowBytes)}`,
        { hint: "is this really a file of rows, one JSON object a line or one array of objects?" },
      );
    }
    this.#parts.push(part);
  }

  take(): Uint8Array {
    const bytes =
      this.#parts.length === 1 ? (this.#parts[0] ?? new Uint8Array()) : Buffer.concat(this.#parts);
    this.#parts.length = 0;
    this.#length = 0;
    return bytes;
  }
}

/** Lines that are not blank. Cut on bytes, since a line feed is never a part of another UTF-8 character. */
export async function* cutLines(source: ByteSource): AsyncGenerator<RowBytes> {
  const row = new RowBuffer(source);
  let line = 1;
  for await (const chunk of source.chunks) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      row.add(chunk.subarray(from, end), line);
      const bytes = row.take();
      if (!bytes.every(isBlank)) yield { bytes, line };
      line += 1;
      from = end + 1;
    }
    if (from < chunk.length) row.add(chunk.subarray(from), line);
  }
  const bytes = row.take();
  if (!bytes.every(isBlank)) yield { bytes, line };
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
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (closed) {
        if (!isBlank(byte)) throw trailing(source.file);
      } else if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
      } else if (byte === quote) {
        inString = true;
      } else if (openings.has(byte)) {
        depth += 1;
        if (depth === 1) from = at + 1;
      } else if (depth === 1 && (byte === comma || byte === closeArray)) {
        row.add(chunk.subarray(from, at), number);
        const bytes = row.take();
        const last = byte === closeArray;
        // Only an empty array has no element before its end; elsewhere an empty element is the parser's to refuse.
        if (!(last && number === 1 && bytes.every(isBlank))) yield { bytes, line: number };
        number += 1;
        from = at + 1;
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
    hint: "a file holds either one array of rows or one row a line",
  });
