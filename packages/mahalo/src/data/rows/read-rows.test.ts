/** Facts about reading: one content, any wrapping, the same rows; a damaged file names its place. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cutArray, cutLines, cutValues, type RowBytes } from "./json-rows.ts";
import { type ReadOptions, readRows } from "./read-rows.ts";
import type { RawRow } from "./whole-file.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-readers-"));
});
afterAll(() => rm(folder, { recursive: true }));

const gather = async <T>(source: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const item of source) all.push(item);
  return all;
};

let files = 0;
const read = async (content: string | Uint8Array, options?: ReadOptions): Promise<RawRow[]> => {
  files += 1;
  const path = join(folder, `file-${files}`);
  await writeFile(path, content);
  return gather(readRows(path, { name: "rows", ...options }));
};
const values = async (content: string | Uint8Array) => (await read(content)).map(({ value }) => value);
const code = (name: string) => expect.objectContaining({ code: name });

const row = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue(), { maxKeys: 4 });

describe("readRows", () => {
  test("JSON lines, an array, gzip and Parquet of the same rows read the same", async () => {
    const rows = [
      { prompt: "schön 🎉", score: 0.5, n: 3 },
      { prompt: 'a "quoted", [bracketed] {text}\n', score: -1, n: 4 },
    ];
    const lines = rows.map((value) => JSON.stringify(value)).join("\n");
    const parquet = parquetWriteBuffer({
      columnData: [
        { name: "prompt", data: rows.map(({ prompt }) => prompt), type: "STRING" },
        { name: "score", data: rows.map(({ score }) => score), type: "DOUBLE" },
        { name: "n", data: rows.map(({ n }) => BigInt(n)), type: "INT64" },
      ],
    });
    const forms = [
      lines,
      `\uFEFF${lines}\r\n`,
      JSON.stringify(rows),
      ` \n${JSON.stringify(rows, null, 2)}\n`,
      gzipSync(lines),
      gzipSync(JSON.stringify(rows)),
      new Uint8Array(parquet),
    ];
    for (const form of forms) expect(await values(form)).toEqual(rows);
  });

  test("origins count lines, blank ones too, and rows of an array", async () => {
    const lines = (await read('\n{"a":1}\n\n  \n{"a":2}')).map(({ origin }) => origin);
    expect(lines).toEqual([
      { file: "rows", line: 2 },
      { file: "rows", line: 5 },
    ]);
    expect((await read('[{"a":1}, {"a":2}]')).map(({ origin }) => origin.line)).toEqual([1, 2]);
  });

  test("empty files and an empty array have no rows", async () => {
    for (const content of ["", "\n \n", "[]", "[ \n ]", gzipSync("")])
      expect(await values(content)).toEqual([]);
  });

  test("faults name file and line", async () => {
    const broken = Buffer.concat([Buffer.from('{"a":1}\n{"a":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    await expect(read(broken)).rejects.toEqual(code("E_DATA_UTF8"));
    await expect(read(broken)).rejects.toThrow("rows:2: ");
    await expect(read('{"a":1}\n{"a":')).rejects.toThrow(/^rows:2: .*JSON/);
    await expect(read('[{"a":1},{"a":]')).rejects.toThrow(/^rows:2/);
    await expect(read('[{"a":1},]')).rejects.toThrow(/^rows:2/);
    await expect(read('[{"a":1}')).rejects.toEqual(code("E_DATA_TRUNCATED"));
    await expect(read('[{"a":1}] [')).rejects.toEqual(code("E_DATA_FORMAT"));
    await expect(read("PAR1 but not really")).rejects.toEqual(code("E_DATA_PARQUET"));
    const long = `{"a":1}\n{"a":"${"x".repeat(3000)}"}`;
    await expect(read(long, { maxRowBytes: 2000 })).rejects.toEqual(code("E_DATA_ROW_TOO_LONG"));
    await expect(read(long, { maxRowBytes: 2000 })).rejects.toThrow("rows:2: ");
    await expect(gather(readRows(join(folder, "nowhere")))).rejects.toEqual(code("E_FILE_READ"));
    await expect(gather(readRows(folder))).rejects.toEqual(code("E_FILE_READ"));
  });

  test("a gzip file cut at any byte or damaged is an error, never fewer rows", async () => {
    const whole = gzipSync(Array.from({ length: 20 }, (_, a) => JSON.stringify({ a })).join("\n"));
    for (let length = 2; length < whole.length; length += 3) {
      await expect(read(whole.subarray(0, length))).rejects.toEqual(code("E_DATA_TRUNCATED"));
    }
    const damaged = Buffer.from(whole);
    damaged.fill(0xff, 12, 24);
    await expect(read(damaged)).rejects.toEqual(code("E_DATA_GZIP"));
  });

  test("a reader may stop early", async () => {
    const path = join(folder, "many");
    await writeFile(path, gzipSync(`{"a":1}\n`.repeat(200_000)));
    for await (const { origin } of readRows(path)) if (origin.line === 3) break;
  });
});

describe("cutting", () => {
  const inChunks = async function* (text: string, size: number) {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  };
  const parse = (rows: RowBytes[]): unknown[] =>
    rows.map(({ bytes }) => JSON.parse(Buffer.from(bytes).toString()));

  test("rows do not depend on where chunks end", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 5 }),
        fc.integer({ min: 1, max: 9 }),
        async (rows, size) => {
          const rest = { file: "rows", maxRowBytes: 1e6 };
          const wanted: unknown = JSON.parse(JSON.stringify(rows));
          const lines = rows.map((value) => JSON.stringify(value)).join("\n");
          expect(parse(await gather(cutLines({ chunks: inChunks(lines, size), ...rest })))).toEqual(wanted);
          for (const text of [lines, rows.map((value) => JSON.stringify(value, null, 1)).join(",")]) {
            expect(parse(await gather(cutValues({ chunks: inChunks(text, size), ...rest })))).toEqual(wanted);
          }
          for (const text of [JSON.stringify(rows), JSON.stringify(rows, null, 1)]) {
            expect(parse(await gather(cutArray({ chunks: inChunks(text, size), ...rest })))).toEqual(wanted);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
