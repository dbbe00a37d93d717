/** Facts about step boundaries: exact in tokens, the same streamed and whole, and nothing of the text is lost. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openModelSource } from "../../model/folder/source.ts";
import { tinyFolder } from "../../model/testing/tiny.ts";
import { RowProblem } from "../rows/problems.ts";
import { mergingTokenizer } from "../testing/merging-tokenizer.ts";
import {
  endsOfTexts,
  parseStepBoundary,
  type StepBoundary,
  StepScanner,
  stepBoundarySchema,
  stepEnds,
  stepEndsOf,
  stepTexts,
} from "./steps.ts";
import type { Tokenizer } from "./tokenizer.ts";

const merging = mergingTokenizer();
const tiny = (await openModelSource(tinyFolder("tiny-qwen2"))).tokenizer;
const tokenizers = { merging, tiny } as const;

const steps = (text: string, boundary: StepBoundary, tokenizer: Tokenizer = merging): string[] => {
  const ids = tokenizer.encode(text);
  return stepTexts(tokenizer, ids, stepEnds(tokenizer, ids, boundary));
};
const blankLine: StepBoundary = { by: "blank-line" };
const line: StepBoundary = { by: "line" };
const sentence = (minTokens = 1): StepBoundary => ({ by: "sentence", minTokens });
const boundaries: StepBoundary[] = [blankLine, line, sentence(1), sentence(8), { by: "turn" }];

describe("the boundary", () => {
  test("is written by its name or in full", () => {
    expect(stepBoundarySchema.parse("blank-line")).toEqual(blankLine);
    expect(stepBoundarySchema.parse("sentence")).toEqual(sentence(8));
    expect(stepBoundarySchema.parse({ by: "sentence" })).toEqual(sentence(8));
    expect(stepBoundarySchema.parse({ by: "sentence", minTokens: 3 })).toEqual(sentence(3));
    expect(stepBoundarySchema.safeParse({ by: "line", minTokens: 3 }).success).toBe(false);
    expect(stepBoundarySchema.safeParse({ by: "sentence", minTokens: 0 }).success).toBe(false);
    expect(parseStepBoundary("turn")).toEqual({ by: "turn" });
    expect(parseStepBoundary("sentence:12")).toEqual(sentence(12));
    expect(() => parseStepBoundary("blank-lines")).toThrow(/Did you mean "blank-line"/);
    expect(() => parseStepBoundary("sentence:0")).toThrow(
      expect.objectContaining({ code: "E_STEP_BOUNDARY" }),
    );
  });

  test("is the token that completes the separator, merged with a neighbour or not", () => {
    const text = "a.\n\nb\n\n\nc:\n\nd";
    const ids = merging.encode(text);
    expect(ids.map((id) => merging.decode([id]))).toEqual([
      "a",
      ".\n\n",
      "b",
      "\n\n\n",
      "c",
      ":\n",
      "\n",
      "d",
    ]);
    expect(stepEnds(merging, ids, blankLine)).toEqual([2, 4, 7, 8]);
    expect(stepEnds(merging, ids, line)).toEqual([2, 4, 6, 8]);
    expect(steps(text, blankLine)).toEqual(["a.\n\n", "b\n\n\n", "c:\n\n", "d"]);
  });

  test("of a blank line may hold white space, but no letter", () => {
    expect(steps("a\n \t\nb\nc\n\n", blankLine)).toEqual(["a\n \t\n", "b\nc\n\n"]);
    expect(steps("a\r\n\r\nb", blankLine)).toEqual(["a\r\n\r\n", "b"]);
  });

  test("needs a letter before it: white space at the beginning ends nothing", () => {
    expect(steps("\n\n\na\n\nb", blankLine)).toEqual(["\n\n\na\n\n", "b"]);
    expect(steps("\n\na\n\n\nb", line)).toEqual(["\n\na\n\n\n", "b"]);
  });

  test("of sentences is their mark with what closes behind it, or a line's end", () => {
    expect(steps("the sum. Is it? Yes! So.", sentence())).toEqual(["the sum.", " Is it?", " Yes!", " So."]);
    expect(steps('he said "so." the end.', sentence())).toEqual(['he said "so."', " the end."]);
    expect(steps("- one\n- two\n", sentence())).toEqual(["- one\n", "- two\n"]);
    expect(steps("好。好。", sentence())).toEqual(["好。", "好。"]);
  });

  test("of sentences is no full stop of a number, a list, an initial or a title", () => {
    for (const text of ["it is 3.14 or so", "1. Cut it", "e.g. this", "U.S. law", "Dr. No", "a.b.c"]) {
      expect(steps(text, sentence())).toEqual([text]);
    }
    expect(steps("it is 18.\nSo there", sentence())).toEqual(["it is 18.\n", "So there"]);
  });

  test("of sentences waits for enough tokens", () => {
    const ids = merging.encode("ab. cd. ef. gh.");
    const ends = stepEnds(merging, ids, sentence(5));
    expect(ends).toHaveLength(2);
    for (const [index, end] of ends.entries()) {
      expect(end - (ends[index - 1] ?? 0)).toBeGreaterThanOrEqual(5);
    }
  });

  test("of a turn is its end only", () => {
    const ids = merging.encode("a.\n\nb\n\nc<|im_end|>");
    expect(stepEnds(merging, ids, { by: "turn" })).toEqual([ids.length]);
  });

  test("is never behind white space or an end token alone, as long as there is a step before", () => {
    const ids = merging.encode("a.\n\nb.\n\n<|im_end|>");
    expect(stepEnds(merging, ids, blankLine)).toEqual([2, 5]);
    expect(stepEnds(merging, merging.encode("a.\n\n  "), blankLine)).toEqual([3]);
    expect(stepEnds(merging, merging.encode("<|im_end|>"), blankLine)).toEqual([1]);
    expect(stepEnds(merging, merging.encode("\n\n"), blankLine)).toEqual([1]);
    expect(stepEnds(merging, [], blankLine)).toEqual([]);
  });
});

/** Texts in which separators, marks and white space meet in every way, and emoji that several tokens spell. */
const written = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.constantFrom("\n", "\n\n", " ", ".", ". ", "!", "\r\n", "the ", "18", "\t"),
      },
      { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 4 }) },
    ),
    { maxLength: 24 },
  )
  .map((pieces) => pieces.join("").normalize("NFC"));

/** Token ids as a model may write them: of a text, or any at all. */
const idsOf = (tokenizer: Tokenizer): fc.Arbitrary<number[]> =>
  fc.oneof(
    written.map((text) => tokenizer.encode(text)),
    fc.tuple(written, written).map(([a, b]) => [...tokenizer.encode(a), ...tokenizer.encode(b)]),
    fc.array(fc.nat(tokenizer.vocabSize - 1), { maxLength: 30 }),
  );
const boundaryOf = fc.constantFrom(...boundaries);

/** Ends by the text alone: where a separator is complete in it, then the first token with which it is there. */
const endsByText = (tokenizer: Tokenizer, ids: readonly number[], separator: RegExp): number[] => {
  const text = tokenizer.decode(ids, { skipSpecial: true });
  const step = new RegExp(`\\s*\\S[^]*?${separator.source}`, "y");
  const lengths = ids.map(
    (_, index) =>
      tokenizer.decode(ids.slice(0, index + 1), { skipSpecial: true }).replace(/\uFFFD+$/u, "").length,
  );
  const ends = new Set<number>();
  while (step.lastIndex < text.length) {
    if (step.exec(text) === null) break;
    const at = step.lastIndex;
    ends.add(lengths.findIndex((length) => length >= at) + 1);
  }
  return [...ends];
};

for (const [name, tokenizer] of Object.entries(tokenizers)) {
  describe(`with the ${name} tokenizer`, () => {
    test("streaming equals whole, and no later token moves an end", () => {
      fc.assert(
        fc.property(idsOf(tokenizer), boundaryOf, fc.nat(30), (ids, boundary, cut) => {
          const scanner = new StepScanner(tokenizer, boundary);
          const streamed = ids.flatMap((id, index) => (scanner.push(id) ? [index + 1] : []));
          const whole = stepEnds(tokenizer, ids, boundary);
          // The last end is the response's; an end before white space or end tokens alone moves there.
          for (const end of whole.slice(0, -1)) expect(streamed).toContain(end);
          const moved = streamed.filter((end) => !whole.includes(end));
          expect(moved.every((end) => end > (whole.at(-2) ?? 0))).toBe(true);
          if (moved.length > 0) {
            const rest = ids.slice(Math.min(...moved));
            // Half a character is no letter yet.
            expect(tokenizer.decode(rest, { skipSpecial: true }).replaceAll("\uFFFD", "").trim()).toBe("");
          }
          const part = stepEnds(tokenizer, ids.slice(0, cut), boundary);
          for (const end of part.slice(0, -1)) expect(streamed).toContain(end);
        }),
      );
    });

    test("a fork goes on like its original", () => {
      fc.assert(
        fc.property(idsOf(tokenizer), idsOf(tokenizer), boundaryOf, (before, after, boundary) => {
          const one = new StepScanner(tokenizer, boundary);
          for (const id of before) one.push(id);
          const two = one.fork();
          const straight = after.map((id) => one.push(id));
          expect(after.map((id) => two.push(id))).toEqual(straight);
          expect(two.blank).toBe(one.blank);
        }),
      );
    });

    test("the texts of the steps joined are the response's text, and every one has something to say", () => {
      fc.assert(
        fc.property(idsOf(tokenizer), boundaryOf, (ids, boundary) => {
          const ends = stepEnds(tokenizer, ids, boundary);
          expect(ends.at(-1) ?? 0).toBe(ids.length);
          expect(ends.every((end, index) => end > (ends[index - 1] ?? 0))).toBe(true);
          expect(stepTexts(tokenizer, ids, ends).join("")).toBe(tokenizer.decode(ids, { skipSpecial: true }));
        }),
      );
      fc.assert(
        fc.property(written, boundaryOf, (text, boundary) => {
          const texts = steps(text, boundary, tokenizer);
          expect(texts.join("")).toBe(text);
          if (texts.length > 1) for (const text of texts) expect(text.trim()).not.toBe("");
        }),
      );
    });

    test("blank lines and lines end where the text says, read apart from its tokens", () => {
      const separators: [StepBoundary, RegExp][] = [
        [blankLine, /\n[^\S\n]*\n/],
        [line, /\n/],
      ];
      for (const [boundary, separator] of separators) {
        fc.assert(
          fc.property(written, (text) => {
            const ids = tokenizer.encode(text);
            const whole = stepEnds(tokenizer, ids, boundary);
            const expected = endsByText(tokenizer, ids, separator);
            expect(whole.slice(0, -1)).toEqual(
              expected.filter((end) => tokenizer.decode(ids.slice(end)).trim() !== ""),
            );
          }),
        );
      }
    });
  });
}

describe("steps that are given as texts", () => {
  const pieces = fc.constantFrom(
    "a.",
    "the sum",
    "\n",
    "\n\n",
    "\n\n\n",
    " ",
    ":\n\n",
    "héllo",
    "日本。",
    '"',
    "2 = 2",
  );

  test("end where the boundary ended them, whatever the tokenizer merges", () => {
    for (const tokenizer of Object.values(tokenizers)) {
      fc.assert(
        fc.property(fc.array(pieces, { minLength: 1 }), fc.constantFrom(...boundaries), (parts, boundary) => {
          const ids = tokenizer.encode(`a${parts.join("")}`);
          const ends = stepEnds(tokenizer, ids, boundary);
          expect(endsOfTexts(tokenizer, ids, stepTexts(tokenizer, ids, ends))).toEqual(ends);
          expect(stepEndsOf(tokenizer, ids, boundary)).toEqual(ends);
        }),
        { numRuns: 60 },
      );
    }
  });

  test("end with the token that holds their last letter, also where a separator is merged across them", () => {
    const ids = merging.encode("a.\n\nthe");
    expect(ids.map((id) => merging.decode([id]))).toEqual(["a", ".\n\n", "the"]);
    expect(endsOfTexts(merging, ids, ["a.", "\n\nthe"])).toEqual([2, 3]);
    expect(stepEndsOf(merging, ids, ["a.\n", "\nthe"])).toEqual([2, 3]);
  });

  test("may be trimmed by a template, but not be other texts or lie in one token", () => {
    const ids = merging.encode("One.\nTwo.");
    const ends = stepEnds(merging, ids, line);
    expect(endsOfTexts(merging, ids, ["One.\n", "Two."])).toEqual(ends);
    expect(endsOfTexts(merging, ids, [" \nOne.\n", "Two. \n"])).toEqual(ends);
    expect(() => endsOfTexts(merging, ids, ["One.\n", "Three."])).toThrow(RowProblem);
    expect(() => endsOfTexts(merging, ids, ["", "One.\n", "Two."])).toThrow(/no token/);
    expect(() => endsOfTexts(merging, ids, ["One.", "\n", "Two."])).toThrow(/same token/);
  });
});
