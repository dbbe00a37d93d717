/** The generated operators are what the generator makes of this libtorch's schemas today. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { generateOps } from "../scripts/generate-ops.ts";
import { native } from "./native.ts";

const committed = readFileSync(new URL("./ops.generated.ts", import.meta.url), "utf8");

test("running the generator reproduces the committed file byte for byte", () => {
  expect(generateOps()).toBe(committed);
});

test("every operator resolves in this libtorch", () => {
  const names = [...committed.matchAll(/native\.resolve\("([^"]+)", "([^"]*)"\)/g)];
  expect(names.length).toBeGreaterThan(100);
  for (const [, name = "", overload = ""] of names) expect(native.resolve(name, overload)).toBeGreaterThan(0);
});
