/** The decoding bench's own arithmetic, so that no figure rests on a mistake in the measuring. */
import { describe, expect, test } from "vitest";
import {
  compareAnswers,
  compareBandwidth,
  compareHeads,
  compareSearches,
  decodeRate,
  pool,
  type Side,
} from "../bench/decode/results.ts";

const side: Side = {
  tokens: 24,
  seconds: 3,
  prompt_seconds: 1,
  prompts: 4,
  prompt_tokens: 200,
  cpu_share: 0.9,
  first_ids: [1, 2, 3],
};
const setting = { data: "gsm8k", dtype: "bf16", against: "peer", how: "how" };
const figures = (lines: ReturnType<typeof compareAnswers>) =>
  lines.map(({ ours, peer, ratio, unit }) => [ours, peer, ratio, unit]);

describe("answers", () => {
  test("count their tokens over the whole time, and the later ones over the time after the prompts", () => {
    const slow = { ...side, seconds: 9, cpu_share: 0.5, first_ids: [1, 2, 4] };
    const lines = compareAnswers(setting, [side, side], [slow, slow]);
    expect(figures(lines)).toEqual([
      [8, 2.667, 3, "tokens/s"],
      [10, 2.5, 4, "decoded tokens/s"],
    ]);
    expect(lines[0]?.how).toBe("how; first answer alike for 2 of 3 tokens; cores had: ours 0.90, peer 0.50");
  });

  test("of other work are not compared", () => {
    for (const other of [{ tokens: 25 }, { prompts: 3 }, { prompt_tokens: 201 }]) {
      expect(() => compareAnswers(setting, [side], [{ ...side, ...other }])).toThrow(
        expect.objectContaining({ code: "E_BENCH_ROWS" }),
      );
    }
  });

  test("that took no longer than their prompts are an error", () => {
    expect(() => decodeRate({ ...side, prompt_seconds: 3 })).toThrow(
      expect.objectContaining({ code: "E_BENCH_TOKENS" }),
    );
    expect(() => pool([])).toThrow("no runs");
  });
});

test("a mix is compared with one head by seconds a token", () => {
  const lines = compareHeads(setting, [{ one: side, mix: { ...side, seconds: 3.1 } }]);
  expect(figures(lines)).toEqual([[0.105, 0.1, 1.05, "s/decoded token"]]);
});

test("searches are compared by the tokens of all their candidates, however many there are", () => {
  const lines = compareSearches(setting, [{ ...side, tokens: 60 }], [{ ...side, seconds: 6 }]);
  expect(figures(lines)).toEqual([[20, 4, 5, "candidate tokens/s"]]);
  expect(lines[0]?.how).toContain("ours 60 in 3.0 s, peer 24 in 6.0 s");
});

test("the share of the memory limit is bytes a token times tokens a second over what memory gives", () => {
  const run = { side, bytes: 2e9, bytes_per_second: 32e9 };
  const lines = compareBandwidth(setting, [run, { ...run, bytes_per_second: 40e9 }]);
  expect(figures(lines)).toEqual([[20e9, 40e9, 0.5, "bytes/s"]]);
});
