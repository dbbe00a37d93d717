/** What must be there is there, or says what is missing. */
import { MahaloError } from "@mahalo/torch";
import { expect, test } from "vitest";
import { bug, element, lastOf, lookUp, need, zip } from "./need.ts";

const failure = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof MahaloError) return `${error.code} ${error.exitStatus}: ${error.message}`;
  }
  return "none";
};

test("what is there is given as it is, whatever it is", () => {
  expect(need(null, "it")).toBeNull();
  expect([0, "", Number.NaN, false].map((value) => need(value, "it"))).toEqual([0, "", Number.NaN, false]);
  expect(element([5, 0], 1)).toBe(0);
  expect(element(new Float32Array([1, 2]), 0)).toBe(1);
  expect(lastOf("abc")).toBe("c");
  expect(lookUp(new Map([["a", 0]]), "a")).toBe(0);
  expect(zip([1, 2], new Int32Array([3, 4]))).toEqual([
    [1, 3],
    [2, 4],
  ]);
});

test("what is missing is a mistake of ours that says what is missing", () => {
  expect(failure(() => need(undefined, "the prompt"))).toBe("E_INTERNAL 1: the prompt is missing");
  expect(failure(() => element([1, 2], 2, "row"))).toBe("E_INTERNAL 1: row 2 of 2 is missing");
  expect(failure(() => element(new Int32Array(3), -1))).toBe("E_INTERNAL 1: element -1 of 3 is missing");
  expect(failure(() => lastOf([], "step"))).toBe("E_INTERNAL 1: step -1 of 0 is missing");
  expect(failure(() => lookUp(new Map(), "b", "objective"))).toBe("E_INTERNAL 1: objective b is missing");
  expect(failure(() => zip([1], []))).toBe("E_INTERNAL 1: lists of 1 and 0 do not pair");
  const gap: number[] = [];
  gap[1] = 1;
  expect(failure(() => zip([1, 2], gap))).toBe("E_INTERNAL 1: a pair's element 0 of 2 is missing");
  expect(failure(() => bug("a row has no end"))).toBe("E_INTERNAL 1: a row has no end");
});
