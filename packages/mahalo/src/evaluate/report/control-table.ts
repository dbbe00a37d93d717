/** How reports show measures of control: the sentence that explains them, and an objective's cells. */
import { formatShare } from "../../core/format.ts";
import type { ControlMeasures } from "../control.ts";
import { type Insert, markup } from "./markup.ts";
import { formatNumber } from "./scale.ts";

/** What the measures mean. */
export const controlMeaning =
  "Kendall's tau says whether results follow an objective's weight (1: always). The largest gap between neighbouring mixes and the miscalibration (how far results are from where their weights ask for them, between the two ends) are shares of the range of results; a gap of 100% is a single jump.";

/** Heads of the columns of {@link controlCells}. */
export const controlHeads = ["Kendall's tau", "largest gap", "miscalibration"] as const;

const share = (value: number | undefined): string => (value === undefined ? "–" : formatShare(value));

/** Tau, largest gap and miscalibration. */
export const controlCells = ({ tau, largestGap, miscalibration }: ControlMeasures): Insert =>
  markup`<td>${formatNumber(Number(tau.toFixed(2)))}</td><td>${share(largestGap)}</td><td>${share(miscalibration)}</td>`;
