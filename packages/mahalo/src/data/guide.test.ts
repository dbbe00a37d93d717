/** The examples of the guide to data are what the code accepts. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { columnMapper, columnsSchema } from "./rows/columns.ts";
import { columnsOf, formats } from "./rows/formats.ts";
import { parsePreference } from "./rows/rows.ts";
import { parseStepRow } from "./rows/step-rows.ts";

const guide = readFileSync(new URL("../../../../docs/guides/data.md", import.meta.url), "utf8");
const blocks = (language: string): string[] =>
  [...guide.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, "gs"))].map(([, body = ""]) => body);

test("its rows are preference rows", () => {
  const rows = blocks("json").map((text): unknown => JSON.parse(text));
  expect(rows).toHaveLength(3);
  for (const row of rows) parsePreference(row, { file: "guide", line: 1 }, "helpful");
});

test("its rows of labelled steps are read", () => {
  const rows = blocks("jsonl").flatMap((text) => text.trim().split("\n"));
  expect(rows).toHaveLength(2);
  for (const row of rows) parseStepRow(JSON.parse(row), { file: "guide", line: 1 }, "accuracy");
});

test("its column maps compile", () => {
  const sources = blocks("yaml").map((text): { format?: string; columns?: unknown } => parse(text));
  expect(sources).toHaveLength(7);
  for (const { format, columns } of sources) {
    const own = columns === undefined ? undefined : columnsSchema.parse(columns);
    expect(typeof columnMapper(columnsOf({ format, columns: own }) ?? {})).toBe("function");
  }
});

test("it names every format", () => {
  for (const name of formats.names) expect(guide).toContain(`| \`${name}\` |`);
});
