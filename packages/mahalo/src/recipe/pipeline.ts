/** The stages a recipe goes through, in order. */
import type { Recipe } from "./schema.ts";
import { alignStage } from "./stages/align.ts";
import { dataStage } from "./stages/data.ts";
import { sftStage } from "./stages/sft.ts";
import type { Stage } from "./stages.ts";

/** data → sft → align → evaluate → report. */
export const pipeline: readonly Stage<Recipe>[] = [dataStage, sftStage, alignStage];
