/** Facts about transcripts: line ends of any system, turns with and without blank lines, and labels that are nobody's. */
import { describe, expect, test } from "vitest";
import { splitTranscript, transcriptSchema } from "./transcript.ts";

const split = (text: string, options: object = {}) =>
  splitTranscript(text, transcriptSchema.parse(options)).map(({ role, content }) => `${role}: ${content}`);

describe("splitTranscript", () => {
  const turns = ["user: A colour?", "assistant: Red.\n\nOr blue.", "user: Thanks."];

  test("reads line ends of any system alike", () => {
    const text = "\n\nHuman: A colour?\n\nAssistant: Red.\n\nOr blue.\n\nHuman: Thanks.";
    for (const end of ["\n", "\r\n", "\r"]) expect(split(text.replaceAll("\n", end))).toEqual(turns);
  });

  test("takes single line feeds between turns where blank lines show no answer", () => {
    expect(split("Human: A colour?\nAssistant: Red.\n\nOr blue.\nHuman: Thanks.")).toEqual(turns);
    expect(split("Human: A\nAssistant: B\n\nHuman: C\nAssistant: D")).toEqual([
      "user: A",
      "assistant: B",
      "user: C",
      "assistant: D",
    ]);
  });

  test("leaves labels inside a turn alone where blank lines divide the turns", () => {
    expect(split("Human: A play.\n\nAssistant: Human: Hi\nAssistant: Ho")).toEqual([
      "user: A play.",
      "assistant: Human: Hi\nAssistant: Ho",
    ]);
  });

  test("keeps to a separator that was asked for", () => {
    expect(split("Human: A\nAssistant: B|Assistant: C", { separator: "|" })).toEqual([
      "user: A\nAssistant: B",
      "assistant: C",
    ]);
    expect(split("Human: A\r\n\r\nAssistant: B", { separator: "\r\n\r\n" })).toEqual([
      "user: A",
      "assistant: B",
    ]);
  });

  test("names a speaker that is not known, and who is", () => {
    expect(() => split("H: A\n\nA: B")).toThrow(/its speaker H is not known; known are Human, Assistant/);
    expect(split("H: A\n\nA: B", { user: "H", assistant: "A" })).toEqual(["user: A", "assistant: B"]);
    expect(() => split("once upon a time")).toThrow(/not with a speaker's label/);
  });
});
