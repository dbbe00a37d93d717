/** Facts about pairs without a prompt of their own: turns that are written out are told, and nothing else is guessed. */
import { describe, expect, test } from "vitest";
import { parseExample, parsePreference } from "./rows.ts";

const origin = { file: "pairs.jsonl", line: 1 };
const pair = (chosen: unknown, rejected: unknown) => parsePreference({ chosen, rejected }, origin, "o");
const wanted = {
  prompt: [
    { role: "user", content: "A colour?" },
    { role: "assistant", content: "Red." },
    { role: "user", content: "Another?" },
  ],
  chosen: "Blue.",
  rejected: "No.",
};

describe("turns that are written out", () => {
  const chatMl = (last: string) =>
    `<|im_start|>user\nA colour?<|im_end|>\n<|im_start|>assistant\nRed.<|im_end|>\n<|im_start|>user\nAnother?<|im_end|>\n<|im_start|>assistant\n${last}`;
  const llama = (last: string) => {
    const turn = (role: string, text: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n${text}`;
    const before = [turn("user", "A colour?"), turn("assistant", "Red."), turn("user", "Another?")];
    return `<|begin_of_text|>${before.map((text) => `${text}<|eot_id|>`).join("")}${turn("assistant", last)}<|eot_id|>`;
  };
  test.each<[string, (last: string) => string]>([
    ["labels", (last) => `\n\nHuman: A colour?\n\nAssistant: Red.\n\nHuman: Another?\n\nAssistant: ${last}`],
    [
      "labels with carriage returns",
      (last) => `Human: A colour?\r\n\r\nAssistant: Red.\r\n\r\nHuman: Another?\r\n\r\nAssistant: ${last}`,
    ],
    ["labels a line", (last) => `User: A colour?\nAssistant: Red.\nUser: Another?\nAssistant: ${last}`],
    ["ChatML", (last) => `${chatMl(last)}<|im_end|>\n`],
    ["ChatML without its last end", chatMl],
    ["Llama 3", llama],
    [
      "Gemma",
      (last) =>
        `<bos><start_of_turn>user\nA colour?<end_of_turn>\n<start_of_turn>model\nRed.<end_of_turn>\n<start_of_turn>user\nAnother?<end_of_turn>\n<start_of_turn>model\n${last}<end_of_turn>`,
    ],
    [
      "Zephyr",
      (last) =>
        `<|user|>\nA colour?</s>\n<|assistant|>\nRed.</s>\n<|user|>\nAnother?</s>\n<|assistant|>\n${last}</s>`,
    ],
  ])("%s", (_, text) => {
    expect(pair(text("Blue."), text("No."))).toMatchObject(wanted);
  });

  test("that differ before the last are no pair", () => {
    expect(() => pair("Human: a?\n\nAssistant: b", "Human: c?\n\nAssistant: d")).toThrow(
      /do not share all turns/,
    );
    expect(() => pair("Human: a?\n\nAssistant: b\n\nHuman: c", "Human: a?\n\nAssistant: d")).toThrow(
      /last message/,
    );
  });
});

test.each([
  ["The sky is blue.", "The sky is green."],
  ["Q: 1 + 1? A: 2", "Q: 1 + 1? A: 3"],
  ["Human: a?\n\nAssistant: b", "c"],
  ["<|im_start|>user\na<|im_end|>\ntrailing", "<|im_start|>user\na<|im_end|>\nother"],
])("%j tells no prompt", (chosen, rejected) => {
  expect(() => pair(chosen, rejected)).toThrow(
    /prompt: is missing, and no speakers' labels or chat template's marks/,
  );
});

test("a row of another form is called what it is", () => {
  const row = (value: unknown) => () => parsePreference(value, origin, "o");
  expect(row({ prompt: "a", completion: "b", label: true })).toThrow(/unpaired form \(KTO\)/);
  expect(row({ prompt: "a", completion: "b" })).toThrow(/one to fine-tune on/);
  expect(row({ prompt: "a", completions: ["b"], labels: [true] })).toThrow(/labelled steps/);
  expect(row({ prompt: "a", chosen: "b" })).toThrow(/rejected: is missing/);
  expect(row({ prompt: "a" })).toThrow(/chosen: is missing/);
  expect(() => parseExample({ prompt: "a", chosen: "b", rejected: "c" }, origin, "o")).toThrow(
    /the row is a pair/,
  );
});
