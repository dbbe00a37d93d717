/** Facts about messages: the forms that TRL, OpenAI and ShareGPT give them all become ours, and nothing is lost on the way. */
import { describe, expect, test } from "vitest";
import { chatTemplate } from "../tokens/chat-template.ts";
import { encodeExamples, encodePairs } from "../tokens/encode.ts";
import type { Tokenizer } from "../tokens/tokenizer.ts";
import { columnMapper } from "./columns.ts";
import { endpointMessages } from "./messages.ts";
import { Problems } from "./problems.ts";
import { parseExample, parsePreference, parsePrompt, promptKey } from "./rows.ts";

const origin = { file: "rows.jsonl", line: 1 };
const pair = (row: Record<string, unknown>) =>
  parsePreference({ prompt: "Hi", chosen: "Yes.", rejected: "No.", ...row }, origin, "o");
const user = { role: "user", content: "Hi" };
const assistant = (content: unknown) => ({ role: "assistant", content });

describe("a message", () => {
  const plain = pair({ prompt: [user] });

  test.each([
    ["a map", { prompt: user, chosen: assistant("Yes."), rejected: assistant("No.") }],
    [
      "parts",
      {
        prompt: [
          {
            role: "user",
            content: [
              { type: "text", text: "H" },
              { type: "text", text: "i" },
            ],
          },
        ],
        chosen: [assistant([{ type: "text", text: "Yes." }])],
      },
    ],
    [
      "ShareGPT's fields",
      {
        prompt: undefined,
        conversations: [{ from: "human", value: "Hi" }],
        chosen: { from: "gpt", value: "Yes." },
        rejected: { from: "gpt", value: "No." },
      },
    ],
    [
      "a row of a table, null where it has nothing",
      {
        prompt: [{ ...user, name: null, tool_calls: null, tool_call_id: null, from: null, value: null }],
        tools: null,
      },
    ],
  ])("may be given as %s", (_, row) => {
    expect(pair(row)).toEqual(plain);
  });

  test("of an example or a prompt may be ShareGPT's as well", () => {
    const conversations = [
      { from: "system", value: "Be brief." },
      { from: "human", value: "Hi" },
      { from: "gpt", value: "Yes." },
    ];
    const prompt = [{ role: "system", content: "Be brief." }, user];
    expect(parseExample({ conversations }, origin, "o")).toMatchObject({ prompt, response: "Yes." });
    expect(parsePrompt({ conversations: conversations.slice(0, 2) }, origin)).toMatchObject({ prompt });
  });

  test.each([
    [
      { prompt: [{ role: "user", content: [{ type: "image_url", image_url: "x" }] }] },
      /prompt\[0\]\.content\[0\]: .*"image_url"/,
    ],
    [
      { prompt: [{ role: "usr", content: "Hi" }] },
      /prompt\[0\]\.role: unknown role "usr"\. Did you mean "user"/,
    ],
    [{ prompt: [{ role: "user", content: null }] }, /prompt\[0\]\.content: must be text, not null/],
    [{ prompt: [{ role: "user" }] }, /prompt\[0\]\.content: is missing/],
    [{ prompt: [{ content: "Hi" }] }, /prompt\[0\]\.role: is missing/],
    [{ prompt: { text: "Hi" } }, /prompt\[0\]\.role: is missing/],
    [{ prompt: [user, { from: "robot", value: "x" }] }, /unknown role "robot"/],
    [{ tools: "no JSON" }, /tools/],
  ])("that cannot be read names its field", (row, message) => {
    expect(() => pair(row)).toThrow(message);
  });
});

/** One id for each letter. */
const letters: Tokenizer = {
  encode: (text) => [...text].map((letter) => letter.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
  specialIds: new Set([36]),
  eosIds: [36],
  vocabSize: 0x110000,
};
const knowing = chatTemplate(
  [
    "{% if tools %}<{{ tools | tojson }}>{% endif %}",
    "{% for m in messages %}{{ m.role }}:{% if m.content is none %}NONE{% else %}{{ m.content }}{% endif %}",
    "{% for c in m.tool_calls or [] %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}",
    "{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}{% if m.role == 'tool' %}/{{ m.tool_call_id }}{% endif %}$\n",
    "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}",
  ].join(""),
  { where: "knowing.jinja" },
);
const call = (args: unknown) => ({
  role: "assistant",
  content: null,
  tool_calls: [{ id: "1", type: "function", function: { name: "weather", arguments: args } }],
});
const answer = { role: "tool", tool_call_id: "1", content: "sunny" };
const tools = [{ type: "function", function: { name: "weather" } }];

describe("tools", () => {
  const row = { prompt: [user, call('{"city": "Rome"}'), answer], tools };

  test("their calls and their answers pass through to the template, arguments as objects", () => {
    const parsed = pair(row);
    const [encoded] = encodePairs([parsed], { tokenizer: letters, template: knowing }).rows;
    expect(letters.decode(encoded?.prompt ?? [])).toBe(
      '<[{"type": "function", "function": {"name": "weather"}}]>user:Hi$\n' +
        'assistant:NONE[weather {"city": "Rome"}]$\ntool:sunny/1$\nassistant:',
    );
    expect(letters.decode(encoded?.chosen ?? [])).toBe("Yes.$");
    const asObjects = pair({
      ...row,
      tools: JSON.stringify(tools),
      prompt: [user, call({ city: "Rome" }), answer],
    });
    expect(encodePairs([asObjects], { tokenizer: letters, template: knowing }).rows).toEqual([encoded]);
  });

  test("tell prompts apart, and may come with a plain prompt", () => {
    const plain = pair({ prompt: [user] });
    expect(promptKey(pair({ prompt: [user], tools }).prompt)).not.toBe(promptKey(plain.prompt));
    expect(promptKey(pair({ tools }).prompt)).toBe(promptKey(pair({ prompt: [user], tools }).prompt));
    expect(promptKey(pair({ tools: [] }).prompt)).toBe(promptKey(plain.prompt));
  });

  test("may be called by the answer that is learnt, and thought about", () => {
    const messages = [user, { ...call({ city: "Rome" }), reasoning_content: "hm" }];
    const example = parseExample({ messages, tools }, origin, "o");
    const [encoded] = encodeExamples([example], { tokenizer: letters, template: knowing }).rows;
    expect(letters.decode(encoded?.response ?? [])).toBe('NONE[weather {"city": "Rome"}](hm)$');
    const rich = pair({ chosen: [call({ city: "Rome" })], rejected: [call({ city: "Bonn" })], tools });
    const [both] = encodePairs([rich], { tokenizer: letters, template: knowing }).rows;
    expect(letters.decode(both?.rejected ?? [])).toBe('NONE[weather {"city": "Bonn"}]$');
    expect(() => pair({ chosen: [call("{}")], rejected: [call("{}")] })).toThrow(/the same/);
  });

  test.each([
    ["a call", { ...row, tools: undefined, prompt: [user, call("{}")] }, /message 2's call of "weather"/],
    ["an answer", { prompt: [user, answer] }, /message 2, a tool's answer/],
    ["a tool", { tools }, /the tool "weather"/],
  ])("that a template leaves out in silence are the row's problem: %s", (_, given, message) => {
    const ignorant = chatTemplate(
      "{% for m in messages %}{% if m.role == 'user' or m.role == 'assistant' %}{{ m.role + ':' + m.content }}{% endif %}{% endfor %}",
      { where: "ignorant.jinja" },
    );
    const problems = new Problems({ maxBadShare: 1 });
    encodePairs([pair(given)], { tokenizer: letters, template: ignorant }, problems);
    expect(problems.toJSON().reasons).toEqual({ "template-error": 1 });
    expect(problems.summary()).toMatch(message);
    expect(problems.summary()).toContain("ignorant.jinja");
  });

  test("stay with a prompt that loses its first turns", () => {
    const long = pair({
      prompt: [{ role: "user", content: "x".repeat(300) }, assistant("y"), user],
      tools,
    });
    const settings = { tokenizer: letters, template: knowing, maxPromptTokens: 200 };
    const [encoded] = encodePairs([long], settings).rows;
    expect(letters.decode(encoded?.prompt ?? [])).toBe(
      '<[{"type": "function", "function": {"name": "weather"}}]>user:Hi$\nassistant:',
    );
  });

  test("go to endpoints in OpenAI's form", () => {
    const { prompt } = pair(row);
    if (typeof prompt === "string") throw new Error("a prompt with tools is a conversation");
    expect(endpointMessages(prompt)).toEqual({ messages: [user, call('{"city": "Rome"}'), answer], tools });
  });

  test("come through a column map", () => {
    const map = columnMapper({
      prompt: { field: "talk", steps: [{ messages: { role: "from", content: "text" } }] },
      chosen: "good",
      rejected: "bad",
      tools: "functions",
    });
    const { from: _, ...said } = { from: "assistant", ...call("{}") };
    const [mapped] = map({
      talk: [
        { from: "user", text: "Hi" },
        { ...said, from: "assistant", text: null },
      ],
      good: "Yes.",
      bad: "No.",
      functions: tools,
    }).rows;
    expect(parsePreference(mapped, origin, "o").prompt).toEqual(
      pair({ prompt: [user, call("{}")], tools }).prompt,
    );
  });
});

describe("the role developer", () => {
  const talk = pair({ prompt: [{ role: "developer", content: "Be brief." }, user] });
  const promptUnder = (template: string): string => {
    const settings = { tokenizer: letters, template: chatTemplate(template, { where: "t" }) };
    return letters.decode(encodePairs([talk], settings).rows[0]?.prompt ?? []);
  };

  test("is the template's own where it has one, else its system's", () => {
    const plain = "{% for m in messages %}{{ m.role }}:{{ m.content }}$\n{% endfor %}";
    expect(promptUnder(plain)).toBe("system:Be brief.$\nuser:Hi$\n");
    expect(promptUnder(`{# knows developer #}${plain}`)).toBe("developer:Be brief.$\nuser:Hi$\n");
  });
});
