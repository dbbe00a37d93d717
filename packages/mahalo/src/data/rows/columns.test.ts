/** Facts about column maps: foreign rows become ours by declaration alone, and a wrong map names the column. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Columns, columnMapper, columnsSchema } from "./columns.ts";
import { isPath, parsePath } from "./field-path.ts";
import { columnsOf, formats } from "./formats.ts";
import { RowProblem } from "./problems.ts";

const map = (columns: Columns, row: unknown) => columnMapper(columns)(row).rows;
const format = (name: string, row: unknown) => map(columnsOf({ format: name }) ?? {}, row);
const issues = (columns: unknown): string[] =>
  columnsSchema
    .safeParse(columns)
    .error?.issues.map(({ message, path }) => `${path.join(".")}: ${message}`) ?? [];
const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const system = (content: string) => ({ role: "system", content });

describe("fields", () => {
  const row = { q: { text: [" one ", "two"] }, "a.b": 7, ok: false, nothing: null };

  test("a path, a template, a constant and a default", () => {
    expect(
      map(
        {
          prompt: "q.text[0]",
          response: { template: '{{{q.text[1]}}} = {["a.b"]}, {ok}' },
          objective: { constant: "helpful" },
          answer: { field: "answer", default: "none" },
        },
        row,
      ),
    ).toEqual([{ prompt: " one ", response: "{two} = 7, false", objective: "helpful", answer: "none" }]);
  });

  test("steps run in order", () => {
    const steps = [{ join: "," }, { replace: { pattern: "O|T", flags: "i", with: "0" } }, "trim"] as const;
    expect(map({ prompt: { field: "q.text", steps: [...steps] } }, row)).toEqual([{ prompt: "0ne ,0w0" }]);
    const cut = (step: string | { pattern: string; flags?: string }) =>
      map({ prompt: { constant: "A: 18 dollars", steps: [{ cut: step }] } }, {})[0]?.prompt;
    expect(cut("A: (\\d+)")).toBe("18");
    expect(cut("\\d+ d")).toBe("18 d");
    expect(cut({ pattern: "DOLLARS", flags: "i" })).toBe("dollars");
  });

  test("messages with other field and role names", () => {
    const conversations = [
      { from: "human", value: "a" },
      { from: "gpt", value: "b" },
    ];
    expect(format("sharegpt", { conversations })).toEqual([{ messages: [user("a"), assistant("b")] }]);
    const robot = { conversations: [{ from: "robot", value: "x" }] };
    expect(() => format("sharegpt", robot)).toThrow(expect.objectContaining({ reason: "unknown-role" }));
  });

  test("what the map cannot find is that row's problem and names column, field and the nearest one", () => {
    expect(() => map({ prompt: "q.txt" }, row)).toThrow(RowProblem);
    expect(() => map({ prompt: "q.txt" }, row)).toThrow(/column prompt: q\.txt: .*"text"/);
    expect(() => map({ prompt: "nothing" }, row)).toThrow(/null/);
    expect(() => map({ prompt: { template: "{q}" } }, row)).toThrow(/list or object/);
    expect(() => map({ prompt: { field: "ok", steps: [{ cut: "x" }] } }, row)).toThrow(/nothing matches/);
    expect(() => map({ prompt: "q" }, "no object")).toThrow(RowProblem);
  });

  test("a wrong map is refused before any row is read", () => {
    expect(issues({ promt: "q" }).join()).toContain("promt");
    expect(issues({ prompt: "a..b" })).not.toEqual([]);
    expect(issues({ prompt: { field: "a", steps: ["trimm"] } })).not.toEqual([]);
    expect(issues({ prompt: { field: "a", steps: [{ cut: "(" }] } })).not.toEqual([]);
    expect(issues({ prompt: { field: "a", steps: [{ cut: "a", trim: true }] } })).not.toEqual([]);
    for (const template of ["{a", "a}", "{a..b}", "{}", "{a}}"]) {
      expect(issues({ prompt: { template } }).join()).toContain("brace");
    }
    for (const columns of formats.items) expect(issues(columns)).toEqual([]);
  });

  test("paths read as written", () => {
    expect(parsePath('a.b[0]["c.d"].e')).toEqual(["a", "b", 0, "c.d", "e"]);
    expect(parsePath("175b_verification.is_correct")).toEqual(["175b_verification", "is_correct"]);
    for (const wrong of ["", ".", "a.", ".a", "a[", "a[x]", 'a["b]', "a b]"])
      expect(isPath(wrong)).toBe(false);
    const name = fc.stringMatching(/^[\w-]+$/);
    fc.assert(
      fc.property(fc.array(name, { minLength: 1 }), (names) => {
        expect(parsePath(names.join("."))).toEqual(names);
        expect(parsePath(names.map((inner) => `["${inner}"]`).join(""))).toEqual(names);
      }),
    );
  });
});

describe("transcripts", () => {
  test("turns keep their paragraphs, and only labels between blank lines open a turn", () => {
    const text =
      "\n\nHuman: one\n\nmore: of it\n\nAssistant:  two\nHuman: not a turn\n\nHuman: three\n\nAssistant: four";
    expect(format("transcript", { text })).toEqual([
      {
        messages: [
          user("one\n\nmore: of it"),
          assistant("two\nHuman: not a turn"),
          user("three"),
          assistant("four"),
        ],
      },
    ]);
  });

  test("turns of one speaker in a row become one", () => {
    const text = "Human: a\n\nHuman: b\n\nAssistant: c";
    expect(format("transcript", { text })).toEqual([{ messages: [user("a\n\nb"), assistant("c")] }]);
  });

  test("a text without a label is refused", () => {
    for (const text of ["Hello", "", "Student: a"]) {
      expect(() => format("transcript", { text })).toThrow(
        expect.objectContaining({ reason: "bad-transcript" }),
      );
    }
  });

  test("a dialogue of a tutor gives a row for each of the tutor's answers", () => {
    const conversation =
      "Teacher: (generic)Hi|EOM|Mary Ann: It is 4: see?|EOM|Teacher: (focus)Why?|EOM|Student: 2+2|EOM|Teacher: Good";
    const begin = [system("What is 2+2?"), assistant("Hi"), user("It is 4: see?"), assistant("Why?")];
    expect(format("tutoring-dialogue", { conversation, question: "What is 2+2?" })).toEqual([
      { messages: begin.slice(0, 2) },
      { messages: begin },
      { messages: [...begin, user("2+2"), assistant("Good")] },
    ]);
  });
});

describe("pairs out of candidates", () => {
  const scores = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 0, maxLength: 6 });
  const row = (values: readonly number[]) => ({
    prompt: "q",
    candidates: values.map((score, index) => ({ text: `${index}`, score })),
  });

  test("the best is paired with the worst, and only when they differ", () => {
    fc.assert(
      fc.property(scores, (values) => {
        const pairs = format("scored-candidates", row(values));
        const differ = new Set(values).size > 1;
        expect(pairs).toHaveLength(differ ? 1 : 0);
        for (const { chosen, rejected } of pairs) {
          expect(values[Number(chosen)]).toBe(Math.max(...values));
          expect(values[Number(rejected)]).toBe(Math.min(...values));
        }
      }),
    );
  });

  test("all: every candidate against every lower one, by at least the margin", () => {
    fc.assert(
      fc.property(scores, fc.integer({ min: 0, max: 3 }), (values, minMargin) => {
        const columns = {
          prompt: "prompt",
          pairs: { candidates: "candidates", take: "all" as const, minMargin },
        };
        const expected = values.flatMap((a) => values.filter((b) => a > b && a - b >= minMargin));
        expect(map(columns, row(values))).toHaveLength(expected.length);
      }),
    );
  });

  test("correct against incorrect, notes taken off", () => {
    const solution = (text: string, is_correct: boolean) => ({ solution: text, is_correct });
    const pairs = format("correct-pair", {
      question: "q",
      "6b_finetuning": solution("1+1=<<1+1=2>>2", true),
      "6b_verification": solution("3", false),
      "175b_finetuning": solution("4", false),
      "175b_verification": solution("2", true),
    });
    expect(pairs).toEqual([
      { prompt: "q", chosen: "1+1=2", rejected: "3" },
      { prompt: "q", chosen: "1+1=2", rejected: "4" },
      { prompt: "q", chosen: "2", rejected: "3" },
      { prompt: "q", chosen: "2", rejected: "4" },
    ]);
  });

  test("highest: the best against every lower one", () => {
    fc.assert(
      fc.property(scores, (values) => {
        const columns = { pairs: { candidates: "candidates", take: "highest" as const } };
        const best = Math.max(...values);
        const pairs = map(columns, row(values));
        expect(pairs).toHaveLength(values.filter((score) => score < best).length);
        for (const { chosen } of pairs) expect(Number(chosen)).toBe(values.indexOf(best));
      }),
    );
  });

  test("a row without a usable pair says why", () => {
    const mapped = columnMapper(columnsOf({ format: "scored-candidates" }) ?? {})(row([1, 1]));
    expect(mapped).toEqual({ rows: [], skipped: "no two candidates differ enough in score" });
    const text = { prompt: "q", candidates: [{ text: "a", score: "high" }] };
    expect(() => format("scored-candidates", text)).toThrow(/score must be a number/);
  });
});
