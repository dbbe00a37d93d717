/** An abort is one error, wherever it is noticed. */
import { expect, test } from "vitest";
import { throwIfAborted } from "./interrupt.ts";

test("nothing is thrown before an abort, and afterwards an error that says what was going on", () => {
  const controller = new AbortController();
  expect(() => throwIfAborted(undefined, "reading")).not.toThrow();
  expect(() => throwIfAborted(controller.signal, "reading")).not.toThrow();
  controller.abort("enough");
  expect(() => throwIfAborted(controller.signal, "reading", "start anew")).toThrow(
    expect.objectContaining({
      code: "E_INTERRUPTED",
      message: "stopped while reading",
      hint: "start anew",
      exitStatus: 1,
      cause: "enough",
    }),
  );
});
