/** Facts about encoding: prompt and response are exactly the template's text, and nothing else is ever trained on. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Problems } from "../rows/problems.ts";
import type { PreferenceRow } from "../rows/rows.ts";
import { begin, bos, chatml, end, letters } from "../testing/letters.ts";
import { type ChatTemplate, chatTemplate } from "./chat-template.ts";
import {
  type EncodeOptions,
  encodeExamples,
  encodePairs,
  encodePrompt,
  encodeSteps,
  encodeWatched,
  pairEncoding,
} from "./encode.ts";
import type { Tokenizer } from "./tokenizer.ts";

const options: EncodeOptions = { tokenizer: letters, template: chatml };
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

  test("prompts lose the beginning of what is said, responses their end; both are told", () => {
    const whole = encodeOne(pair());
    const limits = { ...options, maxPromptTokens: 20, maxTokens: 23 };
    const problems = lax();
    const { rows, cutPrompts, cutResponses } = encodePairs([pair()], limits, problems);
    expect([cutPrompts, cutResponses]).toEqual([1, 1]);
    expect(letters.decode(rows[0]?.prompt ?? [])).toBe(`${begin}user\ni${end}\n${begin}assistant\n`);
    expect(rows[0]?.chosen).toEqual(whole?.chosen.slice(0, 3));
    expect(problems.summary()).toContain(
      "1 row: the beginning of their prompt is cut off (data.maxPromptTokens)",
    );
    expect(problems.summary()).toContain("1 row: the end of a response is cut off (data.maxTokens)");
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 60 }),
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
    expect(reasonsOf(pair(), { ...options, maxPromptTokens: 21, maxTokens: 21 })).toEqual({
      "response-cut-away": 1,
    });
    const alike = pair({ chosen: "same start, good end", rejected: "same start, bad end" });
    expect(reasonsOf(alike, { ...options, maxPromptTokens: 21, maxTokens: 24 })).toEqual({
      "identical-pair": 1,
    });
    expect(() => encodePairs([alike], { ...options, maxPromptTokens: 21, maxTokens: 24 })).toThrow(
      expect.objectContaining({ code: "E_DATA_TOO_MANY_BAD" }),
    );
    expect(() => encodePairs([alike], { ...options, maxPromptTokens: 21, maxTokens: 24 })).toThrow(
      "pairs.jsonl:3",
    );
  });

  test("a template that rewrites every prompt once it is answered is named, not the rows", () => {
    const counting: ChatTemplate = {
      text: "",
      where: "counting.jinja",
      render: (messages) => `${messages.length} messages:`,
    };
    expect(() => reasonsOf(pair(), { ...options, template: counting })).toThrow(
      expect.objectContaining({
        code: "E_TEMPLATE_PROMPT",
        message: expect.stringContaining("counting.jinja: the chat template writes every conversation"),
      }),
    );
  });

  test("one that rewrites some conversations only is the row's problem", () => {
    const forgetful: ChatTemplate = {
      ...chatml,
      render: (messages, settings) =>
        chatml.render(
          messages.length > 3 ? messages.map((message) => ({ ...message, content: "..." })) : messages,
          settings,
        ),
    };
    const long = pair({
      prompt: [
        { role: "user", content: "Hi" },
        { role: "assistant", content: "Hi." },
        { role: "user", content: "So?" },
      ],
    });
    expect(reasonsOf(long, { ...options, template: forgetful })).toEqual({ "prompt-not-prefix": 1 });
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

describe("the opening of an answer", () => {
  /** Opens an answer with a thought, which it takes out of answers that are there. */
  const thinking = chatTemplate(
    [
      "{% for m in messages %}<|im_start|>{{ m.role }}\n",
      "{% if m.role == 'assistant' %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n",
      "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    ].join(""),
    { where: "think.jinja" },
  );

  test("belongs to the prompt as far as answered conversations have it too, as in TRL, and that is told", () => {
    const problems = lax();
    const row = pair({ chosen: "<think>\nHm.\n</think>\n\nYes", rejected: "No" });
    const [encoded] = encodePairs([row], { ...options, template: thinking }, problems).rows;
    expect(letters.decode(encoded?.prompt ?? [])).toBe(`${begin}user\nHi${end}\n${begin}assistant\n`);
    expect(letters.decode(encoded?.chosen ?? [])).toBe(`\n\nYes${end}`);
    expect(letters.decode(encoded?.rejected ?? [])).toBe(`No${end}`);
    expect(problems.toJSON().bad).toBe(0);
    expect(problems.summary()).toContain('the chat template opens an answer with "<think>\\n"');
    expect(letters.decode(encodePrompt("Hi", { ...options, template: thinking }))).toMatch(/<think>\n$/);
  });

  test("that every answered conversation has is all of the prompt", () => {
    const keeping: ChatTemplate = {
      text: "",
      render: (messages, settings) =>
        chatml.render(messages) + (settings?.addGenerationPrompt ? `${begin}assistant\n<think>\n` : ""),
    };
    const row = pair({ chosen: "<think>\nHm.\n</think>\n\nYes", rejected: "<think>\nOh.\n</think>\n\nNo" });
    const encoded = encodeOne(row, { ...options, template: keeping });
    expect(letters.decode(encoded?.prompt ?? [])).toMatch(/<think>\n$/);
    expect(letters.decode(encoded?.chosen ?? [])).toBe(`Hm.\n</think>\n\nYes${end}`);
  });

  test("is told from what was said, however short or empty that is", () => {
    for (const prompt of ["t", "k", "\n", "th"]) {
      const row = pair({ prompt: [{ role: "user", content: prompt }], chosen: "6", rejected: "7" });
      const encoded = encodeOne(row, { ...options, template: thinking });
      expect(letters.decode(encoded?.prompt ?? [])).toBe(
        `${begin}user\n${prompt}${end}\n${begin}assistant\n`,
      );
      expect(letters.decode(encoded?.chosen ?? [])).toBe(`6${end}`);
    }
  });

  test("may differ from what stands behind an unanswered conversation", () => {
    const closing: ChatTemplate = {
      text: "",
      render: (messages, settings) =>
        chatml.render(messages) + (settings?.addGenerationPrompt ? `${begin}assistant\n` : bos),
    };
    const encoded = encodeOne(pair(), { ...options, template: closing });
    expect(letters.decode(encoded?.prompt ?? [])).toMatch(/assistant\n$/);
    expect(letters.decode(encoded?.chosen ?? [])).toBe(`Hello!${end}`);
  });
});

describe("the end of an answer", () => {
  const ending = (tail: string): ChatTemplate => ({
    text: "",
    where: "plain.jinja",
    render: (messages, settings) =>
      messages
        .map(({ role, content }) => (role === "user" ? `Q: ${content}\n` : `A: ${content}${tail}`))
        .join("") + (settings?.addGenerationPrompt ? "A: " : ""),
  });
  const chosenUnder = (template: ChatTemplate, tokenizer = letters, problems = lax()): string => {
    const [row] = encodePairs([pair()], { template, tokenizer }, problems).rows;
    return tokenizer.decode(row?.chosen ?? []);
  };

  test("is the template's token, though the model does not call it one; nothing behind it is learnt", () => {
    const base = { ...letters, eosIds: [2] };
    expect(chosenUnder(chatml, base)).toBe(`Hello!${end}`);
    expect(chosenUnder(ending(` ${end}\n\n`), base)).toBe(`Hello! ${end}`);
    expect(chosenUnder(ending(`${end}\n${bos}`), base)).toBe(`Hello!${end}`);
  });

  test("is read between turns where the template writes none behind the last one", () => {
    const between = (mark: string): ChatTemplate => ({
      text: "",
      render: (messages, settings) =>
        messages
          .map(({ role, content }, index) => {
            const last = index === messages.length - 1;
            return role === "user" ? `${begin}${content}` : `>${content}${last ? "" : mark}`;
          })
          .join("") + (settings?.addGenerationPrompt ? ">" : ""),
    });
    const base = { ...letters, eosIds: [2] };
    expect(chosenUnder(between(end), base)).toBe(`Hello!${end}`);
    expect(chosenUnder(between("\n"), base)).toBe(`Hello!${bos}`);
  });

  test("is added after what is trained where the template writes none, and told once", () => {
    for (const tail of ["\n", "", " [done]\n"]) {
      const problems = lax();
      expect(chosenUnder(ending(tail), letters, problems)).toBe(`Hello!${tail.trimEnd()}${end}`);
      const told = problems.summary().split("\n");
      expect(told).toEqual([
        `encoding: the chat template (plain.jinja) does not write an end of an answer, so ${end} is added after what is trained`,
      ]);
    }
  });

  test("is missing, and that is told, for a model without any", () => {
    const problems = lax();
    expect(chosenUnder(ending("\n"), { ...letters, eosIds: [] }, problems)).toBe("Hello!\n");
    expect(problems.summary()).toContain("answers end only at their length limit");
  });
});

describe("a conversation that is too long", () => {
  const turn = (number: number) => [
    { role: "user" as const, content: `question ${number}` },
    { role: "assistant" as const, content: `answer ${number}` },
  ];
  const talk = [
    { role: "system" as const, content: "Be brief." },
    ...[1, 2, 3].flatMap(turn),
    { role: "user" as const, content: "the last of all questions" },
  ];
  const asked = (maxPromptTokens: number): string =>
    letters.decode(encodePrompt(talk, { ...options, maxPromptTokens }));
  const written = (messages: typeof talk): string => chatml.render(messages, { addGenerationPrompt: true });

  test("loses whole turns, the oldest first; its header and last turn stay", () => {
    const [system, ...rest] = talk;
    if (system === undefined) throw new Error("no system message");
    for (const dropped of [0, 2, 4, 6]) {
      const left = [system, ...rest.slice(dropped)];
      const { length } = letters.encode(written(left));
      expect(asked(length)).toBe(written(left));
      if (dropped > 0) expect(asked(length + 1)).toBe(written(left));
    }
  });

  test("loses words of its last turn only where nothing else is left to lose", () => {
    const alone = written([
      { role: "system", content: "Be brief." },
      { role: "user", content: "all questions" },
    ]);
    const { length } = letters.encode(alone);
    expect(asked(length)).toBe(alone);
    expect(asked(length + 2)).toBe(alone);
    expect(asked(length - 1)).toBe(alone.replace("all questions", "questions"));
    const problems = lax();
    encodePairs([pair({ prompt: talk })], { ...options, maxPromptTokens: 30 }, problems);
    expect(problems.toJSON().reasons).toEqual({ "prompt-cut-away": 1 });
  });

  test("keeps what the tokenizer puts before a plain text", () => {
    const ids = encodePrompt("one two three", { ...options, chat: false, maxPromptTokens: 6 });
    expect(letters.decode(ids)).toBe("<s>three");
  });
});

describe("text that a tokenizer cannot hold", () => {
  /** Knows letters below 128; all else is `<?>`, or nothing. */
  const ascii = (unknown: number[]): Tokenizer => ({
    ...letters,
    encode: (text, settings) => letters.encode(text, settings).flatMap((id) => (id > 130 ? unknown : [id])),
    decode: (ids) => ids.map((id) => (id === 500 ? "<?>" : letters.decode([id]))).join(""),
  });

  test("is a bad row, never trained as another text", () => {
    for (const unknown of [[], [500]]) {
      for (const chat of [true, false]) {
        const settings = { ...options, tokenizer: ascii(unknown), chat };
        expect(reasonsOf(pair(), settings)).toEqual({});
        for (const row of [{ prompt: "caf\u00e9?" }, { chosen: "\u2713 yes" }, { rejected: "no \u{1f642}" }])
          expect(reasonsOf(pair(row), settings)).toEqual({ "unknown-character": 1 });
      }
    }
    expect(() => encodePairs([pair({ chosen: "caf\u00e9" })], { ...options, tokenizer: ascii([]) })).toThrow(
      /pairs\.jsonl:3: chosen: the tokenizer has no token for "\u00e9" \(U\+00E9\)/,
    );
  });

  test("that a normaliser writes in another form is trained in that, and told", () => {
    const lower: Tokenizer = {
      ...letters,
      encode: (text, settings) => letters.encode(text.replaceAll("H", "h"), settings),
    };
    const problems = lax();
    const [encoded] = encodePairs([pair()], { ...options, tokenizer: lower }, problems).rows;
    expect(lower.decode(encoded?.chosen ?? [])).toBe(`hello!${end}`);
    expect(problems.summary()).toBe("encoding: 1 row: the tokenizer normalises their text");
  });
});

test("encoding in pieces is the same encoding, and can be stopped between them", async () => {
  const rows = Array.from({ length: 200 }, (_, index) => pair({ chosen: `Yes, ${index}.` }));
  const encode = (signal?: AbortSignal) =>
    encodeWatched(pairEncoding(rows, options, new Problems()), { total: rows.length, signal });
  expect(await encode()).toEqual(encodePairs(rows, options));
  const controller = new AbortController();
  setImmediate(() => controller.abort());
  await expect(encode(controller.signal)).rejects.toMatchObject({
    code: "E_INTERRUPTED",
    message: "stopped while encoding rows",
  });
});
