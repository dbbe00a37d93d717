/** What guides a search: scores of prefixes, from states that remember what was read. */
import type { Prompt } from "../data/rows/rows.ts";

/** A candidate to be scored. */
export type ScoredStep = {
  /** The state of the prefix that it goes on from. */
  from: number;
  /** Its tokens; those of an answer that ended have the end token. */
  ids: readonly number[];
  /** The whole response up to its end. */
  text: string;
  /** Whether the answer ends with it, by an end token. */
  ended: boolean;
  /** Whether the tokens spell the text; not where a stop string has cut it. */
  exact: boolean;
};

/** Scores by objective, NaN where there is none, and the state behind the candidate. */
export type StepScores = { state: number; scores: Readonly<Record<string, number>> };

/**
 * Scores candidate steps of a growing response.
 *
 * States are numbers that the scorer gives out; a state lives until it is dropped. The text that is scored is exactly what
 * the search carries on.
 */
export type Scorer = {
  /** Names of its scores. */
  readonly objectives: readonly string[];
  /** Tokens read so far; judges read none. */
  readonly tokens: number;
  /**
   * Begins a response to a prompt.
   *
   * @param reference what judges compare with, for example the right answer
   */
  begin(prompt: Prompt, reference?: unknown): Promise<number>;
  /** Scores candidates, all in one pass where the scorer has passes. */
  score(steps: readonly ScoredStep[], signal?: AbortSignal): Promise<StepScores[]>;
  /** Forgets a state. */
  drop(state: number): void;
  dispose(): void;
};

/** A search's own states of a scorer that outlives it: disposing drops those that are left, after an error for example. */
export class OwnStates implements Scorer {
  readonly #scorer: Scorer;
  readonly #states = new Set<number>();

  constructor(scorer: Scorer) {
    this.#scorer = scorer;
  }

  get objectives(): readonly string[] {
    return this.#scorer.objectives;
  }

  get tokens(): number {
    return this.#scorer.tokens;
  }

  async begin(prompt: Prompt, reference?: unknown): Promise<number> {
    const state = await this.#scorer.begin(prompt, reference);
    this.#states.add(state);
    return state;
  }

  async score(steps: readonly ScoredStep[], signal?: AbortSignal): Promise<StepScores[]> {
    const scores = await this.#scorer.score(steps, signal);
    for (const { state } of scores) this.#states.add(state);
    return scores;
  }

  drop(state: number): void {
    this.#states.delete(state);
    this.#scorer.drop(state);
  }

  dispose(): void {
    for (const state of this.#states) this.#scorer.drop(state);
    this.#states.clear();
  }
}
