/** Facts about watching over reading: it can be stopped, is bounded, and says how far it is. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { stopWaitingOn } from "../../core/interrupt.ts";
import { lateProgress } from "../../core/progress.ts";
import { loadPrompts } from "./load.ts";
import { watchedRows } from "./watched-rows.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-watched-rows-"));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  vi.unstubAllEnvs();
  stopWaitingOn(undefined);
});

const endless = async function* (): AsyncGenerator<number> {
  for (let row = 0; ; row++) yield row;
};
const drain = async (rows: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of rows);
};
const limits = { name: "rows", maxRows: Number.POSITIVE_INFINITY };
const interrupted = { code: "E_INTERRUPTED", message: "stopped while reading rows" };

test("a signal ends the reading of an endless source that waits for nothing", async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 5);
  await expect(drain(watchedRows(endless(), { ...limits, signal: controller.signal }))).rejects.toMatchObject(
    interrupted,
  );
});

test("so does the end of the process where no signal is given", async () => {
  const controller = new AbortController();
  stopWaitingOn(controller.signal);
  setTimeout(() => controller.abort(), 5);
  await expect(drain(watchedRows(endless(), limits))).rejects.toMatchObject(interrupted);
});

test("the loaders hand their signal on", async () => {
  const path = join(folder, "prompts.jsonl");
  await writeFile(path, '{"prompt":"a"}\n'.repeat(1100));
  await expect(loadPrompts({ path, name: "rows" }, { signal: AbortSignal.abort() })).rejects.toMatchObject(
    interrupted,
  );
});

test("a short file is read to its end, so that a run which is asked to stop keeps its first step", async () => {
  const path = join(folder, "short.jsonl");
  await writeFile(path, '{"prompt":"a"}\n'.repeat(3));
  expect(await loadPrompts({ path, name: "rows" }, { signal: AbortSignal.abort() })).toHaveLength(3);
});

test("rows of a file are bounded, and a setting allows more", async () => {
  const path = join(folder, "three.jsonl");
  await writeFile(path, '{"prompt":"a"}\n'.repeat(3));
  vi.stubEnv("MAHALO_MAX_ROWS", "2");
  await expect(loadPrompts({ path, name: "rows" })).rejects.toMatchObject({
    code: "E_DATA_TOO_MANY_ROWS",
    message: "rows: has more than 2 rows",
  });
  vi.stubEnv("MAHALO_MAX_ROWS", "3");
  expect(await loadPrompts({ path, name: "rows" })).toHaveLength(3);
});

test("long reading says how far it is in plain lines, short reading says nothing", async () => {
  const told = async (after: number): Promise<string[]> => {
    const lines: string[] = [];
    let now = 0;
    const stream = { write: (text: string) => lines.push(text) };
    const clock = { now: () => (now += 11_000) };
    const display = lateProgress({ label: "read rows", total: 0, unit: "rows", stream, ...clock }, after);
    const some = async function* (): AsyncGenerator<number> {
      for (let row = 0; row < 2000; row++) yield row;
    };
    await drain(watchedRows(some(), { ...limits, display }));
    return lines;
  };
  expect(await told(0)).toEqual([
    expect.stringMatching(/^read rows: 1,024 rows · /),
    expect.stringMatching(/^read rows: 2,000 rows · /),
    expect.stringMatching(/^read rows: 2,000 rows in /),
  ]);
  expect(await told(Number.POSITIVE_INFINITY)).toEqual([]);
});
