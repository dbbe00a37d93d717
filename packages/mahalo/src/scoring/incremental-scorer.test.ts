/** The incremental scorer against scoring whole rows: it may extend, fork and drop as it likes. */
import { MahaloError } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { distance } from "../model/testing/tiny.ts";
import { tinyRewardModel } from "../rollout/testing/reward-model.ts";
import { type IncrementalScorer, incrementalScorer, type ObjectiveScores } from "./incremental-scorer.ts";
import { scoreSteps } from "./score.ts";

let models: RewardModel[] = [];
beforeAll(async () => {
  models = [await tinyRewardModel("tiny-llama"), await tinyRewardModel("tiny-qwen3")];
});
afterAll(() => {
  for (const model of models) model.dispose();
});

const objectives = ["value", "hard"];
const both = (model: RewardModel): [IncrementalScorer, IncrementalScorer] => [
  incrementalScorer(model, { objectives }),
  incrementalScorer(model, { objectives, cached: false }),
];
const numbers = (scores: readonly ObjectiveScores[]): number[] =>
  scores.flatMap((score) => objectives.map((objective) => score[objective] ?? Number.NaN));

describe("growing step by step", () => {
  test("scores as the whole response does in one pass", () => {
    for (const model of models) {
      const [prompt, response, ends] = [
        [5, 17, 200],
        [42, 7, 3, 9, 11, 12, 60, 2],
        [2, 3, 7, 8],
      ];
      const scorer = incrementalScorer(model, { objectives });
      const row = scorer.addRow();
      scorer.extend([{ row, ids: prompt }]);
      const steps = ends.map((end, index) => response.slice(ends[index - 1] ?? 0, end));
      const grown = steps.flatMap((ids) => scorer.extend([{ row, ids }]).flat());
      const [columns] = [
        objectives.map((objective) => scoreSteps(model, [{ prompt, response, ends, objective }])[0]),
      ];
      const whole = ends.flatMap((_, index) => columns.map((column) => column?.[index] ?? Number.NaN));
      expect(distance(numbers(grown), whole)).toBeLessThan(1e-5);
      // And all at once, each end asked for.
      const second = scorer.fork(row, prompt.length);
      const [once = []] = scorer.extend([{ row: second, ids: response, ends }]);
      expect(distance(numbers(once), whole)).toBeLessThan(1e-5);
      scorer.dispose();
    }
  });

  test("reads the only objective without its being named", async () => {
    const model = await tinyRewardModel("tiny-llama", [{ name: "accuracy", kind: "soft" }]);
    const scorer = incrementalScorer(model);
    const [[score] = []] = scorer.extend([{ row: scorer.addRow(), ids: [1, 2, 3] }]);
    expect(Object.keys(score ?? {})).toEqual(["accuracy"]);
    scorer.dispose();
    model.dispose();
  });
});

type Command =
  | { kind: "add"; ids: number[] }
  | { kind: "extend"; row: number; ids: number[]; other: number }
  | { kind: "fork"; row: number; share: number }
  | { kind: "remove"; row: number };

const someIds = fc.array(fc.nat(199), { minLength: 1, maxLength: 6 });
const place = fc.nat(7);
const share = fc.double({ min: 0, max: 1, noNaN: true });
const commands = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("add" as const), ids: someIds }),
    fc.record({ kind: fc.constant("extend" as const), row: place, ids: someIds, other: place }),
    fc.record({ kind: fc.constant("fork" as const), row: place, share }),
    fc.record({ kind: fc.constant("remove" as const), row: place }),
  ),
  { maxLength: 12 },
);

/** What a command gives; rows are taken modulo those that are there. */
const obey = (scorer: IncrementalScorer, command: Command): number[] => {
  if (command.kind === "add") {
    return numbers(scorer.extend([{ row: scorer.addRow(), ids: command.ids }]).flat());
  }
  if (scorer.rows === 0) return [];
  const row = command.row % scorer.rows;
  const cut = (part: number): number => Math.max(1, Math.round(part * scorer.ids(row).length));
  switch (command.kind) {
    case "extend": {
      const other = command.other % scorer.rows;
      const more = other === row ? [] : [{ row: other, ids: [9, 8], ends: [1, 2] }];
      return numbers(
        scorer.extend([{ row, ids: command.ids, ends: [1, command.ids.length] }, ...more]).flat(),
      );
    }
    case "fork":
      return [scorer.fork(row, cut(command.share))];
    case "remove":
      scorer.removeRow(row);
      return [];
  }
};

test("whatever is done, scores and rows are those of whole rows read anew", () => {
  for (const model of models) {
    fc.assert(
      fc.property(commands, (list) => {
        const [cached, plain] = both(model);
        try {
          for (const command of list) {
            expect(distance(obey(cached, command), obey(plain, command))).toBeLessThan(2e-5);
            const rows = (scorer: IncrementalScorer) =>
              Array.from({ length: scorer.rows }, (_, row) => scorer.ids(row));
            expect(rows(cached)).toEqual(rows(plain));
          }
        } finally {
          cached.dispose();
          plain.dispose();
        }
      }),
      { numRuns: 25 },
    );
  }
});

test("rows and tokens that are not there are refused", () => {
  const [model] = models;
  if (model === undefined) throw new Error("no model");
  const scorer = incrementalScorer(model, { objectives });
  const code = (body: () => unknown): string | undefined => {
    try {
      body();
      return undefined;
    } catch (error) {
      return error instanceof MahaloError ? error.code : String(error);
    }
  };
  const row = scorer.addRow();
  expect(code(() => scorer.extend([{ row, ids: [] }]))).toBe("E_SCORE_TOKENS");
  scorer.extend([{ row, ids: [1, 2] }]);
  expect(code(() => scorer.ids(1))).toBe("E_SCORER_ROW");
  expect(
    code(() =>
      scorer.extend([
        { row, ids: [1] },
        { row, ids: [2] },
      ]),
    ),
  ).toBe("E_SCORER_ROW");
  expect(code(() => scorer.extend([{ row, ids: [-1] }]))).toBe("E_TOKEN_ID");
  expect(code(() => incrementalScorer(model))).toBe("E_REWARD_OBJECTIVE");
  expect(scorer.ids(row)).toEqual([1, 2]);
  expect(scorer.bytes).toBeGreaterThan(0);
  scorer.dispose();
});

test("forks share the memory of their row, and are refused whole where they do not fit", () => {
  const [model] = models;
  if (model === undefined) throw new Error("no model");
  const prompt = Array.from({ length: 70 }, (_, index) => 3 + index);
  const candidates = [[1], [2, 3], [4, 5, 6], [7, 8], [9]];
  const open = (maxBytes?: number): { scorer: IncrementalScorer; row: number; page: number } => {
    const scorer = incrementalScorer(model, { objectives, maxBytes });
    const row = scorer.addRow();
    scorer.extend([{ row, ids: prompt.slice(0, 1) }]);
    const page = scorer.usedBytes;
    scorer.extend([{ row, ids: prompt.slice(1) }]);
    return { scorer, row, page };
  };
  const forksOf = (scorer: IncrementalScorer, row: number, list: readonly number[][]) =>
    list.map((ids) => ({ row: scorer.fork(row), ids }));
  const drop = (scorer: IncrementalScorer, forks: readonly { row: number }[]): void => {
    for (const { row } of forks.toReversed()) scorer.removeRow(row);
  };
  const { scorer, row, page } = open();
  expect(scorer.usedBytes).toBe(3 * page);
  const forks = forksOf(scorer, row, candidates);
  expect(scorer.usedBytes).toBe(3 * page);
  const scores = numbers(scorer.extend(forks).flat());
  // A page for each candidate, and the row's own.
  expect(scorer.usedBytes).toBe((3 + candidates.length) * page);
  drop(scorer, forks);
  expect(scorer.usedBytes).toBe(3 * page);
  scorer.dispose();

  const small = open(6 * page);
  const tooMany = forksOf(small.scorer, small.row, candidates);
  expect(() => small.scorer.extend(tooMany)).toThrow(expect.objectContaining({ code: "E_KV_MEMORY" }));
  expect(tooMany.map((fork) => small.scorer.ids(fork.row))).toEqual(candidates.map(() => prompt));
  drop(small.scorer, tooMany);
  expect(small.scorer.usedBytes).toBe(3 * page);
  const few = forksOf(small.scorer, small.row, candidates.slice(0, 3));
  const some = numbers(small.scorer.extend(few).flat());
  expect(distance(some, scores.slice(0, some.length))).toBeLessThan(1e-5);
  small.scorer.dispose();
});
