/** Rows of a Parquet file, one row group at a time, with sizes checked before anything is unpacked. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { MahaloError } from "@mahalo/torch";
import { decompress } from "fzstd";
import {
  asyncBufferFromFile,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  snappyUncompress,
} from "hyparquet";
import { decompressLz4, decompressLz4Raw } from "hyparquet-compressors";
import { expandedLimit, type RowLimits } from "./limits.ts";
import type { Origin } from "./problems.ts";
import { expands } from "./unpack.ts";

/** What a value takes at the least once it is read, however few bits it has in the file. */
const valueBytes = 8;

/** Bytes that a file's own metadata say it unpacks to. */
const declaredBytes = ({ row_groups }: FileMetaData): number =>
  row_groups
    .flatMap(({ columns }) => columns)
    .reduce((sum, { meta_data }) => {
      if (meta_data === undefined) return sum;
      const values = Number(meta_data.num_values) * valueBytes;
      return sum + Math.max(values, Number(meta_data.total_uncompressed_size));
    }, 0);

/** Unpacks pages, up to a number of bytes in all, since a page may be larger than the metadata say. */
const compressors = (budget: number, tooLarge: () => MahaloError): Compressors => {
  let left = budget;
  const counted =
    (unpack: (input: Uint8Array, length: number) => Uint8Array) =>
    (input: Uint8Array, length: number): Uint8Array => {
      left -= length;
      if (left < 0) throw tooLarge();
      return unpack(input, length);
    };
  const options = (length: number) => ({ maxOutputLength: Math.max(length, 1) });
  return {
    SNAPPY: counted((input, length) => {
      const output = new Uint8Array(length);
      snappyUncompress(input, output);
      return output;
    }),
    GZIP: counted((input, length) => new Uint8Array(gunzipSync(input, options(length)))),
    BROTLI: counted((input, length) => new Uint8Array(brotliDecompressSync(input, options(length)))),
    ZSTD: counted((input, length) => decompress(input, new Uint8Array(length))),
    LZ4: counted(decompressLz4),
    LZ4_RAW: counted(decompressLz4Raw),
  };
};

const strictUtf8 = new TextDecoder("utf-8", { fatal: true });
const utf8 = new TextDecoder("utf-8");

/**
 * Reads a Parquet file's rows as plain objects.
 *
 * 64-bit integers become numbers where these are exact and text elsewhere, dates become ISO text, NaN becomes null.
 *
 * @param path where the file lies
 * @param file how origins and errors call it
 * @throws MahaloError E_DATA_PARQUET if the file is damaged or uses an unknown compression; E_DATA_EXPANDS
 */
export async function* readParquet(
  path: string,
  file: string,
  limits: RowLimits,
): AsyncGenerator<{ value: unknown; origin: Origin }> {
  let line = 0;
  try {
    const buffer = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(buffer);
    const limit = expandedLimit(buffer.byteLength, limits);
    const tooLarge = (): MahaloError => expands(file, limit, limits);
    if (declaredBytes(metadata) > limit) throw tooLarge();
    const packed = compressors(limit, tooLarge);
    for (const group of metadata.row_groups) {
      const rows = await parquetReadObjects({
        file: buffer,
        metadata,
        rowStart: line,
        rowEnd: line + Number(group.num_rows),
        compressors: packed,
        parsers: { stringFromBytes: columnText },
      });
      for (const row of rows) {
        line += 1;
        yield { value: plain(row), origin: { file, line } };
      }
    }
  } catch (error) {
    if (error instanceof MahaloError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new MahaloError("E_DATA_PARQUET", `${file}: not readable as Parquet after row ${line}: ${reason}`, {
      hint: "fetch the file again, or convert it to JSON lines",
      cause: error,
    });
  }
}

/** Text of a column; what is no UTF-8 gets half characters, so that rows are bad that use it, and no others. */
const columnText = (bytes: Uint8Array | undefined): string | undefined => {
  if (bytes === undefined) return undefined;
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return utf8.decode(bytes).replaceAll("\ufffd", "\ud800");
  }
};

/** A value as JSON would hold it. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (typeof value === "number") return Number.isNaN(value) ? null : value;
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
  }
  return value;
};
