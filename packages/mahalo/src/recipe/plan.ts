/** The plan of a run: each stage, why it would run, and the time and memory that it would take on this machine. */
import { formatBytes, formatDuration } from "../core/format.ts";
import { element, zip } from "../core/need.ts";
import type { ModelSource } from "../model/folder/model-source.ts";
import { type CountsOrigin, isEstimated, openCosts } from "./costs.ts";
import type { StageState } from "./engine/stage.ts";
import { runFolder } from "./run-folder.ts";
import type { Recipe } from "./schema/schema.ts";
import { type Machine, type MachineSpeeds, thisMachine } from "./speeds.ts";
import type { Cost, Work } from "./work.ts";

/** Time and memory of a stage. */
export type PlannedCost = { seconds: number; bytes: number };

/** One stage of a plan. */
export type PlannedStage = {
  name: string;
  state: StageState["state"];
  reasons: string[];
  /** What it costs if it runs; undefined where that cannot be told, and where it need not run. */
  cost: PlannedCost | undefined;
};

/** A plan. */
export type Plan = {
  name: string;
  folder: string;
  stages: PlannedStage[];
  counts: CountsOrigin;
  /** What times are of: a quiet machine, or a busy one; `none` where nothing had to be measured, or could be. */
  times: "quiet" | "busy" | "none";
  /** Whether other programs take this machine's processors now. */
  busy: boolean;
  /** Sum over the stages that would run, and the largest of their peaks. */
  total: PlannedCost;
};

/** What the recipe's model can be computed with on this machine, for the work there is. */
const measureFor = async (
  source: ModelSource | undefined,
  works: readonly Work[],
  machine: Machine,
): Promise<Map<Work["compute"], MachineSpeeds>> => {
  const measured = new Map<Work["compute"], MachineSpeeds>();
  if (source === undefined) return measured;
  for (const compute of new Set(works.map((work) => work.compute))) {
    const lora = works.some((work) => work.compute === compute && work.lora);
    const found = await machine.speeds(source, { compute, lora });
    if (found !== undefined) measured.set(compute, found);
  }
  return measured;
};

/**
 * Plans a recipe without running or fetching anything.
 *
 * @param machine how fast the machine is. Default: this one, measured for a few seconds or as it was measured before.
 * @throws MahaloError for sources that cannot be.
 */
export const planRecipe = async (recipe: Recipe, machine: Machine = thisMachine()): Promise<Plan> => {
  const { states, counts, source, costOf } = await openCosts(recipe, { sample: true });
  const busy = await machine.busy();
  const costs = states.map(({ name, state }) => (state === "fresh" ? undefined : costOf(name, recipe)));
  const works = costs.flatMap((cost) => cost?.work ?? []);
  const measured = await measureFor(source, works, machine);
  const planned = ({ bytes, work }: Cost): PlannedCost | undefined => {
    if (work === undefined) return { seconds: 0, bytes };
    const speeds = measured.get(work.compute)?.speeds;
    const seconds = speeds === undefined ? Number.NaN : work.seconds(speeds);
    return Number.isNaN(seconds) ? undefined : { seconds, bytes };
  };
  const stages = zip(states, costs).map(
    ([{ name, state, reasons }, cost]): PlannedStage => ({
      ...{ name, state, reasons },
      cost: cost === undefined ? undefined : planned(cost),
    }),
  );
  const due = stages.flatMap(({ cost }) => cost ?? []);
  const of = [...measured.values()].map((found) => found.of);
  return {
    name: recipe.name,
    folder: runFolder(recipe),
    stages,
    counts,
    times: of.length === 0 ? "none" : of.includes("busy") ? "busy" : "quiet",
    busy,
    total: {
      seconds: due.reduce((sum, { seconds }) => sum + seconds, 0),
      bytes: Math.max(0, ...due.map(({ bytes }) => bytes)),
    },
  };
};

const words: Record<StageState["state"], string> = {
  fresh: "fresh",
  stale: "stale",
  resumable: "resumes",
  new: "new",
};

const describeCost = (
  { name, state, cost }: PlannedStage,
  { counts, times }: Plan,
  bound: string,
): string => {
  if (state === "fresh") return "";
  if (!isEstimated(name)) return "not estimated";
  if (cost === undefined)
    return counts !== "unknown" && times === "none"
      ? "cost unknown: too little memory is free to measure with"
      : "cost unknown until the data stage has run";
  if (cost.seconds === 0) return "seconds";
  return `${bound}${formatDuration(cost.seconds)}, ${formatBytes(cost.bytes)}`;
};

/** What a reader must know of the moment that times are of; nothing on a quiet machine. */
const describeMoment = ({ busy, times }: Plan): string[] => {
  if (times === "busy") return ["this machine is busy: times are of a busy machine, and were not kept"];
  return busy && times === "quiet" ? ["this machine is busy now: times are of a quiet moment before"] : [];
};

/** A plan as text, a line a stage. */
export const describePlan = (plan: Plan): string => {
  const bound = plan.counts === "at most" ? "at most about " : "about ";
  const rows = plan.stages.map((stage) => [
    stage.name,
    words[stage.state],
    describeCost(stage, plan, bound),
    stage.reasons.join("; "),
  ]);
  const widest = (column: number): number => Math.max(...rows.map((row) => element(row, column).length));
  // The reasons come last, and need no room kept for them.
  const widths = [widest(0), widest(1), widest(2), 0];
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(element(widths, column)))
      .join("  ")
      .trimEnd(),
  );
  const unknown = plan.stages.some(
    ({ name, state, cost }) => state !== "fresh" && cost === undefined && isEstimated(name),
  );
  const total =
    plan.total.seconds > 0
      ? `${bound}${formatDuration(plan.total.seconds)}, ${formatBytes(plan.total.bytes)} at the peak`
      : "nothing long";
  return [
    `${plan.name} in ${plan.folder}`,
    ...table,
    `to do: ${unknown ? "not known yet" : total}`,
    ...describeMoment(plan),
    "",
  ].join("\n");
};
