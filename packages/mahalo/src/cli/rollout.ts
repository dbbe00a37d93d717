/** mahalo rollout: go on from prompts or from every step of responses, judge what comes of it, and keep all. */

import { type Command, Option } from "commander";
import { formatNumberOf } from "../core/format.ts";
import { loadDialogues, loadOpenRows } from "../data/rows/load.ts";
import { Problems } from "../data/rows/problems.ts";
import { parseStepBoundary, type StepBoundary } from "../data/tokens/steps.ts";
import { samplingContent } from "../decode/sampling.ts";
import { loadModel } from "../model/folder/load.ts";
import { openModelSource } from "../model/folder/source.ts";
import { computeDType, type Precision } from "../model/transformer/precision.ts";
import { modelHash } from "../recipe/sources.ts";
import { endpointGenerator } from "../rollout/endpoint-generator.ts";
import type { RolloutGenerator } from "../rollout/generator.ts";
import type { RolloutSummary } from "../rollout/monte-carlo.ts";
import {
  boundaryGenerator,
  type RolloutOrigin,
  rollOutDialogues,
  rollOutRows,
  rolloutOrigins,
} from "../rollout/rollout.ts";
import { type CommonOptions, command, type Io, outputOf, Unmet, usage } from "./command.ts";
import { type EndpointFlags, endpointOf, withEndpoint } from "./endpoint-options.ts";
import { parseJudge, type RowFlags, rowFile } from "./judge-options.ts";
import { type MixFlags, oneMixOf, withMix } from "./mix-options.ts";
import {
  frequencyPenaltyOption,
  number,
  precisionOption,
  presencePenaltyOption,
  wholeAboveZero,
} from "./sampling-options.ts";

type RolloutOptions = CommonOptions &
  MixFlags &
  EndpointFlags &
  RowFlags & {
    rows: string;
    judge: unknown;
    out: string;
    objective: string;
    samples: number;
    from: RolloutOrigin;
    step?: StepBoundary;
    dialogues?: boolean;
    simulateAll?: boolean;
    persona?: string;
    temperature: number;
    topK: number;
    topP: number;
    minP: number;
    frequencyPenalty: number;
    presencePenalty: number;
    maxNewTokens: number;
    maxPromptTokens?: number;
    seed: number;
    batchSize: number;
    parallel: number;
    precision: Precision;
  };

const describe = ({ file, rows, rollouts, kept, meanScore, cut, abstained }: RolloutSummary): string => {
  const notes = [
    `${formatNumberOf(rows, "row")}, ${formatNumberOf(rollouts, "answer")}`,
    ...(meanScore === null ? [] : [`mean score ${meanScore.toFixed(3)}`]),
    ...(cut > 0 ? [`${cut} cut at their length limit`] : []),
    ...(abstained > 0 ? [`${abstained} without a verdict`] : []),
    ...(kept > 0 ? [`${formatNumberOf(kept, "row")} of them from before`] : []),
  ];
  return `${file}: ${notes.join(", ")}\n`;
};

/** What makes the answers: the endpoint, or the model; undefined where neither is named. */
const openContinuer = async (
  name: string | undefined,
  options: RolloutOptions,
): Promise<{ generator: RolloutGenerator | undefined; dispose: () => void }> => {
  const {
    step = parseStepBoundary("blank-line"),
    temperature,
    topK,
    topP,
    minP,
    frequencyPenalty,
    presencePenalty,
    maxNewTokens,
    maxPromptTokens,
    parallel,
  } = options;
  const settings = { temperature, topK, topP, minP, frequencyPenalty, presencePenalty };
  const common = { step, sampling: samplingContent(settings), maxNewTokens, maxPromptTokens };
  const nothing = (): void => undefined;
  const endpoint = endpointOf(options, name);
  if (endpoint !== undefined) {
    if (options.mix ?? options.at ?? options.target)
      throw usage("--mix: an endpoint has its own; serve the exported mix there");
    const lent = endpoint.tokenizer;
    const local =
      lent === undefined
        ? {}
        : { local: { ...(await openModelSource(lent)), content: await modelHash(lent) } };
    return { generator: endpointGenerator(endpoint, { ...common, ...local }), dispose: nothing };
  }
  if (name === undefined) return { generator: undefined, dispose: nothing };
  const mix = await oneMixOf(options, name);
  const model = await loadModel(name, { compute: computeDType(options.precision) });
  const weights = await modelHash(name);
  return {
    generator: boundaryGenerator(model, { ...common, name, weights, mix, parallel }),
    dispose: () => model.dispose(),
  };
};

/** Makes rollouts; the same command goes on with a file that was cut short. */
export const rolloutCommand = (io: Io): Command =>
  withMix(
    withEndpoint(
      command({
        name: "rollout",
        summary: "Continue prompts or response steps with a model, and judge every answer.",
        examples: [
          [
            "mahalo rollout MODEL --rows problems.jsonl --judge math --out rollouts.jsonl",
            "8 answers per prompt, or per step of its response",
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
          [
            "mahalo rollout --endpoint http://localhost:8000/v1 --endpoint-model NAME --rows problems.jsonl --judge math --out r.jsonl",
            "answers from an OpenAI-compatible endpoint",
          ],
        ],
      }),
    ),
    { several: false, none: "equal weights" },
  )
    .argument(
      "[model]",
      "packaged name, folder, .gguf file or hub id; needed if answers are generated locally",
    )
    .requiredOption("--rows <file>", "rows with prompt, and optionally response or answer")
    .requiredOption("--judge <judge>", "kind of judge, or a declaration as in a recipe", parseJudge)
    .requiredOption("--out <file>", "file of rollouts to write or resume")
    .option("--format <name>", "named format of the rows, as in a recipe")
    .option("--columns <map>", "column map of the rows, as in a recipe")
    .option("--objective <name>", "objective of the rollouts", "accuracy")
    .option("--samples <n>", "answers from each prefix", wholeAboveZero, 8)
    .addOption(
      new Option(
        "--from <where>",
        "where answers begin; auto: at the response's steps if there is one, else at the prompt",
      )
        .choices(rolloutOrigins)
        .default("auto"),
    )
    .option(
      "--step <boundary>",
      "what ends a step: blank-line, line, sentence, sentence:12 or turn (default: blank-line)",
      parseStepBoundary,
    )
    .option("--dialogues", "rows are dialogues; the model is the student of turns without a recorded reply")
    .option("--simulate-all", "for dialogues, simulate recorded replies too")
    .option("--persona <text>", "for dialogues, who the simulated student is")
    .option("--temperature <t>", "0 takes the most likely token", number, 1)
    .option("--top-k <k>", "sample only from the k most likely tokens", number, 0)
    .option(
      "--top-p <p>",
      "sample from the most likely tokens that have this share of the probability",
      number,
      1,
    )
    .option(
      "--min-p <p>",
      "leave out tokens below this share of the most likely token's probability",
      number,
      0,
    )
    .addOption(frequencyPenaltyOption().default(0))
    .addOption(presencePenaltyOption().default(0))
    .option("--max-new-tokens <n>", "longest answer", wholeAboveZero, 256)
    .option("--max-prompt-tokens <n>", "cut longer prompts from the left; default: they are refused", number)
    .option("--seed <n>", "the same seed gives the same answers", number, 0)
    .option(
      "--batch-size <n>",
      "answers between two writes to the file; a killed run loses at most these",
      wholeAboveZero,
      64,
    )
    .option("--parallel <n>", "answers generated side by side", wholeAboveZero, 16)
    .addOption(precisionOption())
    .action(async (name: string | undefined, options: RolloutOptions) => {
      const output = outputOf(io, options);
      const { rows: path, objective, dialogues = false, simulateAll, persona, from } = options;
      const { judge, out, samples, seed, batchSize } = options;
      const problems = new Problems();
      const { signal } = io;
      const common = { judge, judgeName: "--judge", out, samples, seed, batchSize, problems };
      const file = rowFile(path, options);
      const run = async (): Promise<RolloutSummary> => {
        const openRows = dialogues ? [] : await loadOpenRows(file, objective, { problems, signal });
        const talks = dialogues ? await loadDialogues(file, objective, { problems, signal }) : [];
        const { generator, dispose } = await openContinuer(name, options);
        try {
          if (generator === undefined && !dialogues) throw usage("name the model that should answer");
          const asked = { ...common, signal };
          return generator === undefined || dialogues
            ? await rollOutDialogues(talks, {
                ...asked,
                generator,
                student: generator !== undefined,
                simulateAll,
                persona,
              })
            : await rollOutRows(openRows, { ...asked, generator, from });
        } finally {
          dispose();
        }
      };
      const summary = await run();
      if (problems.summary() !== "") output.note(problems.summary());
      output.result(summary, () => describe(summary));
      if (summary.rollouts > 0 && summary.meanScore === null) throw new Unmet();
    });
