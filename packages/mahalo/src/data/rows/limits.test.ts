/** Facts about bounds: a file that expands without end is refused early, and a setting allows more. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteBuffer } from "hyparquet-writer";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { loadPrompts } from "./load.ts";
import { Problems } from "./problems.ts";
import { readRows } from "./read-rows.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-limits-"));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => vi.unstubAllEnvs());

const count = async (content: string | Uint8Array): Promise<number> => {
  const path = join(folder, "file");
  await writeFile(path, content);
  let rows = 0;
  for await (const _ of readRows(path, { name: "rows" })) rows += 1;
  return rows;
};
const row = '{"prompt":"a"}\n';
const blanks = (byte: string) => byte.repeat(70e6);

test.each([
  ["spaces before a row", () => blanks(" ") + row],
  ["lines behind a row", () => row + blanks("\n")],
  ["spaces behind an array", () => `[{"a":1}]${blanks(" ")}`],
  ["commas", () => `${row.trim()},${",".repeat(70e6)}`],
])("%s: white space is bounded", async (_, content) => {
  await expect(count(content())).rejects.toMatchObject({ code: "E_DATA_ROW_TOO_LONG" });
});

test("what a packed file holds is bounded by its size, and a setting allows more", async () => {
  const packed = gzipSync(`{"prompt":"${"a".repeat(1e6)}"}\n`.repeat(70));
  await expect(count(packed)).rejects.toThrow(
    /rows: unpacked it is larger than 64 MB; a file may expand to 100 times/,
  );
  vi.stubEnv("MAHALO_MAX_EXPANSION", "2000");
  expect(await count(packed)).toBe(70);
  vi.stubEnv("MAHALO_MAX_EXPANSION", "much");
  await expect(count(packed)).rejects.toMatchObject({ code: "E_SETTING" });
});

test("blocks of zstd that are one byte again and again are bounded", async () => {
  const frame = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x38])];
  for (let block = 0; block < 600; block++) frame.push(Buffer.from([0x02, 0, 0x10, 0x61]));
  frame.push(Buffer.from([0x01, 0, 0]));
  await expect(count(Buffer.concat(frame))).rejects.toMatchObject({ code: "E_DATA_EXPANDS" });
  // A window of a gigabyte would be memory before the first byte.
  await expect(count(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 1, 0, 0]))).rejects.toThrow(/zstd window/);
});

test("Parquet is measured by what it says of itself, before any page is unpacked", async () => {
  const text = "a".repeat(1e6);
  const wide = {
    columnData: [{ name: "prompt", data: Array<string>(70).fill(text), encoding: "PLAIN" as const }],
  };
  const pages = parquetWriteBuffer({ ...wide, codec: "GZIP", compressors: { GZIP: gzipSync } });
  await expect(count(new Uint8Array(pages))).rejects.toMatchObject({ code: "E_DATA_EXPANDS" });
  const long = [{ name: "a", data: Array<string>(9e6).fill("b") }];
  await expect(count(new Uint8Array(parquetWriteBuffer({ columnData: long })))).rejects.toThrow(
    /E_DATA_EXPANDS|larger than/,
  );
});

test("a file of which nothing can be used is given up before all of it is kept", async () => {
  const path = join(folder, "braces");
  await writeFile(path, "{}\n".repeat(300_000));
  const problems = new Problems({ maxBadShare: 1 });
  await expect(loadPrompts({ path, name: "braces" }, { problems })).rejects.toMatchObject({
    code: "E_DATA_NO_ROWS",
  });
  expect(problems.seen).toBeLessThan(300_000);
});
