/** What continues responses from their step boundaries: the interface, and our own models behind it. */
import { need, zip } from "../core/need.ts";
import type { Prompt } from "../data/rows/rows.ts";
import { type GenerateOptions, generateAll } from "../decode/generate.ts";
import type { Finish, GenerateRequest } from "../decode/request.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import {
  cutIds,
  type EncodeRowOptions,
  encodeRow,
  type Step,
  type StepEnds,
  withoutEnd,
} from "../scoring/prefix-ids.ts";

/** A row ready to be continued. */
export type Prepared = {
  prompt: Prompt;
  /** Tokens of the prompt, where the generator works on tokens. */
  promptIds: readonly number[];
  /** The response's steps; their texts joined are the response. */
  steps: readonly Step[];
};

/** One answer to be made: it goes on behind the first `from` steps of a row. */
export type GenerationRequest = { row: Prepared; from: number; seed: number };

/** What goes on from a prefix. */
export type Continuation = {
  /** The text behind the prefix. */
  text: string;
  /** Steps of prefix and continuation together. */
  steps: number;
  finish: Finish;
  /** Tokens generated; undefined where an endpoint does not say. */
  tokens: number | undefined;
  /** Where the steps behind the prefix end in `text`, exclusive, in UTF-16 units; left out where it is not known. */
  cuts?: readonly number[] | undefined;
};

/** Options of {@link RolloutGenerator.run}. */
export type GenerationOptions = {
  signal?: AbortSignal | undefined;
  /** Called after each finished answer. */
  onDone?: (() => void) | undefined;
};

/** Makes answers that go on from a prefix; our own model, or an endpoint. */
export type RolloutGenerator = {
  readonly name: string;
  /** All that its answers depend on beside the row and the seed, as JSON can hold it. */
  readonly content: unknown;
  /**
   * Makes a row ready; without a response it is continued from its prompt alone.
   *
   * @throws RowProblem for a row that cannot be continued
   */
  prepare(prompt: Prompt, response: string | undefined): Prepared;
  /** One answer a request, in order. An answer depends on its request alone, not on its company. */
  run(requests: readonly GenerationRequest[], options?: GenerationOptions): Promise<Continuation[]>;
};

/** How our own model continues. */
export type ModelGeneratorOptions = Pick<GenerateRequest, "mix" | "sampling" | "maxNewTokens"> &
  Pick<GenerateOptions, "batchSize" | "decoder" | "sharePrefixes"> &
  EncodeRowOptions & {
    /** The model's name, for messages and results. */
    name: string;
    /** What identifies the model's weights, for example a hash of its files. */
    weights: unknown;
    stepEnds: StepEnds;
    /** What identifies `stepEnds`: the declared boundary. */
    boundary: unknown;
  };

/**
 * One of our own models as a generator.
 *
 * A prefix is the very tokens of the response up to its boundary, never its text encoded anew. Answers are generated
 * side by side, and what prefixes share is read once (`sharePrefixes`, default true): all that go on from one response
 * begin with copies of what the longest of them has read.
 *
 * @throws from `run`, what generation throws
 */
export const modelGenerator = (model: LanguageModel, options: ModelGeneratorOptions): RolloutGenerator => {
  const {
    name,
    weights,
    stepEnds,
    boundary,
    chat = true,
    maxPromptTokens,
    batchSize,
    decoder,
    sharePrefixes = true,
  } = options;
  const { mix, sampling, maxNewTokens } = options;
  const { tokenizer } = model;
  const textOf = (ids: readonly number[]): string => tokenizer.decode(ids, { skipSpecial: true });
  return {
    name,
    content: {
      kind: "model",
      weights,
      boundary,
      chat,
      maxPromptTokens,
      mix,
      sampling,
      maxNewTokens,
      dtype: model.backbone.compute,
    },
    prepare(prompt, response) {
      const { promptIds, ids } = encodeRow(model, prompt, response, { chat, maxPromptTokens });
      return { prompt, promptIds, steps: cutIds(tokenizer, ids, stepEnds) };
    },
    async run(requests, { signal, onDone } = {}) {
      const rows = new Map([...new Set(requests.map(({ row }) => row))].map((row, place) => [row, place]));
      const placed = requests.map(({ row, from, seed }, index) => {
        const prefix = row.steps.slice(0, from).flatMap(({ ids }) => ids);
        return {
          index,
          place: need(rows.get(row), "a request's row"),
          from,
          promptIds: row.promptIds,
          prefix,
          seed,
        };
      });
      // The longest prefix of a row first: the others begin with copies of it.
      const order = placed.toSorted((a, b) => a.place - b.place || b.from - a.from || a.index - b.index);
      const prompts = order.map(({ promptIds, prefix, seed }): GenerateRequest => {
        return { ids: [...promptIds, ...prefix], mix, sampling, maxNewTokens, seed };
      });
      const completions = await generateAll(model, prompts, {
        batchSize,
        decoder,
        sharePrefixes,
        signal,
        onCompletion: () => onDone?.(),
      });
      const answers: Continuation[] = [];
      for (const [{ ids, finish }, { index, prefix }] of zip(completions, order)) {
        const whole = [...prefix, ...withoutEnd(ids, tokenizer.eosIds)];
        const before = textOf(prefix).length;
        const ends = whole.length === 0 ? [] : stepEnds(whole);
        answers[index] = {
          text: textOf(whole).slice(before),
          steps: ends.length,
          finish,
          tokens: ids.length,
          cuts: ends.flatMap((end) => {
            return end > prefix.length ? [textOf(whole.slice(0, end)).length - before] : [];
          }),
        };
      }
      return answers;
    },
  };
};
