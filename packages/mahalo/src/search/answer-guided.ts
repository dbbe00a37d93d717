/** Prompts answered by guided search, one after another, each with its tree. */
import { formatNumberOf } from "../core/format.ts";
import { zip } from "../core/need.ts";
import { progress } from "../core/progress.ts";
import type { PromptRow } from "../data/rows/rows.ts";
import { type AnswerRow, answerRow, idsOf, withSystem } from "../decode/answer-file.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { type SearchEvent, type SearchRequest, type SearchTools, searchAnswer } from "./search.ts";
import type { SearchNode, SearchTree } from "./tree.ts";

const number = (value: number): string => value.toFixed(3);

/** What an answer cost and how it is liked. */
export type GuidedFacts = {
  /** Scores of the answer's last step, by name. */
  scores?: Record<string, number>;
  /** Steps of the answer. */
  steps: number;
  /** Tokens that were generated and that scorers read. */
  spent: { generated: number; scored: number };
};

/** An answer of a search, as it stands in the file. */
export type GuidedAnswerRow = AnswerRow & GuidedFacts;

/** What a tree says of its answer. */
export const guidedFacts = ({ nodes, path, tokens: { generated, scored } }: SearchTree): GuidedFacts => {
  const last = nodes.find(({ id }) => id === path.at(-1));
  return {
    ...(last?.scores === undefined ? {} : { scores: last.scores }),
    steps: path.length,
    spent: { generated, scored },
  };
};

/** The same in a few words. */
export const describeFacts = ({ scores = {}, steps, spent }: GuidedFacts): string =>
  [
    formatNumberOf(steps, "step"),
    ...Object.entries(scores).map(([name, score]) => `${name} ${number(score)}`),
    `${spent.generated} tokens generated, ${spent.scored} scored`,
  ].join(", ");

/** What every prompt is answered under. */
export type GuidedAnswerOptions = Omit<SearchRequest, "ids" | "prompt" | "mix" | "reference"> &
  SearchTools & {
    /** Each prompt is answered under each of them. Default: the equal mix. */
    mixes?: readonly Mix[] | undefined;
    /** Goes before every prompt that has no system message of its own. */
    system?: string | undefined;
    /** Called with every step. */
    onStep?: ((event: SearchEvent & { type: "step" }) => void) | undefined;
  };

/** The best of a step's candidates and its scores in a few words. */
export const describeStep = (step: number, candidates: readonly SearchNode[]): string => {
  const kept = candidates.filter((candidate) => candidate.kept);
  const [best] = [...kept].sort((a, b) => (b.total ?? 0) - (a.total ?? 0));
  const scores = Object.entries(best?.scores ?? {}).map(([name, score]) => `${name} ${number(score)}`);
  return [`step ${step}`, `${candidates.length} candidates`, ...scores].join(", ");
};

/**
 * Answers prompts by guided search; rows in the order of the prompts, and of the mixes under each.
 *
 * Answer i draws from the streams of seed + i, as plain generation does.
 *
 * @throws MahaloError as `answerPrompts` and {@link searchAnswer} do
 */
export const answerGuided = async (
  model: LanguageModel,
  prompts: readonly PromptRow[],
  { mixes, system, onStep, ...options }: GuidedAnswerOptions,
): Promise<{ rows: GuidedAnswerRow[]; trees: SearchTree[] }> => {
  const policies: readonly (Mix | undefined)[] =
    mixes === undefined || mixes.length === 0 ? [undefined] : mixes;
  const { scorer, vote, signal, decoder, ...request } = options;
  const ids = prompts.map((row) => idsOf(model, row, system));
  const bar = progress({ label: "search", total: prompts.length * policies.length, unit: "answers" });
  const rows: GuidedAnswerRow[] = [];
  const trees: SearchTree[] = [];
  for (const [index, [row, promptIds]] of zip(prompts, ids).entries()) {
    for (const mix of policies) {
      const { completion, tree } = await searchAnswer(
        model,
        {
          ...request,
          ids: promptIds,
          prompt: withSystem(row.prompt, system),
          mix,
          seed: (request.seed ?? 0) + index,
          ...(row.answer === undefined ? {} : { reference: row.answer }),
        },
        {
          scorer,
          vote,
          signal,
          decoder,
          onStep: (event) => {
            bar.update(rows.length, describeStep(event.step, event.candidates));
            onStep?.(event);
          },
        },
      );
      rows.push({ ...answerRow(row, mix, completion), ...guidedFacts(tree) });
      trees.push(tree);
      bar.update(rows.length);
    }
  }
  bar.done();
  return { rows, trees };
};
