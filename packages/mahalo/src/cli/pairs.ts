/** mahalo pairs: make preference pairs out of rollouts. */
import { type Command, Option } from "commander";
import { formatNumberOf } from "../core/format.ts";
import { writeJsonLines } from "../core/json-lines.ts";
import { Problems } from "../data/rows/problems.ts";
import { judgeContent, judgesAnswers, makeJudge } from "../judges/registry.ts";
import {
  pairLine,
  pairsFromRollouts,
  type RolloutPairOptionsInput,
  rolloutPairOptionsOf,
  rolloutPairsSchema,
} from "../rollout/pairs.ts";
import { rejudgeRollouts } from "../rollout/rejudge.ts";
import { type CommonOptions, command, type Io, outputOf, Unmet } from "./command.ts";
import { givenRollouts, parseJudge } from "./judge-options.ts";
import { number } from "./sampling-options.ts";

type PairFlags = CommonOptions &
  RolloutPairOptionsInput & { out: string; judge?: unknown; objective?: string; seed: number };

/** Chooses pairs. */
export const pairsCommand = (io: Io): Command =>
  command({
    name: "pairs",
    summary: "Make preference pairs from rollouts.",
    examples: [
      [
        "mahalo pairs rollouts.jsonl --take correct --per-prompt 4 --out pairs.jsonl",
        "correct against incorrect answers",
      ],
      ["mahalo pairs rollouts.jsonl --min-margin 0.5 --out pairs.jsonl", "best against worst"],
      [
        "mahalo pairs rollouts.jsonl --judge '{kind: rule, asksQuestion: true}' --objective engagement --out e.jsonl",
        "the same answers under another judge",
      ],
    ],
  })
    .argument("<rollouts>", "file that mahalo rollout wrote")
    .requiredOption("--out <file>", "write TRL's preference rows to this file, as JSON lines")
    .addOption(
      new Option("--take <which>", "extremes: best against worst; correct: correct against incorrect")
        .choices(rolloutPairsSchema.shape.take.unwrap().options)
        .default("extremes"),
    )
    .option("--threshold <score>", "lowest score of a correct answer", number, 0.5)
    .option("--min-margin <difference>", "smallest difference between scores", number, 0)
    .option("--per-prompt <n>", "maximum number of pairs per prompt", number, 1)
    .option("--cut", "also use answers that were cut off at the length limit")
    .option("--judge <judge>", "judge the answers again with this judge", parseJudge)
    .option("--objective <name>", "objective of the pairs; default: that of the rollouts")
    .option("--seed <n>", "decides which correct answer is paired with which incorrect one", number, 0)
    .action(async (file: string, options: PairFlags) => {
      const output = outputOf(io, options);
      const { take, threshold, minMargin, perPrompt, cut = false, out, judge, objective, seed } = options;
      const choice = rolloutPairOptionsOf({ take, threshold, minMargin, perPrompt, cut });
      const read = await givenRollouts(file);
      const rows =
        judge === undefined
          ? read.map((row) => ({ ...row, objective: objective ?? row.objective }))
          : await rejudgeRollouts(read, {
              judge: makeJudge(judge, "--judge"),
              judgeContent: judgeContent(judge, "--judge"),
              objective,
              kind: judgesAnswers(judge, "--judge") ? "verifiable" : "judged",
              signal: io.signal,
            });
      const problems = new Problems();
      const pairs = pairsFromRollouts(rows, choice, { seed, problems });
      await writeJsonLines(out, pairs.map(pairLine));
      if (problems.summary() !== "") output.note(problems.summary());
      output.result(
        { file: out, prompts: rows.length, pairs: pairs.length },
        () =>
          `${out}: ${formatNumberOf(pairs.length, "pair")} out of ${formatNumberOf(rows.length, "row")}\n`,
      );
      if (pairs.length === 0) throw new Unmet();
    });
