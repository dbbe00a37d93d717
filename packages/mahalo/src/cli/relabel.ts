/** mahalo relabel: turn rollouts into stepwise rows, a target for every step. */
import { type Command, Option } from "commander";
import { formatNumberOf } from "../core/format.ts";
import { writeJsonLines } from "../core/json-lines.ts";
import { Problems } from "../data/rows/problems.ts";
import { makeJudge } from "../judges/registry.ts";
import {
  type RelabelOptionsInput,
  relabelNeedsJudge,
  relabelOptionsOf,
  relabelOptionsSchema,
  relabelRows,
  stepwiseLine,
} from "../rollout/relabel.ts";
import { type CommonOptions, command, type Io, outputOf, Unmet, usage } from "./command.ts";
import { givenRollouts, parseJudge } from "./judge-options.ts";
import { number } from "./sampling-options.ts";

type RelabelFlags = CommonOptions & RelabelOptionsInput & { out: string; judge?: unknown };

const { shape } = relabelOptionsSchema;

/** Labels steps. */
export const relabelCommand = (io: Io): Command =>
  command({
    name: "relabel",
    summary: "Turn rollouts into stepwise rows with a target for every step.",
    examples: [
      [
        "mahalo relabel rollouts.jsonl --target hindsight --gamma 0.9 --out steps.jsonl",
        "quality and discounted end",
      ],
      ["mahalo relabel rollouts.jsonl --target value --out steps.jsonl", "mean score of the continuations"],
      ["mahalo relabel rollouts.jsonl --target hard --above 0.5 --out steps.jsonl", "0 or 1"],
      [
        "mahalo relabel rollouts.jsonl --target judge --judge '{kind: rule, asksQuestion: true}' --out steps.jsonl",
        "a judge's score of every prefix",
      ],
    ],
  })
    .argument("<rollouts>", "file that mahalo rollout wrote")
    .requiredOption("--out <file>", "write TRL's stepwise rows to this file, as JSON lines")
    .addOption(
      new Option("--target <target>", "what a step's target is")
        .choices(shape.target.unwrap().options)
        .default("hindsight"),
    )
    .option("--gamma <g>", "discount factor of the final result, per step", number, 0.9)
    .addOption(
      new Option("--quality <q>", "a step's own quality in hindsight").choices(
        shape.quality.unwrap().options,
      ),
    )
    .option("--above <value>", "hard: values above it are 1 (default: 0)", number)
    .option("--above-share <share>", "hard: hindsight targets above this share of the row's largest", number)
    .addOption(
      new Option("--samples <which>", "sampled answers as separate rows").choices(
        shape.samples.unwrap().options,
      ),
    )
    .option("--judge <judge>", "judge of --target judge and --quality judge", parseJudge)
    .action(async (file: string, options: RelabelFlags) => {
      const output = outputOf(io, options);
      const { target, gamma, quality, above, aboveShare, samples, out, judge: declared } = options;
      const given = Object.entries({ target, gamma, quality, above, aboveShare, samples });
      const relabel = relabelOptionsOf(
        Object.fromEntries(given.filter(([, value]) => value !== undefined)) as RelabelOptionsInput,
      );
      if (relabelNeedsJudge(relabel) && declared === undefined) throw usage("name the judge: --judge");
      const judge = declared === undefined ? undefined : makeJudge(declared, "--judge");
      const problems = new Problems();
      const rows = await relabelRows(await givenRollouts(file), relabel, {
        judge,
        signal: io.signal,
        problems,
      });
      await writeJsonLines(out, rows.map(stepwiseLine));
      const labels = rows.flatMap((row) => row.labels.flatMap((label) => label ?? []));
      const mean = labels.length === 0 ? null : labels.reduce((sum, label) => sum + label, 0) / labels.length;
      if (problems.summary() !== "") output.note(problems.summary());
      output.result({ file: out, rows: rows.length, labels: labels.length, meanLabel: mean }, () => {
        const shown = mean === null ? "" : `, mean ${mean.toFixed(3)}`;
        return `${out}: ${formatNumberOf(rows.length, "row")}, ${formatNumberOf(labels.length, "label")}${shown}\n`;
      });
      if (labels.length === 0) throw new Unmet();
    });
