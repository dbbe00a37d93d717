/** Facts about steps of plain text: the same as among tokens, and nothing of the text is lost. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openModelSource } from "../../model/folder/source.ts";
import { tinyFolder } from "../../model/testing/tiny.ts";
import { mergingTokenizer } from "../testing/merging-tokenizer.ts";
import { type StepBoundary, stepEnds, stepTexts } from "./steps.ts";
import { cutText, textStepEnds } from "./text-steps.ts";

const tiny = (await openModelSource(tinyFolder("tiny-qwen2"))).tokenizer;
const boundaries: StepBoundary[] = [
  { by: "blank-line" },
  { by: "line" },
  { by: "sentence", minTokens: 1 },
  { by: "sentence", minTokens: 5 },
  { by: "turn" },
];
const texts = fc
  .array(fc.constantFrom("a", "It is 3.14", ".", "!", "\n", "\n\n", " ", "Well?", '"', "é", "\t", "e.g."), {
    maxLength: 14,
  })
  .map((parts) => parts.join(""));

const cut = (text: string, boundary: StepBoundary): string[] => cutText(text, textStepEnds(text, boundary));

describe("steps of a text", () => {
  test("with a tokenizer are those among its tokens", () => {
    for (const tokenizer of [tiny, mergingTokenizer()]) {
      fc.assert(
        fc.property(texts, fc.constantFrom(...boundaries), (text, boundary) => {
          const ids = tokenizer.encode(text);
          fc.pre(tokenizer.decode(ids, { skipSpecial: true }) === text);
          const ends = textStepEnds(text, boundary, tokenizer);
          expect(cutText(text, ends)).toEqual(stepTexts(tokenizer, ids, stepEnds(tokenizer, ids, boundary)));
        }),
      );
    }
  });

  test("joined are the text, and each but a blank text's one has a letter", () => {
    fc.assert(
      fc.property(texts, fc.constantFrom(...boundaries), (text, boundary) => {
        const steps = cut(text, boundary);
        expect(steps.join("")).toBe(text);
        if (text.trim() !== "") expect(steps.every((step) => step.trim() !== "")).toBe(true);
        else expect(steps).toHaveLength(text === "" ? 0 : 1);
      }),
    );
  });

  test("without a tokenizer end where a reader would say", () => {
    expect(cut("2 + 2 = 4.\n\nSo 4.\n\n\nThe answer is 4.\n", { by: "blank-line" })).toEqual([
      "2 + 2 = 4.\n\n",
      "So 4.\n\n\n",
      "The answer is 4.\n",
    ]);
    expect(cut('He said "no." Then 3.5 of it, e.g. half. End', { by: "sentence", minTokens: 1 })).toEqual([
      'He said "no."',
      " Then 3.5 of it, e.g. half.",
      " End",
    ]);
    expect(cut("One. Two three four. Five.", { by: "sentence", minTokens: 3 })).toEqual([
      "One. Two three four.",
      " Five.",
    ]);
    expect(cut("a\n\nb", { by: "turn" })).toEqual(["a\n\nb"]);
  });

  test("are found without tokens where these do not give the text back", () => {
    // The end token's name is a special token to the tokenizer, which is no text.
    const text = "a <|im_end|>\n\nb";
    expect(tiny.decode(tiny.encode(text), { skipSpecial: true })).not.toBe(text);
    expect(cutText(text, textStepEnds(text, { by: "blank-line" }, tiny))).toEqual(["a <|im_end|>\n\n", "b"]);
  });
});
