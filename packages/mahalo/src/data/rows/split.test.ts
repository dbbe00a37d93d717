/** Facts about splitting: no prompt on both sides, shares hold, and the seed alone decides. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { limitRows, splitRows } from "./split.ts";

type Row = { objective: string; prompt: string; index: number };

const rowsOf = fc
  .array(
    fc.record({
      objective: fc.constantFrom("a", "b", "c"),
      prompt: fc.integer({ min: 0, max: 30 }).map(String),
    }),
    {
      maxLength: 60,
    },
  )
  .map((rows) => rows.map((row, index): Row => ({ ...row, index })));
const many = (objective: string, count: number): Row[] =>
  Array.from({ length: count }, (_, index) => ({ objective, prompt: `${index}`, index }));

describe("splitRows", () => {
  test("every row is on one side, all rows of a prompt on the same", () => {
    fc.assert(
      fc.property(rowsOf, fc.double({ min: 0, max: 0.5, noNaN: true }), fc.nat(), (rows, heldOut, seed) => {
        let split: { train: Row[]; heldOut: Row[] };
        try {
          split = splitRows(rows, { seed, heldOut });
        } catch (error) {
          expect(error).toMatchObject({ code: "E_DATA_SPLIT" });
          return;
        }
        expect([...split.train, ...split.heldOut].map(({ index }) => index).sort((a, b) => a - b)).toEqual([
          ...rows.keys(),
        ]);
        const seen = new Set(split.train.map(({ prompt }) => prompt));
        expect(split.heldOut.some(({ prompt }) => seen.has(prompt))).toBe(false);
        for (const side of [split.train, split.heldOut]) {
          expect(side.map(({ index }) => index)).toEqual(
            side.map(({ index }) => index).sort((a, b) => a - b),
          );
        }
        if (heldOut > 0) {
          expect(new Set(split.heldOut.map(({ objective }) => objective))).toEqual(
            new Set(rows.map(({ objective }) => objective)),
          );
        }
      }),
    );
  });

  test("each objective gets its share, up to the limit", () => {
    const rows = [...many("a", 1000), ...many("b", 100)];
    const { heldOut, train } = splitRows(rows, { seed: 1, heldOut: 0.1 });
    const count = (objective: string) => heldOut.filter((row) => row.objective === objective).length;
    expect(count("b")).toBe(10);
    expect(count("a")).toBe(100);
    expect(heldOut.length + train.length).toBe(1100);
    expect(splitRows(rows, { seed: 1, heldOut: 0.1, maxHeldOut: 20 }).heldOut).toHaveLength(30);
    expect(splitRows(rows, { seed: 1, heldOut: 0 }).heldOut).toEqual([]);
  });

  test("the order of the file changes nothing, another seed does", () => {
    const rows = many("a", 200);
    const prompts = (input: Row[], seed: number) =>
      new Set(splitRows(input, { seed, heldOut: 0.1 }).heldOut.map(({ prompt }) => prompt));
    expect(prompts(rows.toReversed(), 3)).toEqual(prompts(rows, 3));
    expect(prompts(rows, 4)).not.toEqual(prompts(rows, 3));
  });

  test("rows of a held-out file are held out with all rows of their prompts, and nothing else is drawn", () => {
    const rows = many("a", 20).map((row, index) => ({ ...row, heldOut: index >= 18 }));
    const prompts = new Set(rows.slice(18).map(({ prompt }) => prompt));
    for (const heldOut of [0, 0.5]) {
      const split = splitRows([...rows, ...rows.slice(18).map((row) => ({ ...row, heldOut: false }))], {
        seed: 1,
        heldOut,
      });
      expect(split.heldOut).toHaveLength(4);
      expect(split.train.some(({ prompt }) => prompts.has(prompt))).toBe(false);
    }
  });

  test("a share out of range or nothing left to train on is refused", () => {
    for (const heldOut of [-0.1, 1, Number.NaN]) {
      expect(() => splitRows(many("a", 9), { seed: 0, heldOut })).toThrow(/not a share/);
    }
    expect(() => splitRows(many("a", 1), { seed: 0, heldOut: 0.5 })).toThrow(/objective a/);
  });
});

describe("limitRows", () => {
  test("draws at most n rows of each objective; smaller draws are part of larger ones", () => {
    fc.assert(
      fc.property(rowsOf, fc.integer({ min: 0, max: 20 }), fc.nat(), (rows, limit, seed) => {
        const drawn = limitRows(rows, limit, seed);
        const larger = new Set(limitRows(rows, limit + 3, seed));
        expect(drawn.every((row) => larger.has(row))).toBe(true);
        expect(drawn).toEqual(drawn.toSorted((a, b) => a.index - b.index));
        for (const objective of ["a", "b", "c"]) {
          const mine = (list: Row[]) => list.filter((row) => row.objective === objective).length;
          expect(mine(drawn)).toBe(Math.min(mine(rows), limit));
        }
      }),
    );
    expect(limitRows(many("a", 5), undefined, 0)).toHaveLength(5);
  });
});
