/** The example of README.md runs as it stands there and does what its comment says. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { runProgram } from "./testing/run-program.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-readme-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the README's example finds its weights", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const program = join(folder, "example.mts");
  writeFileSync(program, example.replace("@mahalo/torch", new URL("./index.ts", import.meta.url).href));
  const { status, output, errors } = await runProgram(pathToFileURL(program).href);
  expect(status, errors).toBe(0);
  const found = output.match(/\d+\.\d+|\b[12]\b(?!\))/g)?.map(Number) ?? [];
  expect(found).toEqual([expect.closeTo(1, 3), expect.closeTo(2, 3)]);
});
