/** Facts about rows: every customary form becomes the same plain row, and what cannot be used says why. */
import { describe, expect, test } from "vitest";
import { type Origin, Problems, RowProblem } from "./problems.ts";
import { chosenExample, parseExample, parsePreference, parsePrompt, promptKey } from "./rows.ts";

const origin: Origin = { file: "values.jsonl", line: 118 };
const preference = (value: unknown) => parsePreference(value, origin, "helpful");
const reasonOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof RowProblem) return error.reason;
    throw error;
  }
  return "none";
};
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });

describe("preference rows", () => {
  test("plain and conversational forms give the same response", () => {
    const plain = preference({ prompt: "Hi", chosen: "Hello!", rejected: "No." });
    expect(plain).toEqual({ objective: "helpful", prompt: "Hi", chosen: "Hello!", rejected: "No.", origin });
    const forms = [
      { prompt: [user("Hi")], chosen: [assistant("Hello!")], rejected: [assistant("No.")] },
      { chosen: [user("Hi"), assistant("Hello!")], rejected: [user("Hi"), assistant("No.")] },
      { prompt: "Hi", chosen: [user("Hi"), assistant("Hello!")], rejected: [user("Hi"), assistant("No.")] },
      { prompt: "Hi", chosen: [assistant("Hello!")], rejected: [assistant("No.")] },
    ];
    for (const form of forms) expect(preference(form)).toEqual({ ...plain, prompt: [user("Hi")] });
  });

  test("a row's own objective wins over the source's", () => {
    expect(preference({ objective: "honest", prompt: "a", chosen: "b", rejected: "c" }).objective).toBe(
      "honest",
    );
  });

  test("the chosen side is a fine-tuning example", () => {
    const row = preference({ prompt: "a", chosen: "b", rejected: "c" });
    expect(chosenExample(row)).toEqual({ objective: "helpful", prompt: "a", response: "b", origin });
  });

  test.each([
    ["invalid-row", { prompt: "a", chosen: "b" }],
    ["invalid-row", { prompt: "a", chosen: "b", rejected: 3 }],
    ["invalid-row", { chosen: "b", rejected: "c" }],
    ["invalid-row", { chosen: [assistant("a"), user("b")], rejected: [assistant("a"), user("c")] }],
    ["invalid-row", { prompt: "a", chosen: [], rejected: "c" }],
    ["invalid-row", "text"],
    ["unknown-role", { prompt: [{ role: "asistant", content: "x" }], chosen: "b", rejected: "c" }],
    ["empty-prompt", { prompt: " \n", chosen: "b", rejected: "c" }],
    ["empty-prompt", { prompt: [], chosen: "b", rejected: "c" }],
    ["empty-response", { prompt: "a", chosen: "", rejected: "c" }],
    ["identical-pair", { prompt: "a", chosen: "b", rejected: "b" }],
    ["prompts-differ", { chosen: [user("a"), assistant("b")], rejected: [user("x"), assistant("c")] }],
    ["prompts-differ", { prompt: "q", chosen: [user("a"), assistant("b")], rejected: "c" }],
  ])("%s: %j", (reason, value) => {
    expect(reasonOf(() => preference(value))).toBe(reason);
  });

  test("a problem names the field and suggests the role that was meant", () => {
    expect(() => preference({ prompt: "a", chosen: "b", rejected: 3 })).toThrow(/^rejected: .*3/);
    const prompt = [{ role: "asistant", content: "x" }];
    expect(() => preference({ prompt, chosen: "b", rejected: "c" })).toThrow(/prompt\[0\].*"assistant"/);
  });
});

describe("examples and prompts", () => {
  test("prompt-completion, response and messages forms are the same example", () => {
    const forms = [
      { prompt: [user("a")], completion: [assistant("b")] },
      { prompt: [user("a")], completion: "b" },
      { prompt: [user("a")], response: "b" },
      { messages: [user("a"), assistant("b")] },
    ];
    const expected = { objective: "sft", prompt: [user("a")], response: "b", origin };
    for (const form of forms) expect(parseExample(form, origin, "sft")).toEqual(expected);
    expect(reasonOf(() => parseExample({ prompt: "a" }, origin, "sft"))).toBe("invalid-row");
  });

  test("a prompt may carry the answer that a judge compares with", () => {
    expect(parsePrompt({ prompt: "1 + 1?", answer: 2 }, origin)).toEqual({
      prompt: "1 + 1?",
      answer: "2",
      origin,
    });
    expect(parsePrompt({ messages: [user("a")] }, origin)).toEqual({ prompt: [user("a")], origin });
    expect(reasonOf(() => parsePrompt({ messages: [assistant("a")] }, origin))).toBe("invalid-row");
    expect(reasonOf(() => parsePrompt({}, origin))).toBe("invalid-row");
  });

  test("plain text and a single user message are one prompt", () => {
    expect(promptKey("a")).toBe(promptKey([{ role: "user", content: "a" }]));
    expect(promptKey("a")).not.toBe(promptKey([{ role: "system", content: "a" }]));
  });
});

describe("Problems", () => {
  const identical = () => preference({ prompt: "a", chosen: "b", rejected: "b" });
  const at = (line: number): Origin => ({ file: "pairs.jsonl", line });
  /** Bad rows and good ones, as a step over rows meets them. */
  const pass = (problems: Problems, name: string, bad: number, good: readonly object[]) => {
    const step = problems.step(name);
    for (let line = 1; line <= bad; line++) {
      step.see();
      step.guard(at(line), identical);
    }
    for (const row of good) step.see(step.guard(at(99), () => row));
    return step;
  };
  const rows = (count: number) => Array.from({ length: count }, (_, index) => ({ index }));

  test("counts by reason and names the first places", () => {
    const problems = new Problems({ maxBadShare: 0.5 });
    const step = pass(problems, "pairs.jsonl", 5, rows(7));
    step.skip("all candidates are correct", 2);
    const text = problems.summary();
    expect(text).toContain("pairs.jsonl: 5 of 12 rows cannot be used (41.7%)");
    expect(text).toContain("5 identical-pair");
    expect(text).toContain("    pairs.jsonl:1: ");
    expect(text).toContain("and 2 more");
    expect(text).toContain("pairs.jsonl: 2 rows left out: all candidates are correct");
    expect(problems.toJSON()).toMatchObject({ seen: 12, bad: 5, reasons: { "identical-pair": 5 } });
    step.check();
    expect(new Problems().summary()).toBe("");
  });

  test("too many bad rows of a step stop the run, however many rows other steps saw", () => {
    const problems = new Problems({ maxBadShare: 0.4 });
    pass(problems, "large.jsonl", 0, rows(1000)).check();
    expect(() => pass(problems, "small.jsonl", 1, rows(1)).check()).toThrow(
      expect.objectContaining({ code: "E_DATA_TOO_MANY_BAD" }),
    );
  });

  test("a row that passes two steps counts once, and a step taken up again goes on", () => {
    const problems = new Problems({ maxBadShare: 1 });
    const read = rows(10);
    pass(problems, "pairs.jsonl", 2, read);
    pass(problems, "encoding", 1, read.slice(0, 4));
    pass(problems, "encoding", 0, rows(3));
    expect(problems.seen).toBe(2 + 10 + 1 + 3);
    expect(problems.summary()).toContain("encoding: 1 of 8 rows");
  });

  test("an error that is no row's fault goes through", () => {
    const fail = () => {
      throw new TypeError("a bug");
    };
    expect(() => new Problems().step("x").guard(origin, fail)).toThrow(TypeError);
  });
});
