/** Guided search, one loop for every strategy: candidates grow by a step, are scored, and the best are carried on. */
import { MahaloError } from "@mahalo/torch";
import { throwIfAborted } from "../core/interrupt.ts";
import { element, zip } from "../core/need.ts";
import { type Random, rng } from "../core/random.ts";
import type { Prompt } from "../data/rows/rows.ts";
import { cachedDecoder, type Decoder } from "../decode/decoder.ts";
import { type Completion, type GenerateRequest, Sequence } from "../decode/request.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { Branches } from "./branches.ts";
import { guidanceWeights } from "./combine.ts";
import { recordedSettings, type SearchInput, type SearchOptions, searchOptionsOf } from "./options.ts";
import {
  cutShort,
  lineOf,
  mergeEqual,
  type Path,
  pathOf,
  scoredStepOf,
  takeScores,
  totalsOf,
} from "./paths.ts";
import { OwnStates, type Scorer } from "./scorer.ts";
import { choiceOf, strategies } from "./strategies/registry.ts";
import type { Choice, Strategy } from "./strategies/types.ts";
import { type SearchNode, type SearchTree, traceVersion } from "./tree.ts";

/** Tokens of the longest answer where the request does not say: the method's. */
const mostTokens = 4000;

/** What is asked of a guided model; the settings' step boundary is the request's. `maxNewTokens` is 4000 by default. */
export type SearchRequest = Omit<GenerateRequest, "step" | "logprobs" | "topLogprobs"> & {
  /** The prompt as scorers and traces get it; `ids` are its tokens as the model gets it. */
  prompt: Prompt;
  /** What judges compare with, for example the right answer. */
  reference?: unknown;
  search?: SearchInput | undefined;
  /** Weight of each of the scorer's objectives, independent of the heads' mix. Default: 1 each. */
  guidance?: Readonly<Record<string, number>> | undefined;
};

/** What a search works with. */
export type SearchTools = {
  /** What guides it; the votes of `majority` alone need none. */
  scorer?: Scorer | undefined;
  /** Numbers answers so that those which vote alike have the same number. */
  vote?: ((texts: readonly string[]) => readonly (number | undefined)[]) | undefined;
  signal?: AbortSignal | undefined;
  /** What holds the rows; default with a key-value cache. */
  decoder?: ((model: LanguageModel) => Decoder) | undefined;
};

/** What happens during a search. */
export type SearchEvent =
  | {
      type: "step";
      step: number;
      /** All candidates of the step, those that are carried on marked as kept. */
      candidates: readonly SearchNode[];
    }
  | { type: "done"; completion: Completion; tree: SearchTree };

/** A subtree: paths that go on, and answers that still compete with them. */
type Group = { live: Path[]; ended: Path[] };

/** The rule that takes the answer. @throws MahaloError where the tools lack what it or the strategy needs */
const checkedChoice = (
  { strategy, choose }: Pick<SearchOptions, "strategy" | "choose">,
  { scorer, vote }: SearchTools,
): Choice => {
  const { choice, scored } = choiceOf(strategy, choose);
  if (scored && scorer === undefined) {
    throw new MahaloError("E_SEARCH_SCORER", `search: ${strategy} needs a scorer to choose by`, {
      hint: "name a reward model or a judge that guides it",
    });
  }
  if (choice.votes && vote === undefined) {
    const name = choose ?? strategy;
    throw new MahaloError("E_SEARCH_VOTE", `search: ${name} needs to know which answers are the same`);
  }
  return choice;
};

/** One search under way. */
class Search {
  readonly #request: SearchRequest;
  readonly #options: SearchOptions;
  readonly #tools: SearchTools;
  readonly #choice: Choice;
  readonly #strategy: Strategy;
  /** Candidates of the first step of each subtree. */
  readonly #begun: readonly number[];
  readonly #weights: number[];
  readonly #objectives: readonly string[];
  readonly #branches: Branches;
  readonly #answer: Sequence;
  readonly #nodes: SearchNode[] = [];
  readonly #groups: Group[];
  readonly #scoredBefore: number;
  #generated = 0;

  constructor(model: LanguageModel, request: SearchRequest, tools: SearchTools, decoder: Decoder) {
    const options = searchOptionsOf(request.search);
    this.#choice = checkedChoice(options, tools);
    const { sampling = { temperature: 1 }, maxNewTokens = mostTokens } = request;
    this.#request = request;
    this.#options = options;
    this.#tools = tools;
    this.#strategy = strategies.get(options.strategy);
    this.#begun = this.#strategy.begin(options);
    this.#objectives = tools.scorer?.objectives ?? [];
    this.#weights = guidanceWeights(this.#objectives, request.guidance);
    this.#branches = new Branches(model, decoder);
    this.#answer = new Sequence(model, { ...request, sampling, maxNewTokens, step: options.step });
    this.#groups = this.#begun.map(() => ({ live: [], ended: [] }));
    this.#scoredBefore = tools.scorer?.tokens ?? 0;
  }

  async *run(): AsyncGenerator<SearchEvent, void, undefined> {
    const { maxSteps } = this.#options;
    for (let step = 1; step <= maxSteps; step++) {
      throwIfAborted(this.#tools.signal, "searching");
      const candidates = await (step === 1 ? this.#first() : this.#next(step));
      if (candidates.length === 0) break;
      this.#compete(candidates, step);
      yield { type: "step", step, candidates: candidates.map(({ node }) => node) };
    }
    for (const group of this.#groups) {
      for (const path of group.live.splice(0)) {
        cutShort(path);
        this.#release(path);
        group.ended.push(path);
      }
    }
    yield this.#done();
  }

  #random(key: string): Random {
    return rng(this.#request.seed ?? 0, "search", key);
  }

  /** Candidates of the first step, which all go on from the prompt. */
  async #first(): Promise<Path[]> {
    const root = this.#branches.begin(this.#answer);
    const { scorer } = this.#tools;
    const state = await this.#asked(() => scorer?.begin(this.#request.prompt, this.#request.reference));
    const places = this.#begun.flatMap((count, group) =>
      Array.from({ length: count }, (_, index) => ({ group, key: `${group}:${index}` })),
    );
    const keys = places.map(({ key }) => key);
    const paths = await this.#grow(
      [{ from: { branch: root, state }, parent: undefined, keys }],
      1,
      (index) => element(places, index, "candidate").group,
    );
    if (paths.every(({ text }) => text.trim() === "")) {
      throw new MahaloError("E_SEARCH_EMPTY", `all ${paths.length} candidates of the first step are empty`, {
        hint: "look at the prompt, or raise the temperature",
        exitStatus: 1,
      });
    }
    return paths;
  }

  /** Candidates that go on from every living path. */
  async #next(step: number): Promise<Path[]> {
    const parents = this.#groups.flatMap(({ live }) => live);
    if (parents.length === 0) return [];
    const growths = parents.flatMap((parent) => {
      const from = parent.alive;
      const keys = Array.from({ length: parent.children }, (_, index) => `${parent.key}.${index}`);
      return from === undefined ? [] : [{ from, parent, keys }];
    });
    const owners = growths.flatMap(({ parent, keys }) => keys.map(() => parent.node.group));
    const paths = await this.#grow(growths, step, (index) => element(owners, index, "candidate"));
    for (const parent of parents) parent.alive = undefined;
    for (const group of this.#groups) group.live = [];
    return paths;
  }

  /** Grows candidates, merges equal ones, and lets go of what they grew from. */
  async #grow(
    growths: readonly {
      from: NonNullable<Path["alive"]>;
      parent: Path | undefined;
      keys: readonly string[];
    }[],
    step: number,
    groupOf: (index: number) => number,
  ): Promise<Path[]> {
    const grown = await this.#branches.grow(
      growths.map(({ from, keys }) => ({ from: from.branch, randoms: keys.map((key) => this.#random(key)) })),
      { ...this.#options, signal: this.#tools.signal },
    );
    const origins = growths.flatMap(({ from, parent, keys }) => keys.map((key) => ({ from, parent, key })));
    const all = zip(grown, origins).map(([growth, { from, parent, key }], index): Path => {
      const path = pathOf(growth, { parent, key, id: 0, group: groupOf(index), step }, this.#options);
      // The prefix's state, until the candidate has its own.
      if (path.alive !== undefined) path.alive.state = from.state;
      this.#generated += path.node.ids.length;
      return path;
    });
    const { kept, merged } = mergeEqual(all);
    for (const path of kept) {
      path.node.id = this.#nodes.length;
      this.#nodes.push(path.node);
    }
    for (const { alive } of merged) if (alive !== undefined) this.#branches.drop(alive.branch);
    await this.#scoreSteps(kept);
    for (const { from } of growths) {
      this.#branches.drop(from.branch);
      if (from.state !== undefined) this.#tools.scorer?.drop(from.state);
    }
    return kept;
  }

  /** Scores new candidates, all at once. */
  async #scoreSteps(paths: readonly Path[]): Promise<void> {
    const { scorer, signal } = this.#tools;
    if (scorer === undefined) return;
    const steps = paths.map((path) => scoredStepOf(path, path.alive?.state ?? 0));
    const results = await this.#asked(() => scorer.score(steps, signal));
    for (const [index, path] of paths.entries()) {
      const result = results[index];
      if (result === undefined)
        throw new MahaloError("E_SEARCH_SCORE", "the scorer left candidates out", { exitStatus: 1 });
      if (takeScores(path, result, this.#objectives, this.#options)) continue;
      this.#release(path);
      path.scores = [];
    }
  }

  /** What the scorer answers; an error that says not what it is becomes one of the scorer's. */
  async #asked<T>(ask: () => T | Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (cause) {
      if (cause instanceof MahaloError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      const names = this.#objectives.join(", ");
      throw new MahaloError("E_SEARCH_SCORER_FAILED", `the scorer of ${names} failed: ${reason}`, {
        cause,
        exitStatus: 1,
      });
    }
  }

  /** Lets candidates compete in their subtrees, as the strategy decides; what loses is let go. */
  #compete(candidates: readonly Path[], step: number): void {
    const scored = this.#weights.length > 0;
    for (const [index, group] of this.#groups.entries()) {
      const members = candidates.filter(
        ({ node, scores }) => node.group === index && !(scored && scores.length === 0),
      );
      const pool = [...group.ended, ...members];
      const totals = totalsOf(pool, this.#weights, this.#options);
      const competitors = zip(pool, totals).map(([{ node }, total]) => ({ node, total }));
      const random = this.#random(`step ${step}, subtree ${index}`);
      for (const [path, children] of zip(pool, this.#strategy.step(competitors, this.#options, random))) {
        path.children = children;
        path.node.kept = children > 0;
        if (!path.node.kept || path.finish !== undefined) this.#release(path);
      }
      const kept = pool.filter(({ node }) => node.kept);
      group.ended = kept.filter(({ finish }) => finish !== undefined);
      group.live = kept.filter(({ finish }) => finish === undefined);
    }
  }

  /** Frees what a path holds of the decoder and the scorer. */
  #release(path: Path): void {
    if (path.alive === undefined) return;
    this.#branches.drop(path.alive.branch);
    if (path.alive.state !== undefined) this.#tools.scorer?.drop(path.alive.state);
    path.alive = undefined;
  }

  #done(): SearchEvent {
    const ended = this.#groups.flatMap((group) => group.ended).sort((a, b) => a.node.id - b.node.id);
    const totals = totalsOf(ended, this.#weights, this.#options);
    const votes = this.#choice.votes ? this.#tools.vote?.(ended.map(({ text }) => text)) : undefined;
    const chosen = this.#choice.choose(
      zip(ended, totals).map(([{ node }, total], index) => ({ node, total, vote: votes?.[index] })),
    );
    const path = ended.find(({ node }) => node === chosen?.node);
    if (path === undefined) {
      throw new MahaloError("E_SEARCH_SCORE", "no candidate has a finite score", { exitStatus: 1 });
    }
    const { text, ids, finish = "length" } = path;
    const { prompt, seed = 0 } = this.#request;
    const tree: SearchTree = {
      format: "mahalo-trace",
      version: traceVersion,
      prompt: typeof prompt === "string" ? prompt : [...prompt],
      strategy: this.#options.strategy,
      settings: recordedSettings(this.#options),
      seed,
      ...(this.#answer.mix === undefined ? {} : { mix: { ...this.#answer.mix } }),
      weights: Object.fromEntries(zip(this.#objectives, this.#weights)),
      nodes: this.#nodes,
      path: lineOf(path).map(({ id }) => id),
      tokens: {
        generated: this.#generated,
        scored: (this.#tools.scorer?.tokens ?? 0) - this.#scoredBefore,
        answer: ids.length,
      },
      text,
      finish,
    };
    return { type: "done", completion: { text, ids: [...ids], finish }, tree };
  }
}

/**
 * Answers one request by guided search, and tells of every step.
 *
 * Candidates go on from the very tokens, cache and hidden state of the step that was chosen; nothing is encoded anew. A
 * candidate that ends is final and competes on; equal candidates of one branch are one. Every candidate has a random stream
 * of its own, named by its place in the tree, so that a seed gives the same tree whatever `batchSize` is. Sampling is at
 * temperature 1 unless the request says otherwise.
 *
 * Source: arXiv 2510.01167, section on PRM-guided decoding, for the strategy `step`.
 *
 * @throws MahaloError E_SEARCH_OPTIONS, E_SEARCH_SCORER, E_SEARCH_VOTE, E_GUIDE_WEIGHT; E_SEARCH_EMPTY where all first
 *   candidates are empty; E_SEARCH_SCORE for scores that are not finite; E_SEARCH_SCORER_FAILED where the scorer throws an
 *   error without a code, else its own; E_INTERRUPTED; what a wrong request throws
 *
 * @example
 * for await (const event of search(model, { ids, prompt }, { scorer })) {
 *   if (event.type === "done") console.log(event.completion.text);
 * }
 */
export async function* search(
  model: LanguageModel,
  request: SearchRequest,
  tools: SearchTools = {},
): AsyncGenerator<SearchEvent, void, undefined> {
  const decoder = (tools.decoder ?? cachedDecoder)(model);
  const scorer = tools.scorer && new OwnStates(tools.scorer);
  try {
    yield* new Search(model, request, { ...tools, scorer }, decoder).run();
  } finally {
    decoder.dispose();
    scorer?.dispose();
  }
}

/** The answer and the tree of {@link search}. */
export const searchAnswer = async (
  model: LanguageModel,
  request: SearchRequest,
  { onStep, ...tools }: SearchTools & { onStep?: (event: SearchEvent & { type: "step" }) => void } = {},
): Promise<{ completion: Completion; tree: SearchTree }> => {
  for await (const event of search(model, request, tools)) {
    if (event.type === "step") onStep?.(event);
    else return { completion: event.completion, tree: event.tree };
  }
  throw new MahaloError("E_INTERNAL", "a search without an end", { exitStatus: 1 });
};
