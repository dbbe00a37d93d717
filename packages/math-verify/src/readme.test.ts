/** The example of README.md does what its comments say. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as mathVerify from "./index.ts";

test("every line of the README's example prints what stands behind it", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [, example = ""] = /```ts\n(.*?)```/s.exec(readme) ?? [];
  const wanted = [...example.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(([, output]) => output);
  const printed: string[] = [];
  const program = new Function(
    "mathVerify",
    "console",
    example.replace(/import (\{.*\}) from .*/, "const $1 = mathVerify;"),
  );
  program(mathVerify, { log: (...values: unknown[]) => printed.push(values.join(" ")) });
  expect(wanted.length).toBeGreaterThan(3);
  expect(printed).toEqual(wanted);
});
