/** The measured rate of matrix products leaves threads as they were, and is what processor time allows. */
import { getThreads, setThreads } from "@mahalo/torch";
import { expect, test } from "vitest";
import { measureGemm } from "./speed.ts";

test("rates are of all threads together, whose number stays", () => {
  const threads = getThreads();
  try {
    setThreads(2);
    const rates = measureGemm({ size: 256, milliseconds: 5 });
    expect(getThreads()).toBe(2);
    for (const rate of Object.values(rates)) expect(rate).toBeGreaterThan(0);
  } finally {
    setThreads(threads);
  }
});
