/** Set-up's record: this clone's is read, a damaged one is an error that says what to run. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { torchVersion } from "./runtime.ts";
import { readSetUpRecord } from "./setup-record.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-record-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the record speaks of the libtorch that is loaded", () => {
  expect(torchVersion()).toContain(readSetUpRecord().libtorch.version);
});

test("a record that is missing, broken or of another form is an error that says what to run", () => {
  const path = join(folder, "setup.json");
  expect(() => readSetUpRecord(path)).toThrow(/setup\.json is not there/);
  writeFileSync(path, "{");
  expect(() => readSetUpRecord(path)).toThrow(/not valid JSON/);
  writeFileSync(path, JSON.stringify({ ...readSetUpRecord(), format: 2 }));
  expect(() => readSetUpRecord(path)).toThrow(/format/);
});
