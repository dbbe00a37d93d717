/** Facts about packing: no token is lost, branches are strangers to each other, predictors point one token back. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unpackedRows } from "../testing/unpacked-rows.ts";
import { branchIds, branchMask, packRows, predictors, rowLength } from "./packing.ts";

const token = fc.integer({ min: 0, max: 49_151 });
const someTokens = fc.array(token, { minLength: 1, maxLength: 12 });
const rowsOf = fc.array(
  fc.record({ prompt: someTokens, branches: fc.array(someTokens, { minLength: 1, maxLength: 3 }) }),
  { maxLength: 12 },
);
const budget = fc.integer({ min: 1, max: 80 });

/** What a token may attend by definition, written the slow way from the unpacked sequences. */
const owners = (prompt: number, branches: readonly number[]): number[] => [
  ...Array<number>(prompt).fill(-1),
  ...branches.flatMap((length, index) => Array<number>(length).fill(index)),
];

describe("packRows", () => {
  test("a pair is laid out as prompt, chosen, rejected with restarted positions", () => {
    const [packed] = packRows([{ prompt: [5, 6, 7], branches: [[8, 9], [10]] }], 100);
    expect(packed?.members).toEqual([0]);
    expect([...(packed?.batch.ids ?? [])]).toEqual([5, 6, 7, 8, 9, 10]);
    expect([...(packed?.batch.positions ?? [])]).toEqual([0, 1, 2, 3, 4, 3]);
    expect(packed?.batch.rows).toEqual([
      {
        start: 0,
        prompt: 3,
        branches: [
          { start: 3, length: 2 },
          { start: 5, length: 1 },
        ],
      },
    ]);
  });

  test("rows fill the first batch with room, in the given order", () => {
    const row = (length: number) => ({ prompt: [1], branches: [Array<number>(length - 1).fill(2)] });
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
            expect(row.branches.map((branch) => [...branchIds(batch, branch)])).toEqual(source?.branches);
          });
        }
      }),
    );
  });

  test("a branch in a pack has the ids, positions and predictors that it has alone", () => {
    fc.assert(
      fc.property(rowsOf, budget, (rows, tokens) => {
        const alone = new Map(
          unpackedRows(rows).map((entry) => [`${entry.row}/${entry.branch}`, entry.batch]),
        );
        for (const { batch, members } of packRows(rows, tokens)) {
          batch.rows.forEach((row, place) => {
            row.branches.forEach((branch, index) => {
              const single = alone.get(`${members[place]}/${index}`);
              const singleRow = single?.rows[0];
              const singleBranch = singleRow?.branches[0];
              if (!single || !singleRow || !singleBranch) throw new Error("the slow layout lacks a branch");
              const read = (values: Int32Array, at: Int32Array) => [...at].map((offset) => values[offset]);
              const here = predictors(row, branch);
              const there = predictors(singleRow, singleBranch);
              expect(read(batch.ids, here)).toEqual(read(single.ids, there));
              expect(read(batch.positions, here)).toEqual(read(single.positions, there));
              expect([...branchIds(batch, branch)]).toEqual([...branchIds(single, singleBranch)]);
            });
          });
        }
      }),
    );
  });

  test("an empty prompt, an empty branch, no branch or a bad budget is refused", () => {
    expect(() => packRows([{ prompt: [], branches: [[1]] }], 8)).toThrow(/empty prompt/);
    expect(() => packRows([{ prompt: [1], branches: [[1], []] }], 8)).toThrow(/empty branch/);
    expect(() => packRows([{ prompt: [1], branches: [] }], 8)).toThrow(/no branch/);
    for (const bad of [0, -1, 1.5, Number.NaN]) expect(() => packRows([], bad)).toThrow(/positive integer/);
  });
});

describe("branchMask", () => {
  test("a token attends earlier tokens of the prompt and of its own branch only", () => {
    fc.assert(
      fc.property(rowsOf, budget, (rows, tokens) => {
        for (const { batch } of packRows(rows, tokens)) {
          for (const row of batch.rows) {
            const length = rowLength(row);
            const owner = owners(
              row.prompt,
              row.branches.map((branch) => branch.length),
            );
            const expected = owner.flatMap((mine, query) =>
              owner.map((theirs, key) => Number(key <= query && (theirs === -1 || theirs === mine))),
            );
            expect(length).toBe(owner.length);
            expect([...branchMask(row)]).toEqual(expected);
          }
        }
      }),
      { numRuns: 50 },
    );
  });
});
