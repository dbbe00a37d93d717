/** PRM800K rows become labelled steps: the chosen solution, and every other proposal behind what was chosen before it. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { prm800k } from "./prm800k.ts";

const proposal = (text: string, rating: number | null) => ({ text, rating, flagged: null });
const step = (completions: object[] | null, chosen: number | null, human: unknown = null) => ({
  completions,
  human_completion: human,
  chosen_completion: chosen,
});
const row = (...steps: object[]) => ({
  labeler: "a",
  generation: null,
  question: { problem: "What is 2 + 2 + 2?", ground_truth_answer: "6" },
  label: { steps, total_time: 1, finish_reason: "solution" },
});
const common = { prompt: "What is 2 + 2 + 2?", answer: "6" };

test("ratings stay numbers, each is a label once, and steps without one have null", () => {
  const found = prm800k.read(
    row(
      step([proposal("2 + 2 = 4", 1)], 0),
      step([proposal("So far so good.", 0), proposal("4 + 2 = 7", -1)], 0),
      step([proposal("Hm.", null)], 0),
      step([proposal("It is 8.", -1), proposal("It is 9.", -1)], null),
    ),
  );
  const before = ["2 + 2 = 4", "So far so good.", "Hm."];
  expect(found).toEqual([
    { ...common, completions: before, labels: [1, 0, null] },
    { ...common, completions: ["2 + 2 = 4", "4 + 2 = 7"], labels: [null, -1] },
    { ...common, completions: [...before, "It is 8."], labels: [null, null, null, -1] },
    { ...common, completions: [...before, "It is 9."], labels: [null, null, null, -1] },
  ]);
});

test("a step that the labeler wrote is good, as text or as a proposal", () => {
  for (const human of ["2 + 2 = 4", { text: "2 + 2 = 4", rating: null, source: "human" }]) {
    const found = prm800k.read(row(step([proposal("2 + 2 = 5", -1)], null, human)));
    expect(found).toEqual([
      { ...common, completions: ["2 + 2 = 4"], labels: [1] },
      { ...common, completions: ["2 + 2 = 5"], labels: [-1] },
    ]);
  }
});

test("every rating is one label, whatever was chosen", () => {
  const proposals = fc.array(fc.constantFrom(-1, 0, 1), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.array(fc.tuple(proposals, fc.nat()), { minLength: 1, maxLength: 5 }), (steps) => {
      const given = steps.map(([ratings, chosen], at) =>
        step(
          ratings.map((rating, index) => proposal(`${at} ${index}`, rating)),
          chosen % ratings.length,
        ),
      );
      const labels = prm800k.read(row(...given)).flatMap(({ labels }) => labels as (number | null)[]);
      const known = labels.filter((label) => label !== null);
      expect(known.toSorted()).toEqual(steps.flatMap(([ratings]) => ratings).toSorted());
    }),
  );
});

test("a row without a rating gives none, and one of another form is refused with its field", () => {
  expect(prm800k.read(row())).toEqual([]);
  expect(prm800k.read(row(step(null, null), step([proposal("later", 1)], 0)))).toEqual([]);
  expect(() => prm800k.read(row(step([proposal("a", 1)], 1)))).toThrow(
    "label.steps[0].chosen_completion: is 1, with 1 completions",
  );
  expect(() => prm800k.read({ label: { steps: [] } })).toThrow("question");
});
