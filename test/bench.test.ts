/** The benches' own arithmetic and rows, so that no figure rests on a mistake in the measuring. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cacheFolder } from "@mahalo/torch";
import { afterAll, describe, expect, test } from "vitest";
import { ours, runForResult } from "../bench/child.ts";
import { measureRates, modelProducts, trainingFlops } from "../bench/gemm.ts";
import * as generation from "../bench/generate/results.ts";
import { best } from "../bench/lines.ts";
import { count, names } from "../bench/options.ts";
import * as reward from "../bench/reward/results.ts";
import { readResponses } from "../bench/reward/tasks.ts";
import { buildRows, readRows, sequenceTokens, writeRows } from "../bench/rows.ts";
import {
  compare,
  efficiency,
  type OursResult,
  oursSchema,
  type PeerResult,
  pool,
} from "../bench/train/results.ts";
import { openModelSource } from "../packages/mahalo/src/model/folder/source.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-bench-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const peer: PeerResult = {
  pairs_per_second: 0.5,
  seconds: 8,
  pairs: 4,
  tokens_per_pair: 300,
  peak_memory_bytes: 9e9,
  loaded_memory_bytes: 1e9,
  cpu_share: 0.9,
  loss: 0.69,
};
const own: OursResult = {
  ...peer,
  pairs_per_second: 2,
  seconds: 2,
  peak_memory_bytes: 3e9,
  reference_seconds: 1,
  packed_tokens_per_pair: 200,
  response_tokens_per_pair: 120,
  flops_per_pair: 1e11,
  gemm_cube: 4e11,
  gemm_model: 2.5e11,
};
const setting = { data: "gsm8k", dtype: "bf16", against: "trl_dpo", how: "so" };

describe("lines", () => {
  test("speed and memory are ours over the peer's", () => {
    expect(compare(setting, own, peer)).toMatchObject([
      { bench: "train", ours: 2, peer: 0.5, ratio: 4, unit: "pairs/s" },
      { ours: 3e9, peer: 9e9, ratio: 0.3333, unit: "bytes" },
    ]);
  });

  test("sides that trained on other rows are not compared", () => {
    const other = { ...peer, tokens_per_pair: 301 };
    expect(() => compare(setting, own, other)).toThrow(expect.objectContaining({ code: "E_BENCH_ROWS" }));
  });

  test("runs are pooled by their time, not by their rates", () => {
    const pooled = pool([peer, { ...peer, seconds: 24, pairs_per_second: 4 / 24, cpu_share: 0.5 }]);
    expect(pooled).toMatchObject({ pairs: 8, seconds: 32, pairs_per_second: 0.25, cpu_share: 0.5 });
  });

  test("efficiency is useful operations over the best measured rate", () => {
    const lines = efficiency("gsm8k", "bf16", [own, { ...own, gemm_cube: 5e11 }]);
    expect(lines.map(({ ours: rate, ratio }) => [rate, ratio])).toEqual([
      [200, 0.4],
      [200, 0.8],
    ]);
  });

  test("each side is taken in the dtype that is best for it", () => {
    const lines = ["f32", "bf16"].flatMap((dtype, index) =>
      ["trl_dpo", "trl_dpo+bf16-weights"].flatMap((against, more) =>
        compare({ ...setting, dtype, against }, own, { ...peer, pairs_per_second: 0.4 + index * 0.2 + more }),
      ),
    );
    expect(best(lines.filter(({ unit }) => unit === "pairs/s"))).toMatchObject([
      {
        dtype: "best",
        against: "trl_dpo",
        peer: 1.6,
        ratio: 1.25,
        how: expect.stringContaining("+bf16-weights in bf16"),
      },
    ]);
  });
});

describe("rewards", () => {
  const measured = { seconds: 2, cpu_share: 0.9, peak_memory_bytes: 1e9 };
  const scored: reward.Scored = { ...measured, responses: 2, scores: [0.25, 0.5, 0.75] };
  const rolled: reward.Rolled = { ...measured, prefixes: 3, samples: 2, new_tokens: 60 };

  test("steps and sampled tokens a second, over all rounds", () => {
    const slow = { ...scored, seconds: 6, scores: [0.25, 0.5, 0.7505] };
    const f32 = { ...setting, dtype: "f32" };
    expect(reward.compareScored(f32, [scored, scored], [slow, slow])).toMatchObject([
      { bench: "reward", ours: 1.5, peer: 0.5, ratio: 3, unit: "steps/s" },
      { ours: 1e9, peer: 1e9, unit: "bytes" },
    ]);
    expect(reward.compareRolled(f32, [rolled], [{ ...rolled, seconds: 6 }])[0]).toMatchObject({
      ours: 30,
      peer: 10,
      unit: "sampled tokens/s",
    });
  });

  test("sides of other scores, or of other work, are not compared", () => {
    const f32 = { ...setting, dtype: "f32" };
    const code = expect.objectContaining({ code: "E_BENCH_ROWS" });
    for (const scores of [
      [0.25, 0.5],
      [0.25, 0.5, 0.76],
      [0.25, 0.5, Number.NaN],
    ]) {
      expect(() => reward.compareScored(f32, [scored], [{ ...scored, scores }])).toThrow(code);
    }
    for (const other of [{ prefixes: 4 }, { samples: 3 }, { new_tokens: 61 }]) {
      expect(() => reward.compareRolled(f32, [rolled], [{ ...rolled, ...other }])).toThrow(code);
    }
  });

  test("responses are read back whole, and broken ones refused with their line", () => {
    const path = join(folder, "responses.jsonl");
    const line = { prompt_ids: [1], response_ids: [2, 3], ends: [1, 2] };
    writeFileSync(path, `${JSON.stringify(line)}\n${JSON.stringify({ ...line, ends: [] })}\n`);
    expect(() => readResponses(path)).toThrow(/responses\.jsonl:2/);
    writeFileSync(path, `${JSON.stringify(line)}\n`);
    expect(readResponses(path)).toEqual([line]);
  });
});

describe("generation", () => {
  const side: generation.Side = {
    single: { batch: 1, tokens: 20, seconds: 5, prompt_seconds: 2, cpu_share: 0.9 },
    batched: { batch: 2, tokens: 20, seconds: 3, prompt_seconds: 1, cpu_share: 0.8 },
    new_tokens: 10,
    prompts: 2,
    prompt_tokens: 50,
    peak_memory_bytes: 2e9,
    loaded_memory_bytes: 1e9,
    first_ids: [1, 2, 3, 4],
  };
  const slow: generation.Side = {
    ...side,
    single: { ...side.single, seconds: 10, prompt_seconds: 1 },
    first_ids: [1, 2, 9, 4],
    peak_memory_bytes: 4e9,
  };

  test("is decoding proper without the first tokens and their time, and prompts without the rest", () => {
    expect(generation.ratesOf([side], "single")).toEqual({ whole: 4, decode: 18 / 3, prompt: 100 / 2 });
    expect(generation.ratesOf([side], "batched")).toEqual({ whole: 20 / 3, decode: 18 / 2, prompt: 100 });
  });

  test("of several rounds is their tokens over their time", () => {
    expect(generation.ratesOf([side, slow], "single")).toEqual({
      whole: 40 / 15,
      decode: 36 / 12,
      prompt: 200 / 3,
    });
  });

  test("without a time to decode in has no rate", () => {
    const none = { ...side, single: { ...side.single, prompt_seconds: 5 } };
    expect(() => generation.ratesOf([none], "single")).toThrow(
      expect.objectContaining({ code: "E_BENCH_TOKENS" }),
    );
  });

  test("compares one stream and a batch in all, in decoding, in prompts, and in memory", () => {
    const lines = generation.compare(setting, [side], [slow]);
    expect(lines.map(({ data, unit, ratio }) => [data, unit, ratio])).toEqual([
      ["gsm8k, one stream", "tokens/s", 2],
      ["gsm8k, one stream", "decoded tokens/s", 3],
      ["gsm8k, one stream", "prompt tokens/s", 0.5],
      ["gsm8k, 2 side by side", "tokens/s", 1],
      ["gsm8k, 2 side by side", "decoded tokens/s", 1],
      ["gsm8k, 2 side by side", "prompt tokens/s", 1],
      ["gsm8k", "bytes", 0.5],
    ]);
    expect(lines[0]?.how).toContain("first answer alike for 2 of 4 tokens; cores had: ours 0.90, peer 0.90");
    const { batched: _, ...single } = side;
    expect(generation.compare(setting, [single], [single])).toHaveLength(4);
  });

  test("of other prompts, or another number of tokens, is not compared", () => {
    for (const other of [{ prompt_tokens: 51 }, { prompts: 3 }, { new_tokens: 11 }]) {
      expect(() => generation.compare(setting, [side], [{ ...side, ...other }])).toThrow(
        expect.objectContaining({ code: "E_BENCH_ROWS" }),
      );
    }
  });
});

test("a wrong option is named, with the nearest that there is", () => {
  expect(names("dtype", "bf16, f32", ["f32", "bf16"])).toEqual(["bf16", "f32"]);
  expect(() => names("dtype", "bf61", ["f32", "bf16"])).toThrow(
    '--dtype: unknown "bf61". Did you mean "bf16"?',
  );
  expect(count("new-tokens", "2", 2)).toBe(2);
  expect(() => count("rounds", "0")).toThrow('--rounds: "0" is not a positive integer');
  expect(() => count("new-tokens", "1", 2)).toThrow('--new-tokens: "1" is not an integer of at least 2');
});

test("useful operations are six for each weight and token that it reads", async () => {
  const { config } = await openModelSource(tiny);
  const products = modelProducts(config, { tokens: 10, responses: 4 });
  const { hiddenSize: d, layers, heads, kvHeads, headDim: e, intermediateSize: i, vocabSize: v } = config;
  const backbone = layers * (d * (heads + 2 * kvHeads) * e + heads * e * d + 3 * d * i);
  expect(trainingFlops(products)).toBe(6 * (10 * backbone + 4 * d * v));
  const rates = measureRates(products, "float32", 1);
  expect(rates.cube).toBeGreaterThan(0);
  expect(rates.model).toBeGreaterThan(0);
});

const tiny = fileURLToPath(new URL("golden/data/models/tiny-llama", import.meta.url));

test("a child that fails is an error that shows why", async () => {
  const failing = runForResult(
    ours("train/ours.ts", ["--threads", "1", "--rows", join(folder, "none.jsonl")]),
    oursSchema,
  );
  await expect(failing).rejects.toMatchObject({
    code: "E_BENCH_CHILD",
    message: expect.stringContaining("ENOENT"),
  });
});

const mirror = process.env.MAHALO_MIRROR ?? fileURLToPath(new URL("../../shared/hub", import.meta.url));
const missing = [mirror, join(cacheFolder(), "models")].filter((path) => !existsSync(path));
if (missing.length > 0) console.warn(`${missing.join(", ")} not there: the bench's rows are not built`);

test.skipIf(missing.length > 0 && process.env.CI !== "true")(
  "rows of both data sets have both objectives by turns, and survive their file",
  async () => {
    process.env.MAHALO_MIRROR = mirror;
    const source = await openModelSource("smollm2-135m-instruct");
    for (const data of ["gsm8k", "tutoring"] as const) {
      const rows = await buildRows(data, source, 4);
      expect(rows.map(({ objective }) => objective)).toEqual([
        "accuracy",
        "engagement",
        "accuracy",
        "engagement",
      ]);
      expect(new Set(rows.map(({ prompt_ids }) => prompt_ids.join())).size).toBe(4);
      for (const row of rows) {
        expect(row.prompt_ids.length).toBeLessThanOrEqual(512);
        const longest = Math.max(row.chosen_ids.length, row.rejected_ids.length);
        expect(row.prompt_ids.length + longest).toBeLessThanOrEqual(1024);
        expect(sequenceTokens(row)).toBeGreaterThan(2 * row.prompt_ids.length);
      }
      const path = join(folder, `${data}.jsonl`);
      await writeRows(path, rows);
      expect(readRows(path)).toEqual(rows);
    }
  },
);
