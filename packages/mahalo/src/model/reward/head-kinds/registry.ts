/** All kinds of reward heads; a new one is a file beside this one and a line here, or is added by a program. */
import { Registry } from "../../../core/registry.ts";
import { bradleyTerry } from "./bradley-terry.ts";
import { hard } from "./hard.ts";
import type { RewardHeadKind } from "./kind.ts";
import { soft } from "./soft.ts";
import { value } from "./value.ts";

/** Kinds by name. */
export const headKinds = new Registry<RewardHeadKind>("reward head", {
  value,
  soft,
  hard,
  "bradley-terry": bradleyTerry,
});
