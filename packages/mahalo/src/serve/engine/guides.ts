/** The guides of the engine's thread: reward models and judges, opened once, and put together for each search by name. */
import { MahaloError } from "@mahalo/torch";
import { element } from "../../core/need.ts";
import { didYouMean } from "../../core/suggest.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { makeJudge } from "../../judges/registry.ts";
import { loadRewardModel, type RewardModel } from "../../model/reward/reward-model.ts";
import type { ComputeDType } from "../../model/transformer/parameters.ts";
import type { Scorer } from "../../search/scorer.ts";
import type { Guide } from "../../search/scorers/guides.ts";
import { judgeScorer } from "../../search/scorers/judge-scorer.ts";
import { modelScorer } from "../../search/scorers/model-scorer.ts";
import { severalScorers } from "../../search/scorers/several-scorers.ts";

/** One score: a reward model's objective, or a judge. */
type Score = { model: RewardModel; objective: string } | { judge: ReturnType<typeof makeJudge> };

/** The scores of a server, by the names that requests call them by. */
export class Guides {
  readonly #scores: ReadonlyMap<string, Score>;
  readonly #models: readonly RewardModel[];

  private constructor(scores: ReadonlyMap<string, Score>, models: readonly RewardModel[]) {
    this.#scores = scores;
    this.#models = models;
  }

  /**
   * Opens guides. A reward model of several objectives that was given a name has a score `name.objective` for each.
   *
   * @throws MahaloError E_GUIDE_NAME where two scores have one name; what loading models and making judges throws
   */
  static async open(guides: readonly Guide[], compute: ComputeDType): Promise<Guides> {
    const scores = new Map<string, Score>();
    const models = new Map<string, RewardModel>();
    const add = (name: string, score: Score): void => {
      if (scores.has(name))
        throw new MahaloError("E_GUIDE_NAME", `two guides are called "${name}"`, {
          hint: "give one another name: NAME=RM",
        });
      scores.set(name, score);
    };
    try {
      for (const guide of guides) {
        if ("judge" in guide) {
          const judge = makeJudge(guide.judge, "guide");
          add(guide.name ?? judge.name, { judge });
          continue;
        }
        const model = models.get(guide.model) ?? (await loadRewardModel(guide.model, { compute }));
        models.set(guide.model, model);
        const objectives = guide.objective === undefined ? model.rewards.objectives : [guide.objective];
        for (const objective of objectives) {
          model.rewards.get(objective);
          const several = objectives.length > 1 && guide.name !== undefined;
          add(several ? `${guide.name}.${objective}` : (guide.name ?? objective), { model, objective });
        }
      }
      return new Guides(scores, [...models.values()]);
    } catch (error) {
      for (const model of models.values()) model.dispose();
      throw error;
    }
  }

  /** Names of all scores. */
  get names(): string[] {
    return [...this.#scores.keys()];
  }

  /** Names of the scores that reward models give, step by step. */
  get models(): string[] {
    return [...this.#scores].flatMap(([name, score]) => ("model" in score ? [name] : []));
  }

  #score(name: string): Score {
    const score = this.#scores.get(name);
    if (score !== undefined) return score;
    throw new MahaloError(
      "E_GUIDE",
      `no guide "${name}" is served here. ${didYouMean(name, this.#scores.keys())}`,
    );
  }

  /** @throws MahaloError E_GUIDE for a name that no score has */
  check(names: readonly string[]): void {
    for (const name of names) this.#score(name);
  }

  /** The reward model and objective of a score. @throws MahaloError E_GUIDE for a name of none, or of a judge */
  model(name: string): { model: RewardModel; objective: string } {
    const score = this.#score(name);
    if ("model" in score) return score;
    throw new MahaloError("E_GUIDE", `"${name}" is a judge, which gives no score by step`);
  }

  /** A scorer of some scores for one search; disposing it leaves the models open. @throws MahaloError E_GUIDE */
  scorer(names: readonly string[], tokenizer: Tokenizer): Scorer {
    const byModel = new Map<RewardModel, [objective: string, name: string][]>();
    const scorers: Scorer[] = [];
    for (const name of names) {
      const score = this.#score(name);
      if ("judge" in score) scorers.push(judgeScorer(score.judge, name));
      else byModel.set(score.model, [...(byModel.get(score.model) ?? []), [score.objective, name]]);
    }
    for (const [model, named] of byModel) {
      const objectives = named.map(([objective]) => objective);
      scorers.push(modelScorer(model, { tokenizer, objectives, names: Object.fromEntries(named) }));
    }
    return scorers.length === 1 ? element(scorers, 0) : severalScorers(scorers);
  }

  dispose(): void {
    for (const model of this.#models) model.dispose();
  }
}
