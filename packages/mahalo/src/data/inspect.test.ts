/** Facts about inspection: what is shown is what training gets, and no row can steer the terminal. */
import { describe, expect, test } from "vitest";
import { firstOfEach, inspectRows, renderRows, renderSummary, summarizeRows } from "./inspect.ts";
import type { EncodedExample, EncodedPair, EncodedSteps } from "./tokens/encode.ts";
import type { Tokenizer } from "./tokens/tokenizer.ts";

const words = ["<|end|>", "Hi", " there", "\n", "Yes", " no", "\x1b[31m"];
const tokenizer: Tokenizer = {
  encode: (text) => [words.indexOf(text)],
  decode: (ids) => ids.map((id) => words[id] ?? "").join(""),
  specialIds: new Set([0]),
  eosIds: [0],
  vocabSize: words.length,
};
const origin = { file: "values.jsonl", line: 118 };
const pair: EncodedPair = {
  objective: "kind",
  prompt: [1, 2, 3],
  chosen: [4, 0],
  rejected: [5, 6, 0],
  origin,
};
const example: EncodedExample = { objective: "sft", prompt: [1], response: [4, 0], origin };

const steps: EncodedSteps = {
  objective: "right",
  prompt: [1],
  response: [4, 3, 5, 3, 4, 0],
  ends: [2, 4, 6],
  labels: [0.7, null, 1],
  origin,
};

describe("steps", () => {
  test("of a row that labels them are marked behind their last token, with their labels", () => {
    const rows = inspectRows([steps], tokenizer, { by: "turn" });
    expect(rows[0]?.parts.map((part) => part.steps)).toEqual([
      undefined,
      [
        { end: 2, label: 0.7 },
        { end: 4, label: null },
        { end: 6, label: 1 },
      ],
    ]);
    const text = renderRows(rows);
    expect(text).toContain("trained, 3 steps");
    expect(text).toContain("Yes│⏎⟦1: 0.7⟧\n    │ no│⏎⟦2: no label⟧\n    │Yes│<|end|>⟦3: 1⟧");
    expect(renderRows(rows, { colour: true })).toContain("\x1b[1m⟦1: 0.7⟧\x1b[0m");
    expect(renderSummary(summarizeRows([steps]))).toContain("; 3 steps, 2 with a label, 0.850 on average");
  });

  test("of other rows are where a named boundary cuts them", () => {
    const long = { ...pair, chosen: [4, 3, 5, 0] };
    const parts = inspectRows([long], tokenizer, { by: "line" })[0]?.parts.map((part) => part.steps);
    expect(parts).toEqual([undefined, [{ end: 2 }, { end: 4 }], [{ end: 3 }]]);
    expect(renderRows(inspectRows([long], tokenizer, { by: "line" }))).toContain("⏎⟦1⟧\n");
    expect(renderRows(inspectRows([long], tokenizer))).not.toContain("⟦");
  });
});

describe("inspectRows", () => {
  test("a pair is shown with restarted positions, its mask and what is trained", () => {
    const [row] = inspectRows([pair], tokenizer);
    expect(row).toMatchObject({ objective: "kind", origin: "values.jsonl:118", tokens: 8 });
    expect(row?.parts.map(({ name, trained, sees }) => ({ name, trained, sees }))).toEqual([
      { name: "prompt", trained: false, sees: ["prompt"] },
      { name: "chosen", trained: true, sees: ["prompt", "chosen"] },
      { name: "rejected", trained: true, sees: ["prompt", "rejected"] },
    ]);
    expect(row?.parts.map(({ tokens }) => tokens.map(({ position }) => position))).toEqual([
      [0, 1, 2],
      [3, 4],
      [3, 4, 5],
    ]);
    expect(row?.parts[1]?.tokens[1]).toEqual({ id: 0, text: "<|end|>", position: 4, special: true });
    expect(inspectRows([example], tokenizer)[0]?.parts.map(({ name }) => name)).toEqual([
      "prompt",
      "response",
    ]);
  });

  test("plain text has bars between tokens and no control characters", () => {
    const text = renderRows(inspectRows([pair], tokenizer));
    expect(text).toContain("kind  values.jsonl:118  8 tokens in one packed row");
    expect(text).toContain("prompt: 3 tokens, positions 0 to 2, sees itself, not trained");
    expect(text).toContain("chosen: 2 tokens, positions 3 to 4, sees prompt and itself, trained");
    expect(text).toContain("Hi│ there│⏎\n");
    expect(text).toContain(" no│\\x1b[31m│<|end|>");
    expect(text).not.toContain("\x1b");
  });

  test("colours tell parts and special tokens apart", () => {
    const text = renderRows(inspectRows([pair], tokenizer), { colour: true });
    expect(text).toContain("\x1b[32mYes\x1b[0m\x1b[32;7;4m<|end|>\x1b[0m");
    expect(text).toContain("\x1b[31m no\x1b[0m");
    expect(text).toContain("\x1b[31;4m\\x1b[31m\x1b[0m");
  });

  test("a summary counts rows and tokens of each objective", () => {
    const rows = [pair, { ...pair, chosen: [4, 4, 4, 0] }, example];
    const summary = summarizeRows(rows);
    expect(summary[0]).toEqual({
      objective: "kind",
      rows: 2,
      tokens: 18,
      parts: {
        prompt: { median: 3, longest: 3 },
        chosen: { median: 2, longest: 4 },
        rejected: { median: 3, longest: 3 },
      },
    });
    expect(renderSummary(summary)).toContain(
      "sft: 1 row, 3 tokens; median tokens: prompt 1 (at most 1), response 2",
    );
    expect(firstOfEach(rows, 1)).toEqual([pair, example]);
  });
});
