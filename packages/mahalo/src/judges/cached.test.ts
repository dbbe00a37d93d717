/** Tests of kept verdicts: what was judged once is not judged again, whatever happened in between. */
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cachedJudge, itemKey } from "./cached.ts";
import type { Judge, JudgedItem } from "./types.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mahalo-kept-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const item = (response: string, reference?: unknown): JudgedItem => ({
  prompt: [{ role: "user", content: "Say something." }],
  response,
  ...(reference === undefined ? {} : { reference }),
});
const items = (count: number): JudgedItem[] =>
  Array.from({ length: count }, (_, index) => item(`reply ${index}`));

/** A judge that counts what it is asked, tells of each verdict, and fails at the n-th reply. */
const counting = (failAt = Number.POSITIVE_INFINITY) => {
  const asked: string[] = [];
  const judge: Judge = {
    name: "counting",
    score: async (given, { onVerdict } = {}) =>
      given.map(({ response }, index) => {
        if (asked.length >= failAt) throw new MahaloError("E_TEST", "out of money", { hint: "earn some" });
        asked.push(response);
        const verdict = { score: response.length / 100, reason: `it says ${response}` };
        onVerdict?.(index, verdict);
        return verdict;
      }),
  };
  return { judge, asked };
};
const kept = (judge: Judge, content: unknown = "options") => cachedJudge(judge, { folder, content });

describe("kept verdicts", () => {
  test("a second judge of the same content asks nothing and says the same", async () => {
    const first = counting();
    const verdicts = await kept(first.judge).score(items(5));
    const second = counting();
    expect(await kept(second.judge).score(items(5))).toEqual(verdicts);
    expect([first.asked.length, second.asked.length]).toEqual([5, 0]);
  });

  test("other options, another file's content, prompt, reply or reference are judged anew", async () => {
    const { judge, asked } = counting();
    const file = join(folder, "rubric.txt");
    writeFileSync(file, "one");
    const score = (content: unknown, one: JudgedItem) =>
      cachedJudge(judge, { folder, content, files: [{ option: "file", path: file }] }).score([one]);
    await score("a", item("x", 1));
    await score("a", item("x", 1));
    expect(asked).toHaveLength(1);
    await score("b", item("x", 1));
    await score("a", item("y", 1));
    await score("a", item("x", 2));
    await score("a", item("x"));
    await score("a", item("x", null));
    await score("a", { ...item("x", 1), prompt: [{ role: "system", content: "Say something." }] });
    expect(asked).toHaveLength(7);
    writeFileSync(file, "two");
    await score("a", item("x", 1));
    expect(asked).toHaveLength(8);
  });

  test("equal items of a batch are judged once, and verdicts keep the items' order", async () => {
    const { judge, asked } = counting();
    const told: number[] = [];
    await kept(judge).score([item("bb")]);
    const batch = ["a", "bb", "a", "ccc", "bb"].map((text) => item(text));
    const verdicts = await kept(judge).score(batch, { onVerdict: (index) => told.push(index) });
    expect(verdicts.map(({ score }) => score)).toEqual([0.01, 0.02, 0.01, 0.03, 0.02]);
    expect(asked).toEqual(["bb", "a", "ccc"]);
    expect(told.sort()).toEqual([0, 1, 2, 3, 4]);
  });

  test("what was judged before an error is kept, and the error says where", async () => {
    const failing = kept(counting(3).judge).score(items(5));
    await expect(failing).rejects.toMatchObject({ code: "E_TEST", message: "out of money" });
    await expect(failing).rejects.toMatchObject({
      hint: expect.stringContaining("earn some; 3 new verdicts"),
    });
    await expect(failing).rejects.toMatchObject({ hint: expect.stringContaining(folder) });
    const after = counting();
    await kept(after.judge).score(items(5));
    expect(after.asked).toEqual(["reply 3", "reply 4"]);
  });

  test("a file cut at any byte, or with rubbish in it, loses no whole line and takes new ones", async () => {
    const before = await kept(counting().judge).score(items(4));
    const path = join(folder, readdirSync(folder)[0] ?? "");
    const whole = readFileSync(path);
    for (let length = 0; length <= whole.length; length += 7) {
      writeFileSync(path, whole.subarray(0, length));
      const lines = whole.subarray(0, length).toString().split("\n").length - 1;
      const { judge, asked } = counting();
      expect(await kept(judge).score(items(4))).toEqual(before);
      // A last line that lacks nothing but its end is still good.
      expect(4 - asked.length).toBeGreaterThanOrEqual(lines);
      expect(await kept(counting(0).judge).score(items(4))).toEqual(before);
    }
    appendFileSync(path, '\u0000\u0000\n{"key":1}\n{"key":"x","score":"high","reason":""}\n');
    const { judge, asked } = counting();
    await kept(judge).score(items(5));
    expect(asked).toEqual(["reply 4"]);
  });

  test("abstentions are kept too", async () => {
    const shy = (name: string): Judge => ({
      name: "shy",
      score: async (given) => given.map(() => ({ score: null, reason: name })),
    });
    await kept(shy("first")).score(items(1));
    expect(await kept(shy("second")).score(items(1))).toEqual([{ score: null, reason: "first" }]);
  });

  test("a reference that is no plain data is judged every time", async () => {
    const { judge, asked } = counting();
    const odd = [item("a", new Date(0)), item("a", new Date(1)), item("a", () => 1)];
    await kept(judge).score(odd);
    await kept(judge).score(odd);
    expect(asked).toHaveLength(6);
    expect(itemKey(item("a", new Map([[1, 2]])))).toBeUndefined();
  });

  test("messages name an item by its place in the whole batch", async () => {
    const names: (string | undefined)[] = [];
    const judge: Judge = {
      name: "naming",
      score: async (given) =>
        given.map(({ where }) => {
          names.push(where);
          return { score: 1, reason: "" };
        }),
    };
    await kept(judge).score([item("a"), item("b")]);
    await kept(judge).score([item("a"), item("c"), { ...item("d"), where: "rows.jsonl:7" }]);
    expect(names).toEqual(["item 1", "item 2", "item 2", "rows.jsonl:7"]);
  });

  test("a judge that leaves an item out is an error that names the item", async () => {
    const lazy: Judge = { name: "lazy", score: async () => [{ score: 1, reason: "" }] };
    await expect(kept(lazy).score(items(2))).rejects.toThrow(/"lazy" gave no verdict on item 2/);
  });
});

test("keys are equal for equal items and for no others", () => {
  const parts = fc.record({
    text: fc.string(),
    response: fc.string(),
    reference: fc.constantFrom(undefined, null, 0, 1, "", "1", [], [1], {}, { a: 1 }),
  });
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      const key = ({ text, response, reference }: typeof a) =>
        itemKey({ prompt: [{ role: "user", content: text }], response, reference });
      const list = ({ text, response, reference }: typeof a) =>
        JSON.stringify([text, response, reference === undefined ? [] : [reference]]);
      expect(key(a)).toBe(key(structuredClone(a)));
      expect(key(a) === key(b)).toBe(list(a) === list(b));
    }),
  );
});
