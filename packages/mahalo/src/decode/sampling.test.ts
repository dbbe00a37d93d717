/** Sampling: settings, the distribution they leave, and draws from it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Random, rng } from "../core/random.ts";
import { LogitChanges } from "./logit-changes.ts";
import {
  chooseToken,
  drawToken,
  isPlainGreedy,
  type Sampling,
  type SamplingInput,
  samplingContent,
  samplingFor,
  samplingOf,
  tokenDistribution,
} from "./sampling.ts";

const logits = (...values: number[]): Float32Array => Float32Array.from(values);

/** Probability of every token. */
const probabilities = (values: Float32Array, input: SamplingInput, used: number[] = []): number[] => {
  const sampling = samplingOf(input);
  const changes = new LogitChanges(sampling, { prompt: used });
  const { ids, weights } = tokenDistribution(values.slice(), sampling, changes);
  const all = new Array<number>(values.length).fill(0);
  for (const [i, id] of ids.entries()) all[id] = weights[i] ?? 0;
  return all;
};
const kept = (values: Float32Array, input: SamplingInput, used: number[] = []): number[] =>
  probabilities(values, input, used).flatMap((p, id) => (p > 0 ? [id] : []));

/** The same filters written the slow way, over a full sort: transformers' warpers in their order. */
const slow = (
  values: number[],
  { temperature, topK, topP, minP }: Pick<Sampling, "temperature" | "topK" | "topP" | "minP">,
) => {
  const scaled = values.map((value) => value / temperature);
  const order = [...scaled.keys()].sort((a, b) => (scaled[b] ?? 0) - (scaled[a] ?? 0) || a - b);
  const least =
    topK > 0 ? (scaled[order[Math.min(topK, order.length) - 1] ?? 0] ?? 0) : Number.NEGATIVE_INFINITY;
  let some = order.filter((id) => (scaled[id] ?? 0) >= least);
  const softmax = (ids: number[]): number[] => {
    const largest = Math.max(...ids.map((id) => scaled[id] ?? 0));
    const weights = ids.map((id) => Math.exp((scaled[id] ?? 0) - largest));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => weight / sum);
  };
  let sum = 0;
  some =
    topP >= 1
      ? some
      : some.filter((_, i) => {
          const before = sum;
          sum += softmax(some)[i] ?? 0;
          return i === 0 || before < topP;
        });
  const shares = softmax(some);
  const bound = minP * Math.max(...shares);
  return some.filter((_, i) => (shares[i] ?? 0) >= bound).sort((a, b) => a - b);
};

describe("the distribution", () => {
  test("at temperature 0 is the likeliest token, the first of equals", () => {
    expect(probabilities(logits(1, 3, 3, 2), {})).toEqual([0, 1, 0, 0]);
  });
  test("is softmax of the logits over the temperature", () => {
    const p = probabilities(logits(0, Math.log(3)), { temperature: 1 });
    expect(p[0]).toBeCloseTo(0.25, 6);
    const cold = probabilities(logits(0, Math.log(3)), { temperature: 0.5 });
    expect(cold[0]).toBeCloseTo(0.1, 6);
  });
  test("keeps the k likeliest and what equals the last of them", () => {
    expect(kept(logits(5, 4, 3, 2), { temperature: 1, topK: 2 })).toEqual([0, 1]);
    expect(kept(logits(5, 3, 3, 2), { temperature: 1, topK: 2 })).toEqual([0, 1, 2]);
    expect(kept(logits(5, 3, 3, 2), { temperature: 1, topK: 9 })).toEqual([0, 1, 2, 3]);
  });
  test("keeps the fewest tokens that hold the share top-p, at least one", () => {
    const half = logits(Math.log(0.5), Math.log(0.3), Math.log(0.2));
    expect(kept(half, { temperature: 1, topP: 0.49 })).toEqual([0]);
    expect(kept(half, { temperature: 1, topP: 0.6 })).toEqual([0, 1]);
    expect(kept(half, { temperature: 1, topP: 0.9 })).toEqual([0, 1, 2]);
    expect(kept(half, { temperature: 1, topP: 0 })).toEqual([0]);
  });
  test("leaves out tokens below the share min-p of the likeliest", () => {
    const values = logits(0, Math.log(0.5), Math.log(0.09));
    expect(kept(values, { temperature: 1, minP: 0.1 })).toEqual([0, 1]);
    expect(kept(values, { temperature: 1, minP: 1 })).toEqual([0]);
  });
  test("makes used tokens less likely on either side of zero", () => {
    expect(probabilities(logits(2, 1.5), { repetitionPenalty: 2 }, [0])).toEqual([0, 1]);
    expect(probabilities(logits(-1, -1.5), { repetitionPenalty: 2 }, [0, 0, 0])).toEqual([0, 1]);
  });
  test("is that of the slow filters, whatever the logits and settings", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -400, max: 400 }), { minLength: 1, maxLength: 60 }),
        fc.record({
          temperature: fc.constantFrom(0.25, 0.7, 1, 2),
          topK: fc.integer({ min: 0, max: 12 }),
          topP: fc.constantFrom(0.05, 0.31, 0.77, 0.95, 1),
          minP: fc.constantFrom(0, 0.013, 0.21),
        }),
        (tenths, settings) => {
          const values = [...new Set(tenths)].map((value) => value / 10);
          expect(kept(Float32Array.from(values), settings)).toEqual(slow(values, settings));
        },
      ),
    );
  });
  test("of logits that are no numbers is an error, not a pick", () => {
    for (const bad of [logits(Number.NaN, Number.NaN), logits(Number.NEGATIVE_INFINITY)]) {
      expect(() => tokenDistribution(bad, samplingOf({ temperature: 1 }))).toThrow(/not finite/);
    }
  });
});

describe("draws", () => {
  test("come as often as their probabilities say (chi-square, 3 degrees of freedom)", () => {
    const values = logits(0, 1, 2, 0.5);
    const expected = probabilities(values, { temperature: 1 });
    const random = rng(7, "test");
    const draws = 20_000;
    const counts = [0, 0, 0, 0];
    const distribution = tokenDistribution(values.slice(), samplingOf({ temperature: 1 }));
    for (let i = 0; i < draws; i++) {
      const id = drawToken(distribution, random);
      counts[id] = (counts[id] ?? 0) + 1;
    }
    const chiSquare = counts.reduce((sum, count, id) => {
      const mean = draws * (expected[id] ?? 0);
      return sum + (count - mean) ** 2 / mean;
    }, 0);
    // 99.9% quantile; the seed is fixed, so this fails when the sampler changes for the worse and never by chance.
    expect(chiSquare).toBeLessThan(16.27);
  });
  test("take one number of the stream each, greedy or not", () => {
    const one = rng(1, "a");
    const other = rng(1, "a");
    drawToken(tokenDistribution(logits(1, 2), samplingOf({})), one);
    drawToken(tokenDistribution(logits(1, 2), samplingOf({ temperature: 1 })), other);
    const rest = (random: Random): number[] => Array.from({ length: 8 }, () => random.bits());
    expect(rest(one)).toEqual(rest(other));
  });
});

describe("settings", () => {
  test("that are wrong are errors that name the field", () => {
    expect(() => samplingOf({ topP: 1.5 })).toThrow(/sampling: topP/);
    expect(() => samplingOf({ temperature: -1 })).toThrow(/temperature/);
    expect(() => samplingOf({ frequencyPenalty: 2.1 })).toThrow(/sampling: frequencyPenalty/);
    expect(() => samplingOf({ presencePenalty: -3 })).toThrow(/presencePenalty/);
    expect(() => samplingOf(JSON.parse('{"top_k": 3}'))).toThrow(/top_k/);
  });
  test("are the makers' where the caller says nothing", () => {
    expect(samplingFor({ sample: true, temperature: 0.6, topP: 0.9 })).toMatchObject({
      temperature: 0.6,
      topP: 0.9,
    });
    expect(samplingFor({ sample: true, topK: 20 })).toMatchObject({ temperature: 1, topK: 20 });
    expect(samplingFor({ temperature: 0.6 })).toMatchObject({ temperature: 0 });
    expect(samplingFor({ sample: true, temperature: 0.6 }, { temperature: 0 })).toMatchObject({
      temperature: 0,
    });
    expect(samplingFor({}, { temperature: undefined, topK: 3 })).toMatchObject({ temperature: 0, topK: 3 });
  });
  test("name what was made without the later penalties as before", () => {
    const { frequencyPenalty: _, presencePenalty: __, ...before } = samplingOf({ temperature: 1 });
    expect(samplingContent(samplingOf({ temperature: 1 }))).toEqual(before);
    expect(samplingContent(samplingOf({ presencePenalty: 1 }))).toMatchObject({ presencePenalty: 1 });
  });
  test("are plainly greedy without temperature and penalty", () => {
    expect(isPlainGreedy(samplingOf({}))).toBe(true);
    expect(isPlainGreedy(samplingOf({ repetitionPenalty: 1.1 }))).toBe(false);
    expect(isPlainGreedy(samplingOf({ frequencyPenalty: 0.1 }))).toBe(false);
    expect(isPlainGreedy(samplingOf({ presencePenalty: -0.1 }))).toBe(false);
    expect(isPlainGreedy(samplingOf({ temperature: 0.1 }))).toBe(false);
  });
});

test("a draw from all tokens is, number for number, the one through the list of all", () => {
  const number = fc.float({ min: -40, max: 40, noNaN: true });
  fc.assert(
    fc.property(
      fc.array(number, { minLength: 1, maxLength: 60 }),
      fc.constantFrom(0.1, 0.7, 1, 3),
      fc.constantFrom(1, 1.3),
      fc.nat(1000),
      (values, temperature, repetitionPenalty, seed) => {
        const sampling = samplingOf({ temperature, repetitionPenalty });
        const draw = (direct: boolean): number[] => {
          const random = rng(seed, "draws");
          const changes = new LogitChanges(sampling, { prompt: [0, 1] });
          return Array.from({ length: 5 }, () =>
            chooseToken(Float32Array.from(values), sampling, changes, random, { direct }),
          );
        };
        expect(draw(true)).toEqual(draw(false));
      },
    ),
  );
  const random = rng(1, "draws");
  expect(() =>
    chooseToken(Float32Array.of(Number.NaN), samplingOf({ temperature: 1 }), undefined, random),
  ).toThrow(/not finite/);
});
