/** All kinds of reward heads; a new one is a file beside this one and a line here. */
import { bradleyTerry } from "./bradley-terry.ts";
import { hard } from "./hard.ts";
import type { RewardHeadKind } from "./kind.ts";
import { soft } from "./soft.ts";
import { value } from "./value.ts";

const kinds = { value, soft, hard, "bradley-terry": bradleyTerry } satisfies Record<string, RewardHeadKind>;

/** Name of a kind of reward head. */
export type HeadKind = keyof typeof kinds;

/** Names of all kinds. */
export const headKinds = Object.keys(kinds) as [HeadKind, ...HeadKind[]];

/** A kind by its name. */
export const headKind = (name: HeadKind): RewardHeadKind => kinds[name];
