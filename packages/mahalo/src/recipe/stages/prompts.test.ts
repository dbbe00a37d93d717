/** Facts about the prompts of an evaluation: they are cut as training cuts them, and what a policy is told is no part of it. */
import { expect, test } from "vitest";
import type { Message } from "../../data/rows/messages.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { askedIds } from "./prompts.ts";

const tokenizer: Tokenizer = {
  encode: (text) => [...text].map((letter) => letter.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
  specialIds: new Set(),
  eosIds: [36],
  vocabSize: 0x110000,
};
const template = {
  text: "",
  render: (messages: readonly Message[]) =>
    messages.map(({ role, content }) => `${role}:${content}$`).join(""),
};
const data = {
  chat: true,
  maxPromptTokens: 20,
  maxTokens: 100,
  heldOut: 0.1,
  maxHeldOut: 1,
  maxBadShare: 0,
};
const user = (content: string): Message => ({ role: "user", content });
const asked = (content: string, system?: string): string =>
  tokenizer.decode(askedIds({ tokenizer, template }, [user(content)], data, system));

test("what a policy is told in front of a prompt takes nothing of the prompt's limit", () => {
  const long = "Be as brief as ever you can, whatever you are asked.";
  for (const question of ["short", "one two three four five"]) {
    expect(asked(question, long)).toBe(`system:${long}$${asked(question)}`);
    expect(asked(question).length).toBeLessThanOrEqual(20);
  }
});

test("a prompt that nothing is left of is an error that says what to raise", () => {
  const prompt: Message[] = [{ role: "system", content: "x".repeat(30) }, user("Hi")];
  expect(() => askedIds({ tokenizer, template }, prompt, data)).toThrow(
    expect.objectContaining({ code: "E_PROMPT", hint: expect.stringContaining("data.maxPromptTokens") }),
  );
});
