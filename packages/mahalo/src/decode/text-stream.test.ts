/** Text that comes out token by token: whole characters, and nothing from a stop string on. */
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { Tokenizer } from "../data/tokens/tokenizer.ts";
import { loadModel } from "../model/folder/load.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { TextStream } from "./text-stream.ts";

let tokenizer: Tokenizer;
beforeAll(async () => {
  const model = await loadModel(tinyFolder("tiny-llama"));
  tokenizer = model.tokenizer;
  model.dispose();
});

const pieces = (ids: readonly number[], stops: readonly string[] = []): string[] => {
  const text = new TextStream(tokenizer, stops);
  return [...ids.map((id) => text.push(id).text), text.end().text];
};
/** A token for every byte, as far as the tokenizer cuts that small. */
const idsOf = (text: string): number[] => tokenizer.encode(text);

/** What must come out: everything before the first stop string. */
const upTo = (text: string, stops: readonly string[]): string => {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return found.length === 0 ? text : text.slice(0, Math.min(...found));
};

describe("text", () => {
  test("of all pieces is the tokenizer's own, emoji and all, and no piece holds half a character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 20 }), (word) => {
        const ids = idsOf(word);
        const all = pieces(ids);
        expect(all.join("")).toBe(tokenizer.decode(ids, { skipSpecial: true }));
        if (!word.includes("\uFFFD")) for (const piece of all) expect(piece).not.toContain("\uFFFD");
      }),
    );
  });
  test("leaves special tokens out", () => {
    const [end = 0] = tokenizer.eosIds;
    expect(pieces([...idsOf("ab"), end]).join("")).toBe("ab");
  });
  test("with half a character at the very end shows that it is half", () => {
    const ids = idsOf("🦜").slice(0, -1);
    expect(pieces(ids).join("")).toBe(tokenizer.decode(ids));
  });
});

describe("a stop string that names a special token", () => {
  test.each([
    ["<|im_start|>", "ab<|im_start|>cd", "ab"],
    ["<|im_start|>user", "ab<|im_start|>assistant<|im_start|>user\nx", "abassistant"],
    ["b\n<|im_start|>", "ab\nab\n<|im_start|>c", "ab\na"],
    ["<|im_start|><|im_end|>", "a<|im_end|><|im_start|><|im_end|>b", "a"],
  ])("%j is met by the token", (stop, text, expected) => {
    const stream = new TextStream(tokenizer, ["zz", stop]);
    let out = "";
    let stopped = false;
    for (const id of idsOf(text)) {
      const piece = stream.fork().push(id);
      expect(stream.push(id)).toEqual(piece);
      out += piece.text;
      stopped = piece.stopped;
      if (stopped) break;
    }
    expect(out).toBe(expected);
    expect(stopped).toBe(true);
  });

  test("leaves the text as it is where the token does not come", () => {
    const ids = idsOf("a<|im_end|>b <|im_start 🙂");
    expect(pieces(ids, ["<|im_start|>", "x<|im_end|>"]).join("")).toBe("ab <|im_start 🙂");
  });
});

describe("a stop string", () => {
  test("ends the text before it, wherever the tokens are cut", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "b", "\n", "é"), maxLength: 30 }),
        fc.array(fc.string({ unit: fc.constantFrom("a", "b", "\n"), minLength: 1, maxLength: 4 }), {
          maxLength: 3,
        }),
        (text, stops) => {
          const plain = tokenizer.decode(idsOf(text));
          expect(pieces(idsOf(text), stops).join("")).toBe(upTo(plain, stops));
        },
      ),
      { numRuns: 1000 },
    );
  });
  test("that begins first counts, though one inside it is whole first", () => {
    expect(pieces(idsOf("\nba"), ["\nba", "b"]).join("")).toBe("");
    expect(pieces(idsOf("\nbb"), ["\nba", "b"]).join("")).toBe("\n");
    expect(pieces(idsOf("\nb"), ["\nba", "b"]).join("")).toBe("\n");
  });
  test("that may be beginning is held back, and given out when it is none", () => {
    const text = new TextStream(tokenizer, ["abc"]);
    const out = [..."ab"].flatMap((letter) => idsOf(letter)).map((id) => text.push(id).text);
    expect(out.join("")).toBe("");
    expect(text.push(idsOf("d")[0] ?? 0).text).toBe("abd");
  });
  test("is told of", () => {
    const text = new TextStream(tokenizer, ["b"]);
    expect(
      idsOf("ab")
        .map((id) => text.push(id).stopped)
        .at(-1),
    ).toBe(true);
    expect(text.push(5)).toEqual({ text: "", stopped: true });
  });
});
