/** Tests of the judges and of how they read numbers and sentences. */
import { MahaloError } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { generateWordProblems, wordProblemOptions } from "../data/generators/word-problems.ts";
import { numbersIn } from "./numbers.ts";
import { judgeKinds, judgesAnswers, makeJudge } from "./registry.ts";
import { finalAnswer } from "./sum.ts";
import { sentences } from "./text.ts";
import type { JudgeKind } from "./types.ts";

const problem = "Mia has 12 apples. She gets 7 more. How many apples does Mia have now?";
const item = (response: string, reference?: unknown) => ({
  prompt: [{ role: "user" as const, content: problem }],
  response,
  reference,
});
const score = async (declaration: object, response: string, reference?: unknown) =>
  (await makeJudge(declaration, "recipe.yaml: judge").score([item(response, reference)]))[0]?.score;

describe("numbers in text", () => {
  test.each([
    ["12 - 7 = 5 apples", [12, 7, 5]],
    ["$1,234.50 and 1,000,000", [1234.5, 1000000]],
    ["-3, \u22123, -$3 and $-3", [-3, -3, -3, -3]],
    ["12 -7", [12, 7]],
    ["x-3 (5)-2", [3, 5, 2]],
    ["about 3/4 of .5", [0.75, 0.5]],
    ["50% of 8 kg.", [50, 8]],
    ["1,23 is two numbers", [1, 23]],
    ["\\$7", [7]],
    ["none", []],
    ["1/0", []],
  ])("%s", (text, expected) => {
    expect(numbersIn(text)).toEqual(expected);
  });

  test("any number written with marks is read back", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e9, max: 1e9 }), fc.integer({ min: 0, max: 99 }), (whole, cents) => {
        const number = Number(`${whole}.${String(cents).padStart(2, "0")}`);
        expect(numbersIn(`It is ${number.toLocaleString("en-US")} units.`)).toEqual([number]);
      }),
    );
  });
});

test("sentences end at marks and line ends, not inside numbers", () => {
  expect(sentences('That is 2.5 kg. Why? "Yes!" he said\nLine\n\n---\n')).toEqual([
    "That is 2.5 kg.",
    "Why?",
    '"Yes!"',
    "he said",
    "Line",
  ]);
});

describe("the judge sum", () => {
  test.each([
    ["12 + 7 = 19\n\nThe answer is 19.", 19, "the answer is"],
    ["The answer is 12. No, wait: the answer is 19.", 19, "the answer is"],
    ["The final answer is: $1,250.75", 1250.75, "the answer is"],
    ["The answer is 12 + 7 = 19 apples.", 19, "the answer is"],
    ["So the answer to the problem is 19 apples. Can you find 3 more?", 19, "the answer is"],
    ["Answer: -4", -4, "the answer is"],
    ["She has 12.\n#### 1,019", 1019, "####"],
    ["Thus \\boxed{\\frac{3}{4}}.", 0.75, "boxed"],
    ["\\boxed{12} or rather $\\boxed{x = 19}$", 19, "boxed"],
    ["12 plus 7 makes 19 apples.", 19, "last number"],
    ["It makes 19. What is 3 + 4?", 19, "last number"],
    ["The answer is not 5, it makes 19.", 19, "last number"],
  ])("%s", (text, value, form) => {
    expect(finalAnswer(text)).toEqual({ value, form });
  });

  test("a reply that only asks has stated no answer", () => {
    expect(finalAnswer("We add, since it is a total.\n\nWhat is 12 + 7?")).toBeUndefined();
    expect(finalAnswer("Do you think the answer is 19?")).toBeUndefined();
    expect(finalAnswer("12 and 7", false)).toBeUndefined();
    expect(finalAnswer("")).toBeUndefined();
  });

  test("compares with references of several forms", async () => {
    for (const reference of [19, "19", "19 (apples)", "12+7=<<12+7=19>>19\n#### 19", "$19.00"]) {
      expect(await score({ kind: "sum" }, "The answer is 19.", reference)).toBe(1);
      expect(await score({ kind: "sum" }, "The answer is 18.", reference)).toBe(0);
    }
    expect(await score({ kind: "sum", tolerance: 0.01 }, "The answer is 0.33.", 1 / 3)).toBe(1);
    expect(await score({ kind: "sum" }, "The answer is 0.33.", 1 / 3)).toBe(0);
    expect(await score({ kind: "sum" }, "Hello!", 19)).toBe(0);
    expect(await score({ kind: "sum", lastNumber: false }, "19", 19)).toBe(0);
  });

  test("a missing reference is an error, never a wrong answer", async () => {
    await expect(score({ kind: "sum" }, "19")).rejects.toMatchObject({ code: "E_JUDGE_REFERENCE" });
  });
});

describe("the judge rule", () => {
  const asks = { kind: "rule", asksQuestion: true };

  test.each([
    "The answer is 19. Do you see why?",
    "We add here.\n\nWhat is 12 + 7?",
    "Try 12 + 7 yourself. What do you get?",
    "So, how much is 12 + 7?",
    "What would you do next? Give it a try!",
    "The answer is 19. Tell me how you found it.",
    'The answer is 19. "Can you check it?"',
  ])("invites on: %s", async (text) => {
    expect(await score(asks, text)).toBe(1);
  });

  test.each([
    "The answer is 19.",
    "What is 12 + 7? It is 19.",
    "Do you see? Add them. Now we are done. The answer is 19.",
    "How many apples does Mia have now?",
    "???",
    "",
    "Let's see: 12 + 7 = 19",
    "Really?",
  ])("does not invite on: %s", async (text) => {
    expect(await score(asks, text)).toBe(0);
    expect(await score({ kind: "rule", asksQuestion: false }, text)).toBe(1);
  });

  test("other features: reader, length, pattern", async () => {
    expect(await score({ kind: "rule", addressesReader: true }, "You can add 12 and 7.")).toBe(1);
    expect(await score({ kind: "rule", addressesReader: true }, "12 + 7 = 19.")).toBe(0);
    expect(await score({ kind: "rule", minWords: 2, maxWords: 3 }, "one two three")).toBe(1);
    expect(await score({ kind: "rule", minWords: 2, maxWords: 3 }, "one two three four")).toBe(0);
    expect(await score({ kind: "rule", minWords: 2 }, "")).toBe(0);
    expect(await score({ kind: "rule", pattern: "the answer is \\d+" }, "The answer is 19.")).toBe(1);
    expect(await score({ kind: "rule", notPattern: "sorry" }, "Sorry, no.")).toBe(0);
  });

  test("verdicts say why", async () => {
    const judge = makeJudge({ kind: "rule", asksQuestion: true, maxWords: 5 }, "recipe.yaml: judge");
    expect(await judge.score([item("The answer is 19. Do you see why?"), item("Do you see?")])).toEqual([
      { score: 0, reason: "8 words, at most 5 wanted" },
      { score: 1, reason: 'invites on: "Do you see?"; 3 words, at most 5 wanted' },
    ]);
  });
});

test("the generator's replies are judged as they are meant", async () => {
  const rows = generateWordProblems(wordProblemOptions.parse({ problems: 300, heldOut: 0 }), 11).train;
  const judges = { accuracy: makeJudge({ kind: "sum" }, ""), engagement: makeJudge(asksOnly, "") };
  for (const row of rows) {
    const judge = row.objective === "accuracy" ? judges.accuracy : judges.engagement;
    const prompt = typeof row.prompt === "string" ? [] : row.prompt;
    const [chosen, rejected] = await judge.score(
      [row.chosen, row.rejected].map((response) => ({
        prompt,
        response: String(response),
        reference: row.answer,
      })),
    );
    expect([row.chosen, chosen?.score, row.rejected, rejected?.score]).toEqual([
      row.chosen,
      1,
      row.rejected,
      0,
    ]);
  }
});

const asksOnly = { kind: "rule", asksQuestion: true };

test("declarations are checked: kinds, options, at least one feature", () => {
  const failing = (declaration: unknown) => {
    try {
      makeJudge(declaration, "recipe.yaml: judge");
    } catch (error) {
      return error instanceof MahaloError
        ? `${error.code} ${error.message} ${error.hint ?? ""}`
        : String(error);
    }
    return "no error";
  };
  expect(failing({ kind: "sums" })).toMatch(/E_JUDGE_UNKNOWN.*"sum"/s);
  expect(failing({ kind: "rule", askQuestion: true })).toMatch(
    /E_JUDGE_OPTIONS.*Did you mean "asksQuestion"/s,
  );
  expect(failing({ kind: "rule" })).toMatch(/at least one feature/);
  expect(failing({ kind: "rule", pattern: "(" })).toMatch(/regular expression/);
  expect(failing({ kind: "rule", minWords: 4, maxWords: 2 })).toMatch(/minWords/);
  expect(failing({})).toMatch(/kind/);
});

describe("what verdicts are on", () => {
  const options: Record<string, object> = {
    rule: { minWords: 1 },
    model: { model: "some-model" },
    chat: { baseUrl: "http://127.0.0.1:1/v1", model: "m", rubric: "Is it kind?" },
    function: { file: "judge.ts" },
  };

  test("is declared by every kind: rules and rubrics look at a reply's manner, the others at its answer", () => {
    const onAnswers = judgeKinds.names.filter((kind) => judgesAnswers({ kind, ...options[kind] }, "judge"));
    expect(onAnswers).toEqual(["sum", "math", "model", "function"]);
  });

  test("must be said", () => {
    // @ts-expect-error a judge that does not say what its verdicts are on
    const silent: JudgeKind<"silent", object> = {
      kind: "silent",
      options: z.strictObject({}),
      make: () => ({ name: "silent", score: async () => [] }),
    };
    expect(silent).not.toHaveProperty("verdictsOn");
    expect(() => judgesAnswers({ kind: "silent" }, "judge")).toThrow(/unknown judge "silent"/);
  });
});
