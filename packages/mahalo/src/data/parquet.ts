/** Rows of a Parquet file, one row group at a time. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { MahaloError } from "@mahalo/torch";
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet";
import type { Origin } from "./problems.ts";

/**
 * Reads a Parquet file's rows as plain objects.
 *
 * 64-bit integers become numbers where these are exact and text elsewhere, dates become ISO text.
 *
 * @param path where the file lies
 * @param file how origins and errors call it
 * @throws MahaloError E_DATA_PARQUET if the file is damaged or uses a compression other than none, Snappy, gzip, Brotli
 */
export async function* readParquet(
  path: string,
  file: string,
): AsyncGenerator<{ value: unknown; origin: Origin }> {
  let line = 0;
  try {
    const buffer = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(buffer);
    for (const group of metadata.row_groups) {
      const rows = await parquetReadObjects({
        file: buffer,
        metadata,
        rowStart: line,
        rowEnd: line + Number(group.num_rows),
        compressors: {
          GZIP: (input) => new Uint8Array(gunzipSync(input)),
          BROTLI: (input) => new Uint8Array(brotliDecompressSync(input)),
        },
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

/** A value as JSON would hold it. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as Uint8Array);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
  }
  return value;
};
