/** Held-out pair accuracy: how often each head ranks the chosen response above the rejected one. */
import { MahaloError } from "@mahalo/torch";
import { wilson } from "./intervals.ts";
import type { PairAccuracy } from "./results.ts";

/** Margins (chosen minus rejected, in nats) of one head on one objective's held-out pairs. */
export type Margins = { head: string; objective: string; margins: readonly number[] };

/**
 * The accuracy of every head on every objective, with Wilson's interval. A tie counts as wrong, as in TRL.
 *
 * @param margin what was compared. Log-probabilities let heads stand beside SFT, whose reward is zero everywhere.
 * @param cells one entry for each head and objective, in the order in which they are to be shown.
 * @throws MahaloError E_PAIR_ACCURACY for a cell without pairs or with a margin that is not a number
 */
export const pairAccuracy = (margin: PairAccuracy["margin"], cells: readonly Margins[]): PairAccuracy => ({
  margin,
  heads: [...new Set(cells.map(({ head }) => head))],
  objectives: [...new Set(cells.map(({ objective }) => objective))],
  cells: cells.map(({ head, objective, margins }) => {
    if (margins.length === 0 || margins.some(Number.isNaN)) {
      throw new MahaloError(
        "E_PAIR_ACCURACY",
        `head "${head}" on "${objective}": ${margins.length === 0 ? "no held-out pairs" : "a margin is not a number"}`,
        { hint: "raise data.heldOut, or set evaluate.pairAccuracy: false" },
      );
    }
    const right = margins.filter((value) => value > 0).length;
    return { head, objective, accuracy: wilson(right, margins.length) };
  }),
});
