/** Held-out pair accuracy: how often each head ranks the chosen response above the rejected one. */
import { MahaloError } from "@mahalo/torch";
import { zip } from "../core/need.ts";
import { type Estimate, wilson } from "./intervals.ts";
import type { PairAccuracy } from "./results.ts";

/** Margins (chosen minus rejected, in nats) of one head on one objective's held-out pairs. */
export type Margins = { head: string; objective: string; margins: readonly number[] };

const share = (margins: readonly number[]): Estimate =>
  wilson(margins.filter((value) => value > 0).length, margins.length);

/**
 * The accuracy of every head on every objective, with Wilson's interval. A tie counts as wrong, as in TRL.
 *
 * `accuracy` compares log-probabilities, which lets heads stand beside the model they were trained from; longer
 * responses have lower ones. `rewardAccuracy` compares rewards, by how far each head's margin lies above the reference
 * model's on the same pair, as DPO trains it; the reference's own reward is zero, so it has none.
 *
 * @param cells one entry for each head and objective, in the order in which they are to be shown.
 * @param reference the head among them that is the reference model's; without one there are no rewards.
 * @throws MahaloError E_PAIR_ACCURACY for a cell without pairs or with a margin that is not a number
 */
export const pairAccuracy = (cells: readonly Margins[], reference?: string): PairAccuracy => ({
  ...(reference === undefined ? {} : { reference }),
  heads: [...new Set(cells.map(({ head }) => head))],
  objectives: [...new Set(cells.map(({ objective }) => objective))],
  cells: cells.map(({ head, objective, margins }) => {
    const before = cells.find((cell) => cell.head === reference && cell.objective === objective)?.margins;
    if (margins.length === 0 || margins.some(Number.isNaN) || (before ?? margins).length !== margins.length) {
      throw new MahaloError(
        "E_PAIR_ACCURACY",
        `head "${head}" on "${objective}": ${margins.length === 0 ? "no held-out pairs" : "a margin is not a number, or the reference has other pairs"}`,
        { hint: "raise data.heldOut, or set evaluate.pairAccuracy: false" },
      );
    }
    const rewards =
      before === undefined || head === reference
        ? undefined
        : zip(margins, before).map(([value, other]) => value - other);
    return {
      head,
      objective,
      accuracy: share(margins),
      ...(rewards === undefined ? {} : { rewardAccuracy: share(rewards) }),
    };
  }),
});
