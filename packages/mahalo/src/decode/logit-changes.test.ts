/** Bias and penalties: their formula, and the tensor's copy against rows changed one by one. */
import { scope, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  changedLogits,
  isUnpenalized,
  LogitChanges,
  type LogitText,
  type Penalties,
} from "./logit-changes.ts";

const penalties = (some: Partial<Penalties> = {}): Penalties => ({
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  ...some,
});
const changed = (logits: readonly number[], some: Partial<Penalties>, text: LogitText): number[] => {
  const row = Float32Array.from(logits);
  new LogitChanges(penalties(some), text).apply(row);
  return [...row];
};

describe("a logit", () => {
  test("takes its bias first, which nothing else is needed for", () => {
    expect(changed([1, 2, 3], {}, { bias: new Map([[1, -100]]) })).toEqual([1, -98, 3]);
    // The sign that the repetition penalty looks at is the biased logit's.
    const bias = new Map([[0, -3]]);
    expect(changed([1, 2], { repetitionPenalty: 2 }, { bias, prompt: [0] })).toEqual([-4, 2]);
    expect(changed([1, 2], { repetitionPenalty: 2 }, { bias, prompt: [1] })).toEqual([-2, 1]);
  });

  test("is divided by the repetition penalty where positive and multiplied where negative, once for prompt and answer", () => {
    const text = { prompt: [0, 0, 1], answer: [1, 2] };
    expect(changed([4, -4, 6, 8], { repetitionPenalty: 2 }, text)).toEqual([2, -8, 3, 8]);
  });

  test("falls by frequency for each time in the answer, and by presence once; the prompt does not count", () => {
    const text = { prompt: [0, 0, 0], answer: [1, 1, 2] };
    expect(changed([5, 5, 5, 5], { frequencyPenalty: 0.5 }, text)).toEqual([5, 4, 4.5, 5]);
    expect(changed([5, 5, 5, 5], { presencePenalty: 2 }, text)).toEqual([5, 3, 3, 5]);
    expect(changed([5, 5, 5, 5], { presencePenalty: -1, frequencyPenalty: -0.25 }, text)).toEqual([
      5, 6.5, 6.25, 5,
    ]);
  });

  test("is repeated before frequency and presence are taken off", () => {
    const all = { repetitionPenalty: 2, frequencyPenalty: 1, presencePenalty: 0.5 };
    expect(changed([6], all, { bias: new Map([[0, 2]]), answer: [0, 0] })).toEqual([1.5]);
  });
});

test("tokens that come are counted as those that were there, and a copy counts for itself", () => {
  const some = { repetitionPenalty: 1.5, frequencyPenalty: 0.5, presencePenalty: 0.25 };
  const bias = new Map([[3, 1]]);
  const grown = new LogitChanges(penalties(some), { bias, prompt: [1] });
  grown.accept(2);
  const copy = grown.fork();
  for (const id of [2, 0]) grown.accept(id);
  const row = (changes: LogitChanges): number[] => [0, 1, 2, 3].map((id) => changes.of(id, 4));
  expect(row(grown)).toEqual(
    row(new LogitChanges(penalties(some), { bias, prompt: [1], answer: [2, 2, 0] })),
  );
  expect(row(copy)).toEqual(row(new LogitChanges(penalties(some), { bias, prompt: [1], answer: [2] })));
});

test("without penalties used tokens are not looked at", () => {
  expect(isUnpenalized(penalties())).toBe(true);
  expect([...new LogitChanges(penalties(), { prompt: [1, 2], answer: [3] }).ids]).toEqual([]);
  expect([...new LogitChanges(penalties({ presencePenalty: 1 }), { prompt: [1], answer: [3] }).ids]).toEqual([
    3,
  ]);
  expect([
    ...new LogitChanges(penalties(), {
      bias: new Map([
        [4, 0],
        [5, 1],
      ]),
    }).ids,
  ]).toEqual([5]);
});

const size = 40;
const id = fc.nat(size - 1);
const row = fc.record({
  some: fc.record({
    repetitionPenalty: fc.constantFrom(1, 0.7, 1.3),
    frequencyPenalty: fc.constantFrom(0, 0.31, -2),
    presencePenalty: fc.constantFrom(0, 1.7, -0.6),
  }),
  bias: fc.array(fc.tuple(id, fc.double({ min: -100, max: 100, noNaN: true })), { maxLength: 5 }),
  prompt: fc.array(id, { maxLength: 20 }),
  answer: fc.array(id, { maxLength: 20 }),
  logits: fc.array(fc.float({ min: -40, max: 40, noNaN: true }), { minLength: size, maxLength: size }),
});

test.each(["float32", "bfloat16"] as const)(
  "a copy of %s rows is each row changed by itself, bit for bit, and the rows stay",
  (dtype) => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 4 }), (rows) => {
        const changes = rows.map(
          ({ some, bias, ...text }) => new LogitChanges(some, { ...text, bias: new Map(bias) }),
        );
        scope(() => {
          const flat = Float32Array.from(rows.flatMap(({ logits }) => logits));
          const logits_NV = tensor(flat, { shape: [rows.length, size] }).to(dtype);
          const before = logits_NV.toFloat32Array();
          const expected = before.slice();
          for (const [index, change] of changes.entries())
            change.apply(expected.subarray(index * size, (index + 1) * size));
          const copy = changedLogits(logits_NV, changes);
          expect([copy.dtype, copy.shape]).toEqual(["float32", [rows.length, size]]);
          expect(copy.toFloat32Array()).toEqual(expected);
          expect(logits_NV.toFloat32Array()).toEqual(before);
        });
      }),
    );
  },
);
