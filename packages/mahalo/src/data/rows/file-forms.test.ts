/** Facts about files of many forms: what is plain is read, and anything else is called what it is. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { CompressionCodec } from "hyparquet";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readRows } from "./read-rows.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-forms-"));
});
afterAll(() => rm(folder, { recursive: true }));

type Content = string | Uint8Array;
let files = 0;
const read = async (content: Content, name = "rows"): Promise<{ value: unknown; line: number }[]> => {
  files += 1;
  const path = join(folder, `file-${files}`);
  await writeFile(path, content);
  const rows: { value: unknown; line: number }[] = [];
  for await (const { value, origin } of readRows(path, { name })) rows.push({ value, line: origin.line });
  return rows;
};
const values = async (content: Content) => (await read(content)).map(({ value }) => value);
const lines = async (content: Content) => (await read(content)).map(({ line }) => line);

const rows = [
  { prompt: "q, {1}?", chosen: 'a "b" é', rejected: "n" },
  { prompt: "r?", chosen: "line\nfeed", rejected: "NaN" },
];
const texts = rows.map((row) => JSON.stringify(row));
const plain = texts.join("\n");

/** A zstd frame of raw blocks: no compression, but the format. */
const zstd = (content: Content): Buffer => {
  const data = Buffer.from(content);
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x38])];
  for (let from = 0; from === 0 || from < data.length; from += 2 ** 17) {
    const block = data.subarray(from, from + 2 ** 17);
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | (from + 2 ** 17 >= data.length ? 1 : 0), 0, 3);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
};

/** An LZ4 block of literals alone. */
const lz4 = (data: Uint8Array): Uint8Array => {
  const more = data.length - 15;
  const length = more < 0 ? [] : [...Array<number>(Math.floor(more / 255)).fill(255), more % 255];
  return Buffer.concat([Buffer.from([Math.min(data.length, 15) << 4, ...length]), data]);
};

describe("what is plain is read", () => {
  test.each<[string, Content]>([
    ["objects over several lines", rows.map((row) => JSON.stringify(row, null, 2)).join("\n")],
    ["objects without anything between", texts.join("")],
    ["lines that end with commas", texts.join(",\n")],
    ["rows that a carriage return divides", texts.join("\r")],
    ["byte order mark and carriage returns", `\uFEFF\r\n${texts.join("\r\n")}\r\n\r\n`],
    ["one object around a list", JSON.stringify({ version: 1, data: rows })],
    ["the same over several lines", JSON.stringify({ license: null, rows }, null, 1)],
    ["lines that are JSON inside a string", texts.map((text) => JSON.stringify(text)).join("\n")],
    ["zstd", zstd(plain)],
    ["two zstd frames", Buffer.concat([zstd(`${texts[0]}\n`), zstd(`${texts[1]}\n`)])],
    ["gzip inside gzip", gzipSync(gzipSync(plain))],
    ["gzip inside zstd", zstd(gzipSync(plain))],
    ["two gzip members", Buffer.concat(texts.map((text) => gzipSync(`${text}\n`)))],
  ])("%s", async (_, content) => {
    expect(await values(content)).toEqual(rows);
  });

  test("zstd as its own library writes it, and blocks behind one another", async () => {
    const packed =
      "KLUv/SDA7QEAJAN7InByb21wdCI6InE/IiwiY2hvc2VuIjoiZ29vZCAiLCJyZWplY3RlZCI6ImJhZCJ9CgIA+hBSJuTiBA==";
    const many = Array.from({ length: 20_000 }, (_, index) => ({ index, text: "x".repeat(20) }));
    expect(await values(zstd(many.map((row) => JSON.stringify(row)).join("\n")))).toEqual(many);
    const one = { prompt: "q?", chosen: "good good good good", rejected: "bad" };
    expect(await values(Buffer.from(packed, "base64"))).toEqual([one, one, one]);
  });

  test.each<[CompressionCodec, ((data: Uint8Array) => Uint8Array) | undefined]>([
    ["UNCOMPRESSED", undefined],
    ["SNAPPY", undefined],
    ["GZIP", gzipSync],
    ["ZSTD", zstd],
    ["LZ4_RAW", lz4],
    ["LZ4", lz4],
  ])("Parquet with %s", async (codec, pack) => {
    const columnData = (["prompt", "chosen", "rejected"] as const).map((name) => ({
      name,
      data: rows.map((row) => row[name]),
    }));
    const compressors = pack === undefined ? {} : { [codec]: pack };
    expect(await values(new Uint8Array(parquetWriteBuffer({ columnData, codec, compressors })))).toEqual(
      rows,
    );
  });

  test("numbers that JSON does not have are no hindrance: NaN is nothing, Infinity stays", async () => {
    const text = '{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN and \\"Infinity\\"", "d": {"e": NaN}}';
    const wanted = {
      a: null,
      b: [-Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
      c: 'NaN and "Infinity"',
      d: { e: null },
    };
    expect(await values(text)).toEqual([wanted]);
    expect(await values(`[${text}, ${text}]`)).toEqual([wanted, wanted]);
    const columnData = [{ name: "score", data: [Number.NaN, 0.5], type: "DOUBLE" as const }];
    expect(await values(new Uint8Array(parquetWriteBuffer({ columnData })))).toEqual([
      { score: null },
      { score: 0.5 },
    ]);
  });

  test("a row is called by the line that it begins in", async () => {
    expect(await lines(rows.map((row) => JSON.stringify(row, null, 2)).join("\n\n"))).toEqual([1, 7]);
    expect(await lines(`\n\n${texts.join(",\n")}`)).toEqual([3, 4]);
    expect(await lines(JSON.stringify({ data: rows }, null, 2))).toEqual([1, 2]);
  });

  test("an object that is a row stays one, whatever lists it has", async () => {
    for (const row of [
      { conversations: [{ from: "human", value: "a" }] },
      { prompt: "a", data: [1, 2] },
      { chosen: [{ role: "user" }], data: [{ a: 1 }] },
      { completions: ["a", "b"], labels: [1, 0] },
    ]) {
      expect(await values(JSON.stringify(row))).toEqual([row]);
    }
  });
});

describe("what is not read is called what it is", () => {
  const latin = (text: string) => Buffer.from(text, "latin1");
  test.each<[RegExp, Content]>([
    [/bzip2/, latin("BZh91AY&SY")],
    [/with xz/, latin("\xfd7zXZ\0\0")],
    [/zip archive/, latin("PK\x03\x04\x14\0")],
    [/7z archive/, latin("7z\xbc\xaf\x27\x1c")],
    [/Arrow \(Feather\)/, latin("ARROW1\0\0")],
    [/Arrow stream/, latin("\xff\xff\xff\xff\x10\x01")],
    [/UTF-16/, Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(plain, "utf16le")])],
    [/pickle/, latin("\x80\x04\x95")],
    [/GGUF/, latin("GGUF\x03\0\0\0")],
    [/safetensors/, latin('\x40\0\0\0\0\0\0\0{"a":{"dtype":"F32"}}')],
    [/tar archive/, Buffer.concat([Buffer.alloc(257, "a"), latin("ustar\0"), Buffer.alloc(249)])],
    [/bzip2 inside gzip/, gzipSync(latin("BZh91AY&SY"))],
    [/Parquet file inside gzip/, gzipSync("PAR1....PAR1")],
    [/CSV/, "prompt,chosen,rejected\na,b,c\n"],
    [/CSV/, '"prompt";"chosen"\n"a";"b"\n'],
    [/TSV/, "prompt\tchosen\na\tb\n"],
    [/Python dict/, "{'prompt': 'a', 'chosen': 'b'}\n"],
    [/HTML/, "<!DOCTYPE html><html>"],
    [/Git LFS/, "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"],
    [/zero bytes/, `${plain}\n${"\0".repeat(40)}`],
    [/by columns/, JSON.stringify({ prompt: { 0: "a", 1: "b" }, chosen: { 0: "c", 1: "d" } })],
    [/by columns/, JSON.stringify({ prompt: ["a", "b"], chosen: ["c", "d"] })],
  ])("%s", async (words, content) => {
    await expect(read(content)).rejects.toMatchObject({ code: "E_DATA_FORMAT", exitStatus: 2 });
    await expect(read(content)).rejects.toThrow(words);
    await expect(read(content)).rejects.toMatchObject({ hint: expect.any(String) });
  });

  test("broken JSON is broken JSON, in its line", async () => {
    await expect(read('{"a": 1 "b": 2}\n{"a": 1}')).rejects.toThrow(/^rows:1: is not valid JSON/);
    await expect(read('{"a": 1}}\n{"a": 1}')).rejects.toThrow(/^rows:1: is not valid JSON/);
    await expect(read('{"a": "b\n{"a": 1}')).rejects.toThrow(/^rows:1: is not valid JSON/);
    await expect(read('{\n"a": 1\n}\n{\n"a": b\n}')).rejects.toThrow(/^rows:4/);
    await expect(read('{\n"a": 1\n')).rejects.toThrow(/^rows:1/);
  });

  test("zstd that was cut or damaged is an error, never fewer rows", async () => {
    const whole = zstd(plain);
    for (let length = 4; length < whole.length; length += 5) {
      await expect(read(whole.subarray(0, length))).rejects.toMatchObject({
        code: expect.stringMatching(/E_DATA_TRUNCATED|E_DATA_ZSTD/),
      });
    }
  });
});
