/** Tests of the judge rule's JSON schemas and of patterns that take time without bound. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonText } from "./json-reply.ts";
import { makeJudge } from "./registry.ts";

const item = (response: string) => ({ prompt: [{ role: "user" as const, content: "Answer." }], response });
const judge = (options: object) => makeJudge({ kind: "rule", ...options }, "recipe.yaml: judge");
const verdict = async (options: object, response: string) =>
  (await judge(options).score([item(response)]))[0];

describe("JSON schema", () => {
  const jsonSchema = {
    type: "object",
    properties: {
      steps: { type: "array", items: { type: "string" }, minItems: 1 },
      answer: { type: "number" },
    },
    required: ["steps", "answer"],
    additionalProperties: false,
  };

  test.each([
    '{"steps": ["add"], "answer": 19}',
    '\n  {"steps": ["add"], "answer": 19.5}\n',
    '```json\n{"steps": ["add"], "answer": 19}\n```',
    '```\n{"steps": ["```"], "answer": 19}\n```',
  ])("fits: %s", async (response) => {
    expect(await verdict({ jsonSchema }, response)).toEqual({ score: 1, reason: "fits the JSON schema" });
  });

  test.each([
    ["The answer is 19.", /not valid JSON/],
    ["", /empty/],
    ['Here it is:\n```json\n{"steps": ["add"], "answer": 19}\n```', /not valid JSON/],
    ['{"steps": ["add"], "answer": 19} {}', /not valid JSON/],
    ['{"steps": ["add"]}', /required property 'answer'/],
    ['{"steps": [], "answer": 1}', /\/steps .*fewer than 1/],
    ['{"steps": [1], "answer": 1}', /\/steps\/0 must be string/],
    ['{"steps": ["a"], "answer": 1, "b": 1}', /additional properties/],
    ['{"steps": ["a"], "answer": NaN}', /not valid JSON/],
    ["null", /must be object/],
  ])("does not fit: %s", async (response, reason) => {
    expect(await verdict({ jsonSchema }, response)).toEqual({
      score: 0,
      reason: expect.stringMatching(reason),
    });
  });

  test("goes by the standard: bounds say nothing on other types, what is required must be there, formats are notes", async () => {
    expect((await verdict({ jsonSchema: { minimum: 3 } }, '"abc"'))?.score).toBe(1);
    expect((await verdict({ jsonSchema: { required: ["a"] } }, "{}"))?.score).toBe(0);
    expect((await verdict({ jsonSchema: { type: ["string", "null"] } }, "null"))?.score).toBe(1);
    expect((await verdict({ jsonSchema: { type: "string", format: "date" } }, '"soon"'))?.score).toBe(1);
    expect((await verdict({ jsonSchema: { not: { type: "string" } } }, '"a"'))?.score).toBe(0);
  });

  test.each([
    [{ type: "strng" }, /type/],
    [{ type: "object", requird: ["a"] }, /requird/],
    [{ $ref: "https://example.org/schema.json" }, /example\.org/],
    [{ $async: true, type: "object" }, /\$async/],
    [{ pattern: "(" }, /egular expression/],
  ])("a wrong schema is an error of the recipe: %j", (wrong, message) => {
    expect(() => judge({ jsonSchema: wrong })).toThrow(message);
    expect(() => judge({ jsonSchema: wrong })).toThrow(expect.objectContaining({ code: "E_JUDGE_OPTIONS" }));
  });

  test("any JSON value is found, bare or in a code block", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        for (const text of [json, ` ${json}\n`, `\`\`\`json\n${json}\n\`\`\``]) {
          expect(JSON.parse(jsonText(text))).toEqual(JSON.parse(json));
        }
      }),
    );
  });
});

describe("a pattern that backtracks without end", () => {
  const long = `${"a".repeat(60)}!`;
  const options = [
    { pattern: "^(a+)+$" },
    { notPattern: "^(a|a)+$" },
    { jsonSchema: { type: "string", pattern: "^(a+)+$" } },
  ];

  test.each(options)("is ended with an error that names the item: %j", async (one) => {
    const score = judge(one).score([
      item('"b"'),
      { ...item(JSON.stringify(long)), where: "rows.jsonl:7" },
      item(long),
    ]);
    await expect(score).rejects.toMatchObject({
      code: "E_JUDGE_TIME",
      message: expect.stringMatching(/^(rows\.jsonl:7|item 3): .*longer than 1 s/),
    });
  });

  test("does no harm on the replies where it ends", async () => {
    expect(await verdict({ pattern: "^(a+)+$" }, "aaa")).toMatchObject({ score: 1 });
  });
});

test("an abort ends the batch", async () => {
  const stop = new AbortController();
  stop.abort();
  await expect(judge({ minWords: 1 }).score([item("a")], { signal: stop.signal })).rejects.toMatchObject({
    code: "E_INTERRUPTED",
  });
});
