/** mahalo generate: answer a file of prompts, or one prompt, under one or more mixes. */
import type { Command } from "commander";
import { writeJsonLines } from "../core/json-lines.ts";
import type { PromptRow } from "../data/rows/rows.ts";
import { type AnswerOptions, type AnswerRow, answerPrompts, readPromptFile } from "../decode/answer-file.ts";
import { formatMix } from "../evaluate/mixes.ts";
import { type LanguageModel, loadModel } from "../model/folder/load.ts";
import { answerGuided, type GuidedAnswerRow } from "../search/answer-guided.ts";
import { writeTraces } from "../search/trace-file.ts";
import { type CommonOptions, command, type Io, outputOf, usage } from "./command.ts";
import { type MixFlags, mixesOf, withMix } from "./mix-options.ts";
import { loadOptionsOf, number, requestOf, type SamplingFlags, withSampling } from "./sampling-options.ts";
import { type OpenSearch, openSearch, type SearchFlags, withSearch } from "./search-options.ts";

type GenerateOptions = CommonOptions &
  MixFlags &
  SamplingFlags &
  SearchFlags & {
    prompts?: string;
    prompt?: string;
    format?: string;
    out?: string;
    batchSize: number;
    trace?: string;
  };

const show = ({ response, mix }: AnswerRow, several: boolean): string =>
  several && mix !== undefined ? `── ${formatMix(mix)}\n${response}\n` : `${response}\n`;

/** Answers by guided search. */
const searchAnswers = async (
  model: LanguageModel,
  rows: readonly PromptRow[],
  { batchSize: _, ...asked }: AnswerOptions,
  { dispose, ...guide }: OpenSearch,
  trace: string | undefined,
): Promise<GuidedAnswerRow[]> => {
  try {
    const guided = await answerGuided(model, rows, { ...asked, ...guide });
    if (trace !== undefined) await writeTraces(trace, guided.trees);
    return guided.rows;
  } finally {
    dispose();
  }
};

/** Answers prompts; the model is read once whatever the number of mixes. */
export const generateCommand = (io: Io): Command =>
  withSearch(
    withSampling(
      withMix(
        command({
          name: "generate",
          summary: "Answer prompts under a mix of a model's objectives.",
          examples: [
            [
              "mahalo generate runs/quickstart/align/model --prompt 'What is 12 + 7?' --mix engagement=1",
              "one prompt",
            ],
            [
              "mahalo generate MODEL --prompts questions.jsonl --mix accuracy=0.7,engagement=0.3 --out answers.jsonl",
              "a file",
            ],
            [
              "mahalo generate MODEL --prompts questions.txt --mix accuracy=1 --mix engagement=1",
              "two mixes side by side",
            ],
            [
              "mahalo generate runs/quickstart/align/model --prompt 'What is 12 + 7?' --at 0.25 --at 0.75",
              "a quarter and three quarters of the way from its first objective to its second, by measured results",
            ],
            [
              "mahalo generate runs/quickstart/align/model --prompt 'What is 12 + 7?' --target 'accuracy>=0.4'",
              "the measured mix that reaches it",
            ],
            [
              "mahalo generate MODEL --prompt 'What is 12 + 7?' --guide runs/math/reward/accuracy/model --trace trace.jsonl",
              "five candidates per step, the best one continues; mahalo trace draws them",
            ],
            [
              "mahalo generate MODEL --prompts questions.jsonl --guide RM:0.7,judge:math:0.3 --search best-of-n --candidates 8",
              "whole answers, weighed",
            ],
          ],
        })
          .argument("<model>", "packaged name, folder, .gguf file or hub id")
          .option(
            "--prompts <file>",
            "rows with prompt or messages (JSON lines, JSON, gzip, Parquet), or lines of a .txt file",
          )
          .option("--prompt <text>", "one prompt")
          .option("--format <name>", "named format of the rows, as in a recipe"),
        { several: true, none: "equal weights" },
      )
        .option("--out <file>", "write answers to this file as JSON lines; default: print them")
        .option("--batch-size <n>", "answers generated side by side", number, 16),
    ),
  )
    .option("--trace <file>", "write what a search tried to this file as JSON lines")
    .action(async (name: string, options: GenerateOptions) => {
      const output = outputOf(io, options);
      const { prompts: file, prompt, format, out, batchSize, system, trace } = options;
      if ((file === undefined) === (prompt === undefined))
        throw usage("give either --prompts FILE or --prompt TEXT");
      const rows =
        file === undefined
          ? [{ prompt: prompt ?? "", origin: { file: "--prompt", line: 1 } }]
          : await readPromptFile({ path: file, format }, io.signal);
      const asking = await mixesOf(options, name);
      const mixes = asking.length === 0 ? undefined : asking;
      const model = await loadModel(name, loadOptionsOf(options));
      try {
        const guide = await openSearch(options, model);
        if (guide === undefined && trace !== undefined) throw usage("--trace needs a search: give a --guide");
        const asked = {
          ...requestOf(options, model, { guided: guide !== undefined }),
          mixes,
          system,
          batchSize,
          signal: io.signal,
        };
        const answers =
          guide === undefined
            ? await answerPrompts(model, rows, asked)
            : await searchAnswers(model, rows, asked, guide, trace);
        if (out !== undefined) {
          await writeJsonLines(out, answers);
          output.result(
            { model: name, answers: answers.length, file: out },
            () => `${out}: ${answers.length} answers\n`,
          );
        } else {
          output.result(answers, () => answers.map((row) => show(row, (mixes?.length ?? 0) > 1)).join(""));
        }
      } finally {
        model.dispose();
      }
    });
