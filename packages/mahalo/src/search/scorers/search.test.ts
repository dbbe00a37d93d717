/** Guided search by reward models and judges: the tree of a slow search that recomputes everything, and the rules. */
import { type Tensor, tensor } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Message } from "../../data/rows/messages.ts";
import { stepEndsOf } from "../../data/tokens/steps.ts";
import { cachedDecoder, type Decoder, uncachedDecoder } from "../../decode/decoder.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import type { RewardModel } from "../../model/reward/reward-model.ts";
import { tinyModel } from "../../model/testing/tiny.ts";
import { tinyRewardModel } from "../../rollout/testing/reward-model.ts";
import { scoreSteps } from "../../scoring/score.ts";
import { encodeScored } from "../../scoring/score-text.ts";
import type { SearchInput } from "../options.ts";
import type { Scorer } from "../scorer.ts";
import { type SearchRequest, type SearchTools, searchAnswer } from "../search.ts";
import { strategies } from "../strategies/registry.ts";
import { type SearchTree, treeSchema } from "../tree.ts";
import { modelScorer } from "./model-scorer.ts";
import { severalScorers } from "./several-scorers.ts";

let model: LanguageModel;
let rewardModel: RewardModel;
beforeAll(async () => {
  model = await tinyModel("tiny-llama", { training: false });
  model.heads.addNoisyCopies(["accuracy", "wit"], { seed: 1, std: 0.3, compute: "float32" });
  rewardModel = await tinyRewardModel("tiny-llama", [
    { name: "accuracy", kind: "soft" },
    { name: "wit", kind: "value" },
  ]);
});
afterAll(() => {
  model.dispose();
  rewardModel.dispose();
});

const prompt: Message[] = [{ role: "user", content: "What is 2 + 2?" }];
const ids = [5, 17, 200, 42, 7, 9, 31];
const request = (search: SearchInput, more: Partial<SearchRequest> = {}): SearchRequest => ({
  ids,
  prompt,
  seed: 3,
  maxNewTokens: 40,
  search: { maxStepTokens: 6, maxSteps: 4, candidates: 3, width: 2, step: "line", ...search },
  ...more,
});

/** Answers whose tokens at even places vote alike: any number will do. */
const vote = (texts: readonly string[]): number[] => texts.map(({ length }) => length % 3);

const guided = async (
  asked: SearchRequest,
  { cached = true, objectives, ...tools }: SearchTools & { cached?: boolean; objectives?: string[] } = {},
): Promise<SearchTree> => {
  const scorer = modelScorer(rewardModel, { tokenizer: model.tokenizer, objectives, cached });
  try {
    const decoder = cached ? cachedDecoder : uncachedDecoder;
    const { completion, tree } = await searchAnswer(model, asked, { scorer, vote, decoder, ...tools });
    expect(completion.text).toBe(tree.text);
    return tree;
  } finally {
    scorer.dispose();
  }
};

/** A tree without what rounding may change. */
const shape = ({ nodes, path, text, finish, tokens: { generated, answer } }: SearchTree) => ({
  nodes: nodes.map(({ scores: _, total: __, ...node }) => node),
  path,
  text,
  finish,
  tokens: { generated, answer },
});

const scoresOf = ({ nodes }: SearchTree): number[] =>
  nodes.flatMap(({ scores = {} }) => Object.values(scores));

describe.each(strategies.names)("%s", (strategy: string) => {
  test("gives the tree of a search that recomputes everything from the tokens", async () => {
    const asked = request(
      { strategy },
      { mix: { accuracy: 0.6, wit: 0.4 }, guidance: { accuracy: 1, wit: -0.5 } },
    );
    const fast = await guided(asked);
    const slow = await guided(asked, { cached: false });
    expect(shape(fast)).toEqual(shape(slow));
    for (const [index, score] of scoresOf(slow).entries())
      expect(scoresOf(fast)[index]).toBeCloseTo(score, 4);
    expect(treeSchema.parse(JSON.parse(JSON.stringify(fast)))).toEqual(fast);
  });

  test("gives one tree for a seed, however many candidates decode side by side", async () => {
    const [one, few, other] = [
      await guided(request({ strategy, batchSize: 1 })),
      await guided(request({ strategy, batchSize: 4 })),
      await guided(request({ strategy }, { seed: 4 })),
    ];
    expect(shape(few)).toEqual(shape(one));
    expect(shape(other)).not.toEqual(shape(one));
  });

  test("carries exactly the text that it scored, and says what was spent", async () => {
    const tree = await guided(request({ strategy }));
    const byId = new Map(tree.nodes.map((node) => [node.id, node]));
    const line = tree.path.flatMap((id) => byId.get(id) ?? []);
    expect(line.map(({ text }) => text).join("")).toBe(tree.text);
    expect(line.every(({ kept }) => kept)).toBe(true);
    expect(line.map(({ parent }) => parent)).toEqual([undefined, ...tree.path.slice(0, -1)]);
    expect(line.at(-1)?.finish).toBe(tree.finish);
    expect(tree.tokens.answer).toBe(line.reduce((sum, node) => sum + node.ids.length, 0));
    const made = tree.nodes.reduce((sum, node) => sum + node.ids.length * node.copies, 0);
    expect(tree.tokens.generated).toBe(made);
    expect(tree.tokens.scored).toBeGreaterThan(0);
    // Every step's score is that of the whole prefix, encoded at once.
    const response = line.flatMap((node) => node.ids);
    let end = 0;
    const ends = line.map((node) => {
      end += node.ids.length;
      return end;
    });
    // Steps end where training cuts them, and where a limit does.
    for (const one of stepEndsOf(model.tokenizer, response, { by: "line" })) expect(ends).toContain(one);
    const { prompt: promptIds } = encodeScored(rewardModel, prompt, "So.", { objective: "accuracy" });
    const [wanted = []] = scoreSteps(rewardModel, [
      { prompt: promptIds, response, ends, objective: "accuracy" },
    ]);
    for (const [index, node] of line.entries())
      expect(node.scores?.accuracy).toBeCloseTo(wanted[index] ?? 0, 4);
  });
});

describe("what is chosen", () => {
  test("step keeps the candidate with the highest weighed score of every step", async () => {
    const tree = await guided(
      request({ strategy: "step", candidates: 5 }, { guidance: { accuracy: 0, wit: 1 } }),
    );
    for (const kept of tree.nodes.filter((node) => node.kept)) {
      const rivals = tree.nodes.filter(({ step }) => step === kept.step);
      expect(Math.max(...rivals.map(({ scores }) => scores?.wit ?? Number.NaN))).toBe(kept.scores?.wit);
    }
    expect(tree.nodes.filter((node) => node.kept)).toHaveLength(tree.path.length);
  });

  test("beam keeps as many as its width, dvts one a subtree", async () => {
    const beam = await guided(request({ strategy: "beam" }));
    const dvts = await guided(request({ strategy: "dvts", width: 3 }));
    expect(beam.nodes.filter(({ step, kept }) => step === 1 && kept)).toHaveLength(2);
    for (const group of [0, 1, 2]) {
      expect(dvts.nodes.filter((node) => node.step === 1 && node.kept && node.group === group)).toHaveLength(
        1,
      );
    }
  });

  test("heads and guidance are weighed independently, and a model without objectives can be guided", async () => {
    const base = await tinyModel("tiny-llama", { training: false });
    const scorer = modelScorer(rewardModel, { tokenizer: base.tokenizer, objectives: ["wit"] });
    const { tree } = await searchAnswer(base, request({}), { scorer });
    expect(tree).not.toHaveProperty("mix");
    expect(tree.weights).toEqual({ wit: 1 });
    scorer.dispose();
    base.dispose();
    const mixed = await guided(
      request({}, { mix: { accuracy: 1, wit: 0 }, guidance: { accuracy: 0, wit: 2 } }),
    );
    expect(mixed).toMatchObject({ mix: { accuracy: 1, wit: 0 }, weights: { accuracy: 0, wit: 2 } });
  });

  test("votes: the largest class wins, by scores where they weigh", async () => {
    const plain = await guided(request({ strategy: "majority", candidates: 9 }));
    const counts = new Map<number, number>();
    const answers = plain.nodes.filter(({ finish }) => finish !== undefined);
    expect(answers).toHaveLength(9);
    const lineText = (id: number | undefined): string => {
      const node = plain.nodes.find((node) => node.id === id);
      return node === undefined ? "" : lineText(node.parent) + node.text;
    };
    for (const { id } of answers) {
      const [own = 0] = vote([lineText(id)]);
      counts.set(own, (counts.get(own) ?? 0) + 1);
    }
    expect(counts.get(vote([plain.text])[0] ?? -1)).toBe(Math.max(...counts.values()));
  });

  test("any search may let its answers vote", async () => {
    const texts: string[][] = [];
    const counted = (given: readonly string[]): number[] => {
      texts.push([...given]);
      return given.map((_, index) => (index === 0 ? 0 : 1));
    };
    const asked = request({ strategy: "dvts", width: 3, choose: "majority" });
    const tree = await guided(asked, { vote: counted });
    const [answers = []] = texts;
    expect(answers).toHaveLength(3);
    expect(tree.text).toBe(answers[1]);
    expect(tree.settings).toMatchObject({ strategy: "dvts", choose: "majority" });
    const same = await guided(request({ strategy: "dvts", width: 3 }));
    expect(tree.nodes.map(({ ids: own }) => own)).toEqual(same.nodes.map(({ ids: own }) => own));
  });
});

describe("rules", () => {
  /** Scores by a function of the text; counts its states. */
  const byText = (score: (text: string) => number): Scorer & { states: Set<number> } => {
    const states = new Set<number>();
    let next = 0;
    const add = (): number => {
      states.add(next);
      return next++;
    };
    return {
      objectives: ["text"],
      tokens: 0,
      states,
      begin: async () => add(),
      score: async (steps) => {
        const found = steps.map(({ text }) => score(text));
        return found.map((text) => ({ state: add(), scores: { text } }));
      },
      drop: (state) => {
        if (!states.delete(state)) throw new Error(`state ${state} dropped twice`);
      },
      dispose: () => undefined,
    };
  };
  const run = (search: SearchInput, scorer: Scorer, more: Partial<SearchRequest> = {}) =>
    searchAnswer(model, request(search, more), { scorer, vote }).then(({ tree }) => tree);

  test("equal candidates are one, and say how many they were", async () => {
    const tree = await run(
      { candidates: 6 },
      byText(() => 1),
      { sampling: { temperature: 0 } },
    );
    expect(tree.nodes.every(({ copies }) => copies === 6)).toBe(true);
    expect(tree.nodes).toHaveLength(tree.path.length);
    expect(tree.tokens.generated).toBe(6 * tree.tokens.answer);
  });

  test("a score that is not finite is an error that names it, or leaves the candidate out", async () => {
    const odd = (text: string): number => (text.length % 2 === 1 ? Number.NaN : text.length);
    await expect(run({ candidates: 8 }, byText(odd))).rejects.toMatchObject({
      code: "E_SEARCH_SCORE",
      message: expect.stringMatching(/step 1, candidate \d+: its score for "text" is NaN/),
    });
    const tree = await run({ candidates: 8, badScores: "drop", maxSteps: 1 }, byText(odd));
    expect(tree.text.length % 2).toBe(0);
    const never = run(
      { badScores: "drop" },
      byText(() => Number.NaN),
    );
    await expect(never).rejects.toMatchObject({ code: "E_SEARCH_SCORE" });
  });

  test("a scorer that throws ends the search with its error; no state is left behind", async () => {
    let calls = 0;
    const broken = byText(() => {
      calls += 1;
      if (calls > 4) throw new Error("out of order");
      return 1;
    });
    await expect(run({}, broken)).rejects.toMatchObject({
      code: "E_SEARCH_SCORER_FAILED",
      message: "the scorer of text failed: out of order",
      cause: expect.any(Error),
    });
    expect(broken.states.size).toBe(0);
    const whole = byText(({ length }) => length);
    await run({ strategy: "beam" }, whole);
    expect(whole.states.size).toBe(0);
  });

  /** A decoder whose states make one token by far the likeliest. */
  const always =
    (id: number) =>
    (guidedModel: LanguageModel): Decoder => {
      const decoder = cachedDecoder(guidedModel);
      const towards = (hidden_ND: Tensor): Tensor =>
        guidedModel.heads.base.value
          .indexSelect(0, tensor(new Int32Array(hidden_ND.size(0)).fill(id), { dtype: "int64" }))
          .mul(1e4);
      return new Proxy(decoder, {
        get: (target, name) => {
          if (name === "extend")
            return (...given: Parameters<Decoder["extend"]>) => towards(decoder.extend(...given));
          if (name === "step")
            return (...given: Parameters<Decoder["step"]>) => towards(decoder.step(...given));
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    };

  test("candidates that all say nothing are an error, not an answer", async () => {
    const [eos = 0] = model.tokenizer.eosIds;
    const scorer = byText(() => 1);
    const nothing = searchAnswer(model, request({}), { scorer, decoder: always(eos) });
    await expect(nothing).rejects.toMatchObject({
      code: "E_SEARCH_EMPTY",
      message: "all 1 candidates of the first step are empty",
    });
    expect(scorer.states.size).toBe(0);
  });

  test("a step of whole turns ends with the answer or a limit", async () => {
    const tree = await run(
      { step: "turn", maxStepTokens: 64 },
      byText(({ length }) => length),
    );
    expect(tree.path).toHaveLength(1);
    expect(["end", "length"]).toContain(tree.finish);
    const cut = await run(
      { step: "turn", maxStepTokens: 5, maxSteps: 2 },
      byText(({ length }) => length),
    );
    expect(cut.nodes.every((node) => node.ids.length <= 5)).toBe(true);
    expect(cut.tokens.answer).toBeLessThanOrEqual(10);
  });

  test("an answer that ends is final, and can still be the best later", async () => {
    const eos = model.tokenizer.eosIds;
    const scorer = byText(() => 1);
    const tree = await run({ strategy: "beam", width: 3, candidates: 4 }, scorer);
    for (const node of tree.nodes) {
      if (node.finish === undefined) continue;
      expect(tree.nodes.some(({ parent }) => parent === node.id)).toBe(false);
      if (node.finish === "end") expect(eos).toContain(node.ids.at(-1));
    }
  });

  test("strategies say what they lack, settings which field is wrong", async () => {
    const bare = (search: SearchInput) => searchAnswer(model, request(search));
    await expect(bare({ strategy: "step" })).rejects.toMatchObject({ code: "E_SEARCH_SCORER" });
    await expect(bare({ strategy: "majority" })).rejects.toMatchObject({ code: "E_SEARCH_VOTE" });
    await expect(bare({ candidates: 0 })).rejects.toMatchObject({
      code: "E_SEARCH_OPTIONS",
      message: expect.stringContaining("candidates"),
    });
    await expect(
      run(
        {},
        byText(() => 1),
        { guidance: { texd: 1 } },
      ),
    ).rejects.toMatchObject({
      code: "E_GUIDE_WEIGHT",
      message: expect.stringMatching(/no scorer scores "texd".*"?text/),
    });
    expect(() => severalScorers([byText(() => 1), byText(() => 1)])).toThrow('two scores are called "text"');
  });

  test("several scorers side by side give what each gives alone", async () => {
    const scorer = severalScorers([
      modelScorer(rewardModel, { tokenizer: model.tokenizer, objectives: ["accuracy"] }),
      byText(({ length }) => length),
    ]);
    const tree = await run({}, scorer, { guidance: { accuracy: 1, text: 0 } });
    scorer.dispose();
    const alone = await guided(request({}), { objectives: ["accuracy"] });
    expect(shape(tree)).toEqual(shape(alone));
    expect(tree.nodes.every(({ scores }) => typeof scores?.text === "number")).toBe(true);
  });
});
