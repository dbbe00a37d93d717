/** Facts about visible text: nothing in it steers a terminal, and JSON stays what it was. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { visible } from "./visible.ts";

test("control characters are written as their code; lines, tabs and all else stay", () => {
  expect(visible("a\x1b]0;x\x07b\x9b2J\x7f\rc\r\nd\te🙂")).toBe(
    "a\\u001b]0;x\\u0007b\\u009b2J\\u007f\\u000dc\\u000d\nd\te🙂",
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(visible(text)).not.toMatch(/(?![\n\t])\p{Cc}/u);
    }),
  );
});

test("JSON means the same", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(JSON.parse(visible(JSON.stringify({ text })))).toEqual({ text });
    }),
  );
});
