/** mahalo rollout: go on from prompts or from every step of responses, judge what comes of it, and keep all. */
import { type Command, Option } from "commander";
import { loadDialogues, loadOpenRows } from "../data/load.ts";
import { Problems } from "../data/problems.ts";
import { parseStepBoundary, type StepBoundary } from "../data/steps.ts";
import { type Mix, parseMix } from "../model/heads.ts";
import { loadModel } from "../model/load.ts";
import { computeDType, type Precision } from "../model/precision.ts";
import { modelHash } from "../recipe/sources.ts";
import {
  boundaryContinuer,
  type RolloutOrigin,
  rollOutDialogues,
  rollOutRows,
  rolloutOrigins,
} from "../reward/roll-out.ts";
import type { RolloutSummary } from "../reward/rollout.ts";
import { type CommonOptions, command, type Io, outputOf, usage } from "./command.ts";
import { parseJudge, type RowFlags, rowFile } from "./judge-options.ts";
import { number } from "./sampling-options.ts";

type RolloutOptions = CommonOptions &
  RowFlags & {
    rows: string;
    judge: unknown;
    out: string;
    objective: string;
    samples: number;
    from: RolloutOrigin;
    step: StepBoundary;
    dialogues?: boolean;
    simulateAll?: boolean;
    persona?: string;
    temperature: number;
    topK: number;
    topP: number;
    minP: number;
    maxNewTokens: number;
    mix?: Mix;
    seed: number;
    batchSize: number;
    parallel: number;
    precision: Precision;
  };

const describe = ({ file, rows, rollouts, kept, meanScore, cut, abstained }: RolloutSummary): string => {
  const notes = [
    `${rows} rows, ${rollouts} answers`,
    ...(meanScore === null ? [] : [`mean score ${meanScore.toFixed(3)}`]),
    ...(cut > 0 ? [`${cut} cut at their length limit`] : []),
    ...(abstained > 0 ? [`${abstained} without a verdict`] : []),
    ...(kept > 0 ? [`${kept} rows were there already`] : []),
  ];
  return `${file}: ${notes.join(", ")}\n`;
};

/** Makes rollouts; the same command goes on with a file that was cut short. */
export const rolloutCommand = (io: Io): Command =>
  command({
    name: "rollout",
    summary: "Go on from prompts or response steps with a model, and judge every answer.",
    examples: [
      [
        "mahalo rollout MODEL --rows problems.jsonl --judge math --out rollouts.jsonl",
        "8 answers a prompt, or a step of its response",
      ],
      [
        "mahalo rollout MODEL --rows gsm8k.parquet --format question-answer --from prompt --judge math --out r.jsonl",
        "from the prompts alone",
      ],
      [
        "mahalo rollout MODEL --rows rows.jsonl --judge '{kind: rule, asksQuestion: true}' --samples 4 --step line --out r.jsonl",
        "another judge, steps by line",
      ],
      [
        "mahalo rollout --rows dialogues.jsonl --dialogues --judge '{kind: rule, asksQuestion: true}' --out r.jsonl",
        "tutor turns by the student's recorded replies",
      ],
    ],
  })
    .argument("[model]", "packaged name, folder, .gguf file or hub id; needed where answers are generated")
    .requiredOption("--rows <file>", "rows with prompt, and response or answer where there are any")
    .requiredOption("--judge <judge>", "kind of judge, or a declaration as in a recipe", parseJudge)
    .requiredOption("--out <file>", "file of rollouts to write, or to go on with")
    .option("--format <name>", "named format of the rows, as in a recipe")
    .option("--columns <map>", "column map of the rows, as in a recipe")
    .option("--objective <name>", "objective that the rollouts are of", "accuracy")
    .option("--samples <n>", "answers from each prefix", number, 8)
    .addOption(
      new Option("--from <where>", "where answers begin; auto: at the response's steps, else at the prompt")
        .choices(rolloutOrigins)
        .default("auto"),
    )
    .option(
      "--step <boundary>",
      "what ends a step: blank-line, line, sentence, sentence:12 or turn (default: blank-line)",
      parseStepBoundary,
      parseStepBoundary("blank-line"),
    )
    .option("--dialogues", "rows are dialogues; the model is the student of turns without a recorded reply")
    .option("--simulate-all", "of dialogues, simulate recorded replies too")
    .option("--persona <text>", "of dialogues, who the simulated student is")
    .option("--temperature <t>", "0 takes the likeliest token", number, 1)
    .option("--top-k <k>", "sample from the k likeliest tokens only", number, 0)
    .option("--top-p <p>", "sample from the likeliest tokens that hold this share of probability", number, 1)
    .option("--min-p <p>", "leave out tokens below this share of the likeliest one's probability", number, 0)
    .option("--max-new-tokens <n>", "longest answer", number, 256)
    .option("--mix <weights>", "mix of the model's objectives; default: all alike", parseMix)
    .option("--seed <n>", "the same seed gives the same answers", number, 0)
    .option("--batch-size <n>", "answers between two writes: the most that a killed run loses", number, 64)
    .option("--parallel <n>", "answers made side by side", number, 16)
    .addOption(
      new Option("--precision <p>", "precision to compute in; auto takes bf16 where the processor has it")
        .choices(["auto", "f32", "bf16"])
        .default("auto"),
    )
    .action(async (name: string | undefined, options: RolloutOptions) => {
      const output = outputOf(io, options);
      const { rows: path, objective, dialogues = false, simulateAll, persona, from } = options;
      const { judge, out, samples, seed, batchSize } = options;
      const problems = new Problems();
      const common = { judge, judgeName: "--judge", out, samples, seed, batchSize, problems };
      const file = rowFile(path, options);
      const run = async (): Promise<RolloutSummary> => {
        const openRows = dialogues ? [] : await loadOpenRows(file, objective, { problems });
        const talks = dialogues ? await loadDialogues(file, objective, { problems }) : [];
        if (name === undefined && !dialogues) throw usage("name the model that is to answer");
        const model =
          name === undefined
            ? undefined
            : await loadModel(name, { compute: computeDType(options.precision) });
        try {
          const { step, temperature, topK, topP, minP, maxNewTokens, mix, parallel } = options;
          const continuer =
            model === undefined || name === undefined
              ? undefined
              : boundaryContinuer(model, {
                  name,
                  weights: await modelHash(name),
                  step,
                  sampling: { temperature, topK, topP, minP },
                  maxNewTokens,
                  mix,
                  parallel,
                });
          const asked = { ...common, signal: io.signal };
          return continuer === undefined || dialogues
            ? await rollOutDialogues(talks, {
                ...asked,
                continuer,
                student: continuer !== undefined,
                simulateAll,
                persona,
              })
            : await rollOutRows(openRows, { ...asked, continuer, from });
        } finally {
          model?.dispose();
        }
      };
      const summary = await run();
      if (problems.summary() !== "") output.note(problems.summary());
      output.result(summary, () => describe(summary));
    });
