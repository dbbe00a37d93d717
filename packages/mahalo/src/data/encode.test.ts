/** Facts about encoding: prompt and response are exactly the template's text, and nothing else is ever trained on. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ChatTemplate, chatTemplate } from "./chat-template.ts";
import type { TextCodec } from "./codec.ts";
import { type EncodeOptions, encodeExamples, encodePairs, encodePrompt, encodeSteps } from "./encode.ts";
import { Problems } from "./problems.ts";
import type { PreferenceRow } from "./rows.ts";

const begin = "<|im_start|>";
const end = "<|im_end|>";
const bos = "<s>";
const specials = [begin, end, bos];

/** One id for each letter, and one for each special token; enough to see where a text is cut. */
const letters: TextCodec = {
  encode(text, options) {
    const pieces = text.split(/(<\|im_start\|>|<\|im_end\|>|<s>)/);
    const ids = pieces.flatMap((piece) =>
      specials.includes(piece)
        ? [specials.indexOf(piece)]
        : [...piece].map((letter) => (letter.codePointAt(0) ?? 0) + 3),
    );
    return options?.special ? [specials.indexOf(bos), ...ids] : ids;
  },
  decode: (ids) => ids.map((id) => specials[id] ?? String.fromCodePoint(id - 3)).join(""),
  specialIds: new Set([0, 1, 2]),
  eosIds: [1],
  vocabSize: 0x110003,
};

const chatml: ChatTemplate = {
  text: "",
  render: (messages, options) =>
    messages.map(({ role, content }) => `${begin}${role}\n${content}${end}\n`).join("") +
    (options?.addGenerationPrompt ? `${begin}assistant\n` : ""),
};

const options: EncodeOptions = { codec: letters, template: chatml };
const origin = { file: "pairs.jsonl", line: 3 };
const pair = (parts: Partial<PreferenceRow> = {}): PreferenceRow => ({
  objective: "kind",
  prompt: "Hi",
  chosen: "Hello!",
  rejected: "No.",
  origin,
  ...parts,
});
const lax = () => new Problems({ maxBadShare: 1 });
const encodeOne = (row: PreferenceRow, settings = options) => encodePairs([row], settings).rows[0];
const reasonsOf = (row: PreferenceRow, settings = options) => {
  const problems = lax();
  encodePairs([row], settings, problems);
  return problems.toJSON().reasons;
};

describe("encodeSteps", () => {
  const row = (steps: string[]) => ({
    objective: "a",
    prompt: "Hi",
    steps,
    labels: steps.map(() => 1),
    origin,
  });

  test("each step ends with its last letter, and the end of the turn belongs to the last", () => {
    const [encoded] = encodeSteps([row(["One.\n", "Two."])], options);
    expect(letters.decode(encoded?.response ?? [])).toBe(`One.\nTwo.${end}`);
    expect(encoded).toMatchObject({ ends: [5, 10], labels: [1, 1], origin });
    expect(encoded?.prompt).toEqual(encodePrompt("Hi", options));
  });

  test("one that is too long is left out and counted, whatever stands before it; the others stay whole", () => {
    const problems = new Problems();
    const long = row(["a\n", "b".repeat(50)]);
    const rows = encodeSteps([long, row(["One.\n", "Two."])], { ...options, maxTokens: 40 }, problems);
    expect(rows.map(({ ends }) => ends)).toEqual([[5, 10]]);
    expect(problems.summary()).toContain(
      "1 row left out: their labelled steps are longer than data.maxTokens",
    );
    expect(problems.count).toBe(0);
  });
});

describe("encodePairs", () => {
  test("a plain prompt is one user message, and a response ends with its turn", () => {
    const encoded = encodeOne(pair());
    expect(letters.decode(encoded?.prompt ?? [])).toBe(`${begin}user\nHi${end}\n${begin}assistant\n`);
    expect(letters.decode(encoded?.chosen ?? [])).toBe(`Hello!${end}`);
    expect(letters.decode(encoded?.rejected ?? [])).toBe(`No.${end}`);
    expect(encoded).toMatchObject({ objective: "kind", origin });
  });

  test("prompt and response together are what the template writes", () => {
    const turn = fc.record({
      role: fc.constantFrom("user" as const, "assistant" as const, "system" as const),
      content: fc.string({ unit: "grapheme" }),
    });
    const text = fc.string({ unit: "grapheme", minLength: 1 });
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 4 }), text, (prompt, response) => {
        const encoded = encodeExamples([{ objective: "kind", prompt, response, origin }], options).rows[0];
        const whole = letters.decode([...(encoded?.prompt ?? []), ...(encoded?.response ?? [])]);
        expect(`${whole}\n`).toBe(chatml.render([...prompt, { role: "assistant", content: response }]));
        expect(encodePrompt(prompt, options)).toEqual(encoded?.prompt);
      }),
    );
  });

  test("without chat a plain row is learnt as it stands, begin and end token around it", () => {
    const encoded = encodeOne(pair(), { ...options, chat: false });
    expect(letters.decode(encoded?.prompt ?? [])).toBe("<s>Hi");
    expect(letters.decode(encoded?.chosen ?? [])).toBe(`Hello!${end}`);
    const talk = encodeOne(pair({ prompt: [{ role: "user", content: "Hi" }] }), { ...options, chat: false });
    expect(talk).toEqual(encodeOne(pair()));
  });

  test("prompts lose their beginning and responses their end", () => {
    const whole = encodeOne(pair());
    const limits = { ...options, maxPromptTokens: 5, maxTokens: 8 };
    const { rows, cutPrompts, cutResponses } = encodePairs([pair()], limits);
    expect([cutPrompts, cutResponses]).toEqual([1, 1]);
    expect(rows[0]?.prompt).toEqual(whole?.prompt.slice(-5));
    expect(rows[0]?.chosen).toEqual(whole?.chosen.slice(0, 3));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 50 }),
        (maxPromptTokens, maxTokens) => {
          for (const row of encodePairs([pair()], { ...options, maxPromptTokens, maxTokens }, lax()).rows) {
            expect(row.prompt.length).toBeLessThanOrEqual(maxPromptTokens);
            for (const ids of [row.chosen, row.rejected]) {
              expect(ids.length).toBeGreaterThan(0);
              expect(row.prompt.length + ids.length).toBeLessThanOrEqual(maxTokens);
            }
          }
        },
      ),
    );
  });

  test("a row that loses every response token, or its difference, is counted, never trained on", () => {
    expect(reasonsOf(pair(), { ...options, maxPromptTokens: 9, maxTokens: 9 })).toEqual({
      "response-cut-away": 1,
    });
    const alike = pair({ chosen: "same start, good end", rejected: "same start, bad end" });
    expect(reasonsOf(alike, { ...options, maxPromptTokens: 9, maxTokens: 12 })).toEqual({
      "identical-pair": 1,
    });
    expect(() => encodePairs([alike], { ...options, maxPromptTokens: 9, maxTokens: 12 })).toThrow(
      expect.objectContaining({ code: "E_DATA_TOO_MANY_BAD" }),
    );
    expect(() => encodePairs([alike], { ...options, maxPromptTokens: 9, maxTokens: 12 })).toThrow(
      "pairs.jsonl:3",
    );
  });

  test("a template that rewrites the prompt once it is answered is refused", () => {
    const counting: ChatTemplate = { text: "", render: (messages) => `${messages.length} messages:` };
    expect(reasonsOf(pair(), { ...options, template: counting })).toEqual({ "prompt-not-prefix": 1 });
  });

  test("a template's refusal is the row's problem, its loop is not", () => {
    const refusing =
      "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages[0].content }}";
    const template = chatTemplate(refusing, { where: "template" });
    const system = pair({ prompt: [{ role: "system", content: "s" }] });
    expect(reasonsOf(system, { ...options, template })).toEqual({ "template-error": 1 });
    const broken = chatTemplate("{% for %}", { where: "template" });
    expect(() => reasonsOf(pair(), { ...options, template: broken })).toThrow(
      expect.objectContaining({ code: "E_TEMPLATE_SYNTAX" }),
    );
  });

  test("limits that are no positive integers are refused", () => {
    for (const maxTokens of [0, -1, 2.5, Number.NaN]) {
      expect(() => encodePairs([pair()], { ...options, maxTokens })).toThrow(/data\.maxTokens/);
    }
  });
});
