/** Steps whose regular expressions come from a recipe: they end, and names are nothing but names. */
import { describe, expect, test } from "vitest";
import { compileStep, type StepSpec } from "./transforms.ts";

const endless = `${"a".repeat(60)}!`;

describe("a regular expression that takes time without bound is ended with its step named", () => {
  test.each<[string, StepSpec]>([
    ["cut", { cut: "(a+)+$" }],
    ["cut", { cut: { pattern: "^(a|a)*$", flags: "i" } }],
    ["replace", { replace: { pattern: "(?:a|a?)+$", with: "b" } }],
  ])("%s", (name, spec) => {
    const step = compileStep(spec);
    expect(() => step(endless)).toThrow(
      expect.objectContaining({
        code: "E_COLUMNS_TIME",
        exitStatus: 2,
        message: expect.stringContaining(`step ${name}: /`),
      }),
    );
  });
});

test("usual ones work on short texts and long ones alike", () => {
  const long = `${"word ".repeat(5_000)}#### 12`;
  expect(compileStep({ cut: "#### (.+)" })(long)).toBe("12");
  expect(compileStep({ replace: { pattern: "(\\w+) (\\w+)", with: "$2 $1" } })("a b c d")).toBe("b a d c");
});

test("roles may have the names of an object's own fields", () => {
  const step = compileStep({ messages: { role: "from", content: "value", roles: { human: "user" } } });
  expect(() => step([{ from: "constructor", value: "Hi" }])).toThrow(/constructor/);
  expect(step([{ from: "human", value: "Hi" }])).toEqual([{ role: "user", content: "Hi" }]);
});
