/** Guides as users write them: what each form means, and what is refused. */
import { expect, test } from "vitest";
import { parseGuide, parseGuides } from "./guides.ts";

test("a guide is a model or a judge, with a weight, an objective and a name where they are given", () => {
  expect(parseGuide("runs/math/reward/accuracy/model")).toEqual({
    model: "runs/math/reward/accuracy/model",
    weight: 1,
  });
  expect(parseGuide("help=RM#helpful:0.25")).toEqual({
    name: "help",
    model: "RM",
    objective: "helpful",
    weight: 0.25,
  });
  expect(parseGuide("judge:math:-2")).toEqual({ judge: { kind: "math" }, weight: -2 });
  expect(parseGuide("./a:b/model:.5")).toEqual({ model: "./a:b/model", weight: 0.5 });
});

test("commas divide guides, but not the options of a judge", () => {
  const [rule, model] = parseGuides("asks=judge:{kind: rule, asksQuestion: true}:2,RM");
  expect(rule).toEqual({ name: "asks", judge: { kind: "rule", asksQuestion: true }, weight: 2 });
  expect(model).toEqual({ model: "RM", weight: 1 });
});

test("what is no guide is refused by name", () => {
  for (const text of ["", ":0.5", "RM#", "#wit", "RM#a#b", "a=", "judge:{kind: [", "RM,"]) {
    expect(() => parseGuides(text), text).toThrow(/^guide /);
  }
});
