/** The judge `function`: what a user's file may export and give, and what is said where it does not. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { withFolder } from "../model/testing/tiny.ts";
import { judgeContent, judgeFiles, makeJudge } from "./registry.ts";

const items = ["Why?", "So."].map((response, index) => ({
  prompt: [{ role: "user" as const, content: "Hi" }],
  response,
  reference: "Why?",
  where: `rows.jsonl:${index + 1}`,
}));

const scored = (source: string, name = "judge.mjs") =>
  withFolder(async (folder) => {
    const file = join(folder, name);
    await writeFile(file, source);
    return makeJudge({ kind: "function", file }, "test").score(items);
  });

test.each([
  ["a number", "export const asks = ({ response }) => Number(response.endsWith('?'));", [1, 0]],
  [
    "a promise, by default",
    "export default async ({ response, reference }) => response === reference ? 1 : 0.5;",
    [1, 0.5],
  ],
  [
    "a score and null",
    "export function f({ response }) { return response === 'So.' ? null : { score: 0.25, reason: 'r' }; }",
    [0.25, null],
  ],
  [
    "one function under two names",
    "const f = () => 1; export { f, f as default }; export const version = 2;",
    [1, 1],
  ],
])("a function that gives %s judges", async (_, source, wanted) => {
  expect((await scored(source)).map(({ score }) => score)).toEqual(wanted);
});

test("a file may be TypeScript", async () => {
  const source = "export const f = ({ response }: { response: string }): number => response.length / 10;";
  expect((await scored(source, "judge.ts")).map(({ score }) => score)).toEqual([0.4, 0.3]);
});

test.each([
  ["export const two = 2;", /exports no function/],
  ["export const a = () => 1; export const b = () => 0;", /exports 2 functions/],
  ["export const a = (;", /cannot be loaded/],
  ["export const a = () => { throw new Error('oh'); };", /throws on rows.jsonl:1: oh/],
  ["export const a = () => NaN;", /gives NaN for rows.jsonl:1/],
  ["export const a = ({ response }) => response === 'Why?' ? 1 : 1.5;", /gives 1.5 for rows.jsonl:2/],
  ["export const a = () => 'good';", /gives good for rows.jsonl:1/],
  ["export const a = () => undefined;", /gives undefined/],
])("%s is refused with its reason", async (source, message) => {
  await expect(scored(source)).rejects.toThrow(message);
  await expect(scored(source)).rejects.toMatchObject({ code: "E_JUDGE_FUNCTION" });
});

test("a file that is not there is named", async () => {
  const judge = makeJudge({ kind: "function", file: "no/such.mjs" }, "test");
  await expect(judge.score(items)).rejects.toThrow("no/such.mjs: there is no such file");
});

test("the file's content decides verdicts, not its path", () => {
  const at = (file: string) => ({ kind: "function", file });
  expect(judgeContent(at("a.mjs"), "test")).toEqual(judgeContent(at("b.mjs"), "test"));
  expect(judgeFiles(at("a.mjs"), "test")).toEqual([{ option: "file", path: "a.mjs" }]);
});
