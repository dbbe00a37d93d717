/** The options of guided search that generate and chat share: guides, strategy, steps and limits. */
import { MahaloError } from "@mahalo/torch";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type AggregateName, aggregateNames } from "../core/aggregate.ts";
import { parseStepBoundary, type StepBoundary } from "../data/tokens/steps.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { computeDType, type Precision } from "../model/transformer/precision.ts";
import { normalizations, type SearchInput, searchOptionsOf } from "../search/options.ts";
import type { Scorer } from "../search/scorer.ts";
import { type Guide, openGuides, parseGuides } from "../search/scorers/guides.ts";
import { choiceOf, choices, strategies } from "../search/strategies/registry.ts";
import { votesOf } from "../search/votes.ts";
import { usage } from "./command.ts";
import { wholeAboveZero } from "./sampling-options.ts";

/** What the options hold once parsed. */
export type SearchFlags = {
  guide?: Guide[];
  search?: string;
  candidates?: number;
  width?: number;
  step?: StepBoundary;
  maxSteps?: number;
  maxStepTokens?: number;
  aggregate?: AggregateName;
  normalize?: (typeof normalizations)[number];
  choose?: string;
  dropBadScores?: boolean;
};

const collectGuides = (text: string, before: readonly Guide[] = []): Guide[] => [
  ...before,
  ...parseGuides(text),
];

/** A step boundary; an error names the option. */
const boundary = (text: string): StepBoundary => {
  try {
    return parseStepBoundary(text);
  } catch (error) {
    if (!(error instanceof MahaloError)) throw error;
    throw new InvalidArgumentError(`${error.message} ${error.hint ?? ""}`.trim());
  }
};

/** Adds the options to a command. */
export const withSearch = (command: Command): Command =>
  command
    .option(
      "--guide <guides>",
      "search for answers that these score high: RM[#objective][:weight],... or judge:KIND; may be repeated",
      collectGuides,
    )
    .addOption(
      new Option("--search <strategy>", "how to search; default: step if there is a guide").choices(
        strategies.names,
      ),
    )
    .option(
      "--candidates <n>",
      "candidates per step, or whole answers for best-of-n and votes",
      wholeAboveZero,
    )
    .option("--width <n>", "branches that beam keeps, subtrees for dvts", wholeAboveZero)
    .option("--step <boundary>", "what ends a step: blank-line, line, sentence:8 or turn", boundary)
    .option("--max-steps <n>", "maximum length of an answer in steps", wholeAboveZero)
    .option("--max-step-tokens <n>", "maximum length of a step in tokens", wholeAboveZero)
    .addOption(
      new Option("--aggregate <name>", "how the scores of a path's steps become the path's score").choices(
        aggregateNames,
      ),
    )
    .addOption(
      new Option("--normalize <name>", "how scores become comparable before they are weighed").choices(
        normalizations,
      ),
    )
    .addOption(
      new Option(
        "--choose <rule>",
        "how the final answer is chosen; default: the best; for majority and weighted-vote their own rule",
      ).choices(choices.names),
    )
    .option("--drop-bad-scores", "leave candidates without a finite score out, instead of an error");

/** A search ready to run, or undefined where none was asked for. */
export type OpenSearch = {
  search: SearchInput;
  guidance: Readonly<Record<string, number>>;
  scorer: Scorer | undefined;
  vote: typeof votesOf;
  dispose(): void;
};

/**
 * Opens what the options name.
 *
 * @throws MahaloError E_CLI_USAGE for options of a search without one, E_SEARCH_OPTIONS; what opening guides throws
 */
export const openSearch = async (
  flags: SearchFlags & { precision: Precision },
  { tokenizer }: Pick<LanguageModel, "tokenizer">,
): Promise<OpenSearch | undefined> => {
  const { guide: guides = [], search: asked, dropBadScores, precision } = flags;
  const { candidates, width, step, maxSteps, maxStepTokens, aggregate, normalize, choose } = flags;
  const given = { candidates, width, step, maxSteps, maxStepTokens, aggregate, normalize, choose };
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  if (guides.length === 0 && asked === undefined) {
    const [first] = Object.keys(set);
    if (first === undefined && dropBadScores === undefined) return undefined;
    throw usage("options of a search need --guide, or --search majority");
  }
  const strategy = asked ?? "step";
  const search: SearchInput = {
    strategy,
    ...set,
    ...(dropBadScores === true ? { badScores: "drop" } : {}),
  };
  searchOptionsOf(search);
  if (guides.length === 0) {
    if (choiceOf(strategy, choose).scored) throw usage(`--search ${strategy} needs a --guide to choose by`);
    return { search, guidance: {}, scorer: undefined, vote: votesOf, dispose: () => undefined };
  }
  const { scorer, weights, dispose } = await openGuides(guides, {
    tokenizer,
    compute: computeDType(precision),
  });
  return { search, guidance: weights, scorer, vote: votesOf, dispose };
};
