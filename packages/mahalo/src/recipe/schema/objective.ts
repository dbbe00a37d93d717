/** One objective of a recipe: where its pairs, prompts, dialogues and labels come from, and what judges its answers. */
import { z } from "zod";
import { generatorSchema, judgeSchema } from "./registered.ts";
import {
  type MadePairsBlock,
  madePairsSchema,
  type RolloutBlock,
  relabelSchema,
  rolloutSchema,
} from "./rollout.ts";
import { listOf, type RowSource, sourceSchema, sourcesSchema, stepSourcesSchema } from "./source.ts";

/** One objective: where its pairs come from, how its answers are judged, how much it counts. */
export const objectiveSchema = z
  .strictObject({
    description: z
      .string()
      .optional()
      .describe("What the objective wants, in a sentence; shown in the report."),
    pairs: z
      .union([sourceSchema, madePairsSchema])
      .optional()
      .describe("Preference pairs from a file, or made from rollouts."),
    generator: generatorSchema
      .optional()
      .describe("Preference pairs and held-out problems from a generator."),
    prompts: sourcesSchema
      .optional()
      .describe("Prompts to roll out and to evaluate on, with answers, and optionally responses."),
    dialogues: sourcesSchema
      .optional()
      .describe("Dialogues whose assistant's turns are judged by what the user says next."),
    steps: stepSourcesSchema
      .optional()
      .describe("Labelled steps from a file, for a reward model; alone they do not give the policy a head."),
    rollout: rolloutSchema.optional().describe("How answers to the prompts are made."),
    relabel: relabelSchema
      .optional()
      .describe("How steps are labelled from rollouts, for a reward model. Default: they are not."),
    judge: judgeSchema
      .optional()
      .describe("What scores generated answers; without one only pair accuracy is measured."),
    weight: z
      .number()
      .positive()
      .default(1)
      .describe("Weight of the objective's loss in align; 1 treats all the same."),
  })
  .superRefine((objective, context) => {
    const { pairs, generator, prompts, dialogues, steps, rollout, relabel, judge } = objective;
    const fail = (message: string, field?: string): void =>
      context.addIssue({ code: "custom", message, path: field === undefined ? [] : [field] });
    const none = [pairs, generator, prompts, dialogues, steps].every((source) => source === undefined);
    if (none || (pairs !== undefined && generator !== undefined))
      fail(
        "needs its pairs from exactly one of pairs and generator, or prompts or dialogues to roll out, or steps",
      );
    if (prompts !== undefined && dialogues !== undefined)
      fail("has both prompts and dialogues; make two objectives of them", "dialogues");
    const source = prompts ?? dialogues;
    const rolled =
      rollout !== undefined || (pairs !== undefined && "from" in pairs && pairs.from === "rollout");
    if (rolled && source === undefined)
      fail("needs prompts or dialogues to roll out", rollout === undefined ? "pairs" : "rollout");
    if (relabel !== undefined && source === undefined && !(pairs !== undefined && "from" in pairs))
      fail("needs rollouts: prompts, dialogues, or pairs from another objective's", "relabel");
    const judged = rolled || relabel !== undefined || (pairs !== undefined && "from" in pairs);
    if (judged && judge === undefined) fail("is missing; rollouts need a judge", "judge");
  });

/** One objective, defaults filled in. */
export type ObjectiveOptions = z.output<typeof objectiveSchema>;

/** The source of an objective's pairs, where they come from a file. */
export const pairSource = ({ pairs }: ObjectiveOptions): RowSource | undefined =>
  pairs === undefined || "from" in pairs ? undefined : pairs;

/** How an objective's pairs are made out of rollouts, where they are. */
export const madePairs = ({ pairs }: ObjectiveOptions): MadePairsBlock | undefined =>
  pairs !== undefined && "from" in pairs ? pairs : undefined;

/** Whether an objective has pairs at all, and so a head of its own. */
export const hasPairs = ({ pairs, generator }: ObjectiveOptions): boolean =>
  pairs !== undefined || generator !== undefined;

/** A source, or several, as a list. */
export const sourceList = <Source extends RowSource>(
  given: Source | readonly Source[] | undefined,
): readonly Source[] => (given === undefined ? [] : listOf(given));

type Objectives = Readonly<Record<string, ObjectiveOptions>>;

/** The objective whose rollouts an objective's labels and pairs are made of; undefined where it has none. */
export const rolloutsOf = (objectives: Objectives, name: string): string | undefined => {
  const objective = objectives[name];
  const block = objective === undefined ? undefined : madePairs(objective);
  if (objective === undefined) return undefined;
  if (block !== undefined) return block.from === "rollout" ? name : block.from;
  return objective.rollout !== undefined || objective.relabel !== undefined ? name : undefined;
};

/** Names of the objectives whose prompts or dialogues are rolled out. */
export const rolledOut = (objectives: Objectives): string[] => {
  const wanted = new Set(Object.keys(objectives).flatMap((name) => rolloutsOf(objectives, name) ?? []));
  return Object.keys(objectives).filter((name) => wanted.has(name));
};

/** The rollout block of an objective, defaults filled in. */
export const rolloutBlock = ({ rollout }: ObjectiveOptions): RolloutBlock =>
  rollout ?? rolloutSchema.parse({});
