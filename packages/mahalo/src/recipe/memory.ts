/** Whether the training stages of a run fit into memory, and which settings would; asked before any of them begins. */
import { MahaloError } from "@mahalo/torch";
import { formatBytes } from "../core/format.ts";
import type { Memory } from "../core/machine.ts";
import { type Costs, openCosts } from "./costs.ts";
import type { Recipe } from "./schema/schema.ts";

/** Stages that train, whose settings decide what they hold. */
const trainingStages = ["sft", "reward", "align"] as const;
type TrainingStage = (typeof trainingStages)[number];

/** Settings that take less memory, each on top of those before it; the ones that change no result come first. */
const leaner = [
  { maxTokensPerMicrobatch: 2048 },
  { maxTokensPerMicrobatch: 1024 },
  { maxTokensPerMicrobatch: 512 },
  { checkpointing: true },
  { train: { lastLayers: 4 } },
  { optimizer: "sgd" },
  { train: { lastLayers: 1 } },
  { precision: "f32" },
] as const;

const settingText = ([key, value]: readonly [string, unknown]): string =>
  typeof value === "object" && value !== null
    ? Object.entries(value)
        .map(([inner, given]) => `${key}.${inner}=${given}`)
        .join(" ")
    : `${key}=${value}`;

/** The settings of a stage with which it would fit, as `--set` takes them; undefined where none of ours would do. */
const fittingSettings = (
  recipe: Recipe,
  stage: TrainingStage,
  { costOf }: Costs,
  bytes: number,
): string | undefined => {
  let change: Record<string, unknown> = {};
  for (const step of leaner) {
    change = { ...change, ...step };
    const options = recipe[stage];
    if (options === false) return undefined;
    const cost = costOf(stage, { ...recipe, [stage]: { ...options, ...change } });
    if (cost !== undefined && cost.bytes <= bytes)
      return Object.entries(change)
        .map((entry) => `--set ${stage}.${settingText(entry)}`)
        .join(" ");
  }
  return undefined;
};

/**
 * Checks by their estimates that the training stages that are due fit into memory.
 *
 * What other programs hold now is not counted: they may have ended by then. Where nothing is known of a stage's cost,
 * nothing is said.
 *
 * @param until the last stage that is to run. Default: all.
 * @throws MahaloError E_RUN_MEMORY that names the stage, both figures, and settings that would fit
 */
export async function checkMemory(
  recipe: Recipe,
  { total }: Memory,
  { until }: { until?: string | undefined } = {},
): Promise<void> {
  const costs = await openCosts(recipe);
  const names = costs.states.map(({ name }) => name);
  const last = until === undefined ? names.length - 1 : names.indexOf(until);
  for (const { name, state } of costs.states.slice(0, last + 1)) {
    const stage = trainingStages.find((trained) => trained === name);
    const cost = stage === undefined || state === "fresh" ? undefined : costs.costOf(name, recipe);
    if (stage === undefined || cost === undefined || cost.bytes <= total) continue;
    const settings = fittingSettings(recipe, stage, costs, total);
    throw new MahaloError(
      "E_RUN_MEMORY",
      `${stage}: needs about ${formatBytes(cost.bytes)} of memory, but only ${formatBytes(total)} is available`,
      {
        hint:
          settings === undefined
            ? "use a smaller model, or a machine with more memory; --ignore-memory runs it anyway"
            : `this would fit: ${settings}; --ignore-memory runs it unchanged`,
      },
    );
  }
}
