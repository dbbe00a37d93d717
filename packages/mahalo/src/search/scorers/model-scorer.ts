/** A reward model that guides a search: rows with a cache, all candidates of a step in one pass. */
import { MahaloError } from "@mahalo/torch";
import { element, need, zip } from "../../core/need.ts";
import type { Prompt } from "../../data/rows/rows.ts";
import { encodeExample, encodePrompt } from "../../data/tokens/encode.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { turnEndId } from "../../data/tokens/turn-end.ts";
import { commonLength } from "../../decode/kv/prefix-cache.ts";
import type { RewardModel } from "../../model/reward/reward-model.ts";
import { namedPrompt } from "../../model/reward/reward-prompt.ts";
import { type IncrementalScorer, incrementalScorer } from "../../scoring/incremental-scorer.ts";
import { withoutEnd } from "../../scoring/prefix-ids.ts";
import type { ScoredStep, Scorer, StepScores } from "../scorer.ts";
import { States } from "./states.ts";

/** Options of {@link modelScorer}. */
export type ModelScorerOptions = {
  /** The tokenizer of the model that is guided. */
  tokenizer: Tokenizer;
  /** What to score; default: all that the model scores. */
  objectives?: readonly string[] | undefined;
  /** A plain prompt becomes a user message in the chat template. Default true. */
  chat?: boolean | undefined;
  /** Names of the scores, by objective. Default: the objectives' own. */
  names?: Readonly<Record<string, string>> | undefined;
  /** Keep keys and values (default). False reads everything anew each time: slow, the yardstick of the tests. */
  cached?: boolean | undefined;
};

/** A prompt under which objectives are scored: one for all heads, or one for each objective that the prompt names. */
type View = { objectives: readonly string[]; scorer: IncrementalScorer };

/** A prefix: its row in every view, and what it says. */
type State = { rows: number[]; prompt: Prompt; promptLengths: number[] };

/** A candidate to read: the first `shared` tokens of a row, and those that follow. */
type Plan = { row: number; shared: number; ids: readonly number[] };

/** Whether two tokenizers have the same tokens, as far as a sample of them shows. */
export const sameTokens = (a: Tokenizer, b: Tokenizer): boolean => {
  if (a === b) return true;
  if (a.vocabSize !== b.vocabSize || String(a.eosIds) !== String(b.eosIds)) return false;
  const sample = Array.from({ length: 512 }, (_, index) => Math.floor((index * a.vocabSize) / 512));
  const text = "So 12 + 7 = 19.\n\nThe answer is \\boxed{19}, isn't it? Žluťoučký kůň 🙂";
  return (
    sample.every((id) => a.decode([id]) === b.decode([id])) &&
    String(a.encode(text)) === String(b.encode(text))
  );
};

/**
 * A reward model as a scorer: specialised, or unified with heads or prompts for several objectives.
 *
 * Where both models have the same tokens, the scorer reads the very tokens that the search carries on. Where they have not,
 * or a stop string has cut a text, it encodes the whole text anew and reads from the first token that differs.
 *
 * @throws MahaloError E_REWARD_OBJECTIVE; from `begin`, what encoding throws; from `score`, E_SCORE_CONTEXT for a text longer
 *   than the model's context
 */
export const modelScorer = (model: RewardModel, options: ModelScorerOptions): Scorer => {
  const { tokenizer: guided, chat = true, names = {}, cached } = options;
  const { tokenizer, template, config, rewards } = model;
  const objectives = options.objectives ?? rewards.objectives;
  for (const objective of objectives) rewards.get(objective);
  const exact = sameTokens(guided, tokenizer);
  const encoding = {
    tokenizer,
    template,
    chat,
    maxPromptTokens: Number.MAX_SAFE_INTEGER,
    maxTokens: Number.MAX_SAFE_INTEGER,
  };
  const groups = rewards.objectivesIn === "heads" ? [objectives] : objectives.map((objective) => [objective]);
  const views = groups.map(
    (group): View => ({ objectives: group, scorer: incrementalScorer(model, { objectives: group, cached }) }),
  );
  const states = new States<State>();
  let tokens = 0;
  const fits = (length: number): void => {
    if (length <= config.maxPositions) return;
    throw new MahaloError(
      "E_SCORE_CONTEXT",
      `a text of ${length} tokens is longer than the reward model's context of ${config.maxPositions}`,
      { hint: "shorten the prompt or the answer" },
    );
  };
  /** Tokens of a whole response, as training had them. */
  const encoded = ({ text, ended }: ScoredStep, { prompt }: State): readonly number[] => {
    // An answer that has said nothing yet has no tokens.
    const end = turnEndId(tokenizer, template);
    if (text === "") return ended && end !== undefined ? [end] : [];
    const { response } = encodeExample(prompt, text, encoding);
    return ended ? response : withoutEnd(response, tokenizer.eosIds);
  };
  /** What of a candidate is there already, in a row of a view, and what is to be read. */
  const planOf = (step: ScoredStep, { scorer }: View, view: number): Plan => {
    const from = states.get(step.from);
    const row = element(from.rows, view, "row");
    const held = scorer.ids(row);
    if (exact && step.exact) {
      fits(held.length + step.ids.length);
      return { row, shared: held.length, ids: step.ids };
    }
    const whole = [...held.slice(0, element(from.promptLengths, view)), ...encoded(step, from)];
    fits(whole.length);
    // The last token is always read: its hidden state is what is scored.
    const shared = Math.min(commonLength(whole, held), whole.length - 1);
    return { row, shared, ids: whole.slice(shared) };
  };
  return {
    objectives: objectives.map((objective) => names[objective] ?? objective),
    get tokens() {
      return tokens;
    },
    async begin(prompt) {
      const ids = encodePrompt(prompt, encoding);
      const prompts = views.map(({ objectives: names }) => namedPrompt(model, element(names, 0), ids));
      for (const { length } of prompts) fits(length);
      const rows = zip(views, prompts).map(([{ scorer }, named]) => {
        const row = scorer.addRow();
        scorer.extend([{ row, ids: named }]);
        tokens += named.length;
        return row;
      });
      return states.add({ rows, prompt, promptLengths: prompts.map(({ length }) => length) });
    },
    async score(steps) {
      const scores = steps.map((): Record<string, number> => ({}));
      const rows = steps.map((): number[] => []);
      // All that may be refused comes before the first fork, so that nothing is left behind.
      const plans = views.map((view, index) => steps.map((step) => planOf(step, view, index)));
      for (const [{ objectives: scored, scorer }, plan] of zip(views, plans)) {
        const extensions = zip(plan, rows).map(([{ row, shared, ids }, forks]) => {
          const fork = scorer.fork(row, shared);
          forks.push(fork);
          return { row: fork, ids };
        });
        tokens += extensions.reduce((sum, { ids }) => sum + ids.length, 0);
        for (const [found, into] of zip(scorer.extend(extensions), scores)) {
          for (const name of scored)
            into[names[name] ?? name] = need(element(found, 0)[name], `the score of "${name}"`);
        }
      }
      return steps.map(({ from }, index): StepScores => {
        const { prompt, promptLengths } = states.get(from);
        return {
          state: states.add({ rows: element(rows, index), prompt, promptLengths }),
          scores: element(scores, index),
        };
      });
    },
    drop(id) {
      const { rows } = states.get(id);
      states.drop(id);
      for (const [index, [{ scorer }, row]] of zip(views, rows).entries()) {
        const last = scorer.rows - 1;
        scorer.removeRow(row);
        // The last row has taken the number of the one that is gone.
        if (row === last) continue;
        for (const state of states.values()) if (state.rows[index] === last) state.rows[index] = row;
      }
    },
    dispose() {
      states.clear();
      for (const { scorer } of views) scorer.dispose();
    },
  };
};
