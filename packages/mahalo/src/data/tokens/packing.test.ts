/** Facts about packing: no token is lost, completions are strangers to each other, predictors point one token back. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unpackedRows } from "../testing/unpacked-rows.ts";
import { completionIds, completionMask, packRows, predictors, rowLength } from "./packing.ts";

const token = fc.integer({ min: 0, max: 49_151 });
const someTokens = fc.array(token, { minLength: 1, maxLength: 12 });
const rowsOf = fc.array(
  fc.record({ prompt: someTokens, completions: fc.array(someTokens, { minLength: 1, maxLength: 3 }) }),
  { maxLength: 12 },
);
const budget = fc.integer({ min: 1, max: 80 });

/** What a token may attend by definition, written the slow way from the unpacked sequences. */
const owners = (prompt: number, completions: readonly number[]): number[] => [
  ...Array<number>(prompt).fill(-1),
  ...completions.flatMap((length, index) => Array<number>(length).fill(index)),
];

describe("packRows", () => {
  test("a pair is laid out as prompt, chosen, rejected with restarted positions", () => {
    const [packed] = packRows([{ prompt: [5, 6, 7], completions: [[8, 9], [10]] }], 100);
    expect(packed?.members).toEqual([0]);
    expect([...(packed?.batch.ids ?? [])]).toEqual([5, 6, 7, 8, 9, 10]);
    expect([...(packed?.batch.positions ?? [])]).toEqual([0, 1, 2, 3, 4, 3]);
    expect(packed?.batch.rows).toEqual([
      {
        start: 0,
        prompt: 3,
        completions: [
          { start: 3, length: 2 },
          { start: 5, length: 1 },
        ],
      },
    ]);
  });

  test("rows fill the first batch with room, in the given order", () => {
    const row = (length: number) => ({ prompt: [1], completions: [Array<number>(length - 1).fill(2)] });
    const members = packRows([row(6), row(7), row(4), row(3), row(2)], 10).map((packed) => packed.members);
    expect(members).toEqual([[0, 2], [1, 3], [4]]);
  });

  test("every row is in exactly one batch, token for token, and budgets hold", () => {
    fc.assert(
      fc.property(rowsOf, budget, (rows, tokens) => {
        const batches = packRows(rows, tokens);
        expect(batches.flatMap(({ members }) => members).sort((a, b) => a - b)).toEqual([...rows.keys()]);
        for (const { batch, members } of batches) {
          expect(batch.ids.length <= tokens || members.length === 1).toBe(true);
          expect(members).toEqual([...members].sort((a, b) => a - b));
          expect(batch.rows.reduce((sum, row) => sum + rowLength(row), 0)).toBe(batch.ids.length);
          batch.rows.forEach((row, place) => {
            const source = rows[members[place] ?? -1];
            expect([...batch.ids.subarray(row.start, row.start + row.prompt)]).toEqual(source?.prompt);
            expect(row.completions.map((completion) => [...completionIds(batch, completion)])).toEqual(
              source?.completions,
            );
          });
        }
      }),
    );
  });

  test("a completion in a pack has the ids, positions and predictors that it has alone", () => {
    fc.assert(
      fc.property(rowsOf, budget, (rows, tokens) => {
        const alone = new Map(
          unpackedRows(rows).map((entry) => [`${entry.row}/${entry.completion}`, entry.batch]),
        );
        for (const { batch, members } of packRows(rows, tokens)) {
          batch.rows.forEach((row, place) => {
            row.completions.forEach((completion, index) => {
              const single = alone.get(`${members[place]}/${index}`);
              const singleRow = single?.rows[0];
              const singleBranch = singleRow?.completions[0];
              if (!single || !singleRow || !singleBranch)
                throw new Error("the slow layout lacks a completion");
              const read = (values: Int32Array, at: Int32Array) => [...at].map((offset) => values[offset]);
              const here = predictors(row, completion);
              const there = predictors(singleRow, singleBranch);
              expect(read(batch.ids, here)).toEqual(read(single.ids, there));
              expect(read(batch.positions, here)).toEqual(read(single.positions, there));
              expect([...completionIds(batch, completion)]).toEqual([...completionIds(single, singleBranch)]);
            });
          });
        }
      }),
    );
  });

  test("an empty prompt, an empty completion, no completion or a bad budget is refused", () => {
    expect(() => packRows([{ prompt: [], completions: [[1]] }], 8)).toThrow(/empty prompt/);
    expect(() => packRows([{ prompt: [1], completions: [[1], []] }], 8)).toThrow(/empty completion/);
    expect(() => packRows([{ prompt: [1], completions: [] }], 8)).toThrow(/no completion/);
    for (const bad of [0, -1, 1.5, Number.NaN]) expect(() => packRows([], bad)).toThrow(/positive integer/);
  });
});

describe("completionMask", () => {
  test("a token attends earlier tokens of the prompt and of its own completion only", () => {
    fc.assert(
      fc.property(rowsOf, budget, (rows, tokens) => {
        for (const { batch } of packRows(rows, tokens)) {
          for (const row of batch.rows) {
            const length = rowLength(row);
            const owner = owners(
              row.prompt,
              row.completions.map((completion) => completion.length),
            );
            const expected = owner.flatMap((mine, query) =>
              owner.map((theirs, key) => Number(key <= query && (theirs === -1 || theirs === mine))),
            );
            expect(length).toBe(owner.length);
            expect([...completionMask(row)]).toEqual(expected);
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});
