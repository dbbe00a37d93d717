/** Facts about how an error is told to people. */
import { expect, test } from "vitest";
import { describeError, MahaloError } from "./error.ts";

test("a message, a hint and a code are one sentence, whether or not the message ends in a full stop", () => {
  const told = (message: string) =>
    describeError(new MahaloError("E_MODEL_UNKNOWN", message, { hint: "give a path" }));
  expect(told("m: no such model")).toBe("m: no such model; give a path  (E_MODEL_UNKNOWN)");
  expect(told("m: no such model.")).toBe("m: no such model; give a path  (E_MODEL_UNKNOWN)");
  expect(describeError(new MahaloError("E_X", "said."))).toBe("said.  (E_X)");
  const hint = 'Did you mean "a"?';
  expect(describeError(new MahaloError("E_X", "no b", { hint }))).toBe(`no b. ${hint}  (E_X)`);
  expect(describeError("thrown")).toBe("thrown");
});
