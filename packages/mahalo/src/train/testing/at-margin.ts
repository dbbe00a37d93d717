/** Losses at a margin: of responses of one token, a reference that says nothing, and log-probabilities that differ by it. */
import { expect } from "vitest";
import type { PairLoss } from "../losses.ts";

/** Loss and d(loss)/d(margin) of a loss that depends on the difference of two log-probabilities alone. */
export const atMargin =
  (loss: PairLoss) =>
  (margin: number): { loss: number; slope: number } => {
    const pair = { chosen: margin, rejected: 0, refChosen: 0, refRejected: 0 };
    const { loss: value, dChosen, dRejected } = loss({ ...pair, chosenLength: 1, rejectedLength: 1 });
    expect(dRejected === -dChosen).toBe(true);
    return { loss: value, slope: dChosen };
  };
