/** One setting of our decoding; prints one line of JSON. Started by ../decode.ts. */
import { parseArgs } from "node:util";
import { ops, scope, setThreads } from "@mahalo/torch";
import { type LanguageModel, loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import { evenMix, type Mix } from "../../packages/mahalo/src/model/heads/heads.ts";
import { loadRewardModel } from "../../packages/mahalo/src/model/reward/reward-model.ts";
import {
  computeUnder,
  type WeightsName,
  weightsNames,
} from "../../packages/mahalo/src/model/transformer/precision.ts";
import { modelScorer } from "../../packages/mahalo/src/search/scorers/model-scorer.ts";
import { searchAnswer } from "../../packages/mahalo/src/search/search.ts";
import type { SearchTree } from "../../packages/mahalo/src/search/tree.ts";
import { type Answered, answer, endless, type TimedPrompt } from "../endless.ts";
import { count, names } from "../options.ts";
import { benchModel } from "../peer-model.ts";
import { type BenchRow, readRows } from "../rows.ts";
import { cpuSeconds } from "../usage.ts";
import type { Side } from "./results.ts";
import { adaptersFolder, headsFolder, mixes, objectives } from "./tasks.ts";

const ways = ["stream", "mixes", "heads", "adapters", "search", "bandwidth"] as const;

type Settings = {
  rows: readonly BenchRow[];
  model: string;
  reward: string;
  weights: WeightsName;
  newTokens: number;
  threads: number;
  candidates: number;
  steps: number;
  stepTokens: number;
};

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const sideOf = (
  prompts: readonly TimedPrompt[],
  runs: readonly Answered[],
  promptSeconds: number,
  threads: number,
): Side => {
  const seconds = sum(runs.map((run) => run.seconds));
  return {
    tokens: sum(runs.flatMap(({ ids }) => ids.map(({ length }) => length))),
    seconds,
    prompt_seconds: promptSeconds,
    prompts: prompts.length,
    prompt_tokens: sum(prompts.map(({ ids }) => ids.length)),
    cpu_share: sum(runs.map(({ cpu }) => cpu)) / (threads * seconds),
    first_ids: [...(runs[0]?.ids[0] ?? [])],
  };
};

/** Prompts in groups of `size`: some tokens to warm up, one token each, then all. */
const measure = async (
  model: LanguageModel,
  prompts: readonly TimedPrompt[],
  size: number,
  { newTokens, threads }: Settings,
): Promise<Side> => {
  const groups = Array.from({ length: Math.ceil(prompts.length / size) }, (_, index) =>
    prompts.slice(index * size, (index + 1) * size),
  );
  await answer(model, groups[0] ?? [], 8);
  let promptSeconds = 0;
  for (const group of groups) promptSeconds += (await answer(model, group, 1)).seconds;
  const runs: Answered[] = [];
  for (const group of groups) runs.push(await answer(model, group, newTokens));
  return sideOf(prompts, runs, promptSeconds, threads);
};

const open = async (name: string, weights: WeightsName): Promise<LanguageModel> =>
  endless(await loadModel(name, { compute: computeUnder(weights, "bfloat16"), weights }));

const promptsOf = (rows: readonly BenchRow[], mixOf: (row: number) => Mix | undefined): TimedPrompt[] =>
  rows.map(({ prompt_ids }, row) => ({ ids: prompt_ids, mix: mixOf(row) }));

const stream = async (settings: Settings): Promise<Side> => {
  const model = await open(settings.model, settings.weights);
  return measure(
    model,
    promptsOf(settings.rows, () => undefined),
    1,
    settings,
  );
};

const mixed = async (settings: Settings): Promise<Side> => {
  const model = await open(settings.model, settings.weights);
  const prompts = promptsOf(settings.rows, (row) => mixes[row % mixes.length]);
  return measure(model, prompts, prompts.length, settings);
};

/** Two models or mixes, alternating prompt by prompt. */
const alternate = async (
  asked: readonly { model: LanguageModel; mix: Mix }[],
  { newTokens, threads, rows }: Settings,
): Promise<{ one: Side; mix: Side }> => {
  const sides = asked.map(({ model, mix }) => ({
    model,
    prompts: promptsOf(rows, () => mix),
    runs: [] as Answered[],
    promptSeconds: 0,
  }));
  for (const { model, prompts } of sides) await answer(model, prompts.slice(0, 1), 8);
  for (const row of rows.keys()) {
    for (const side of sides) {
      const prompt = side.prompts.slice(row, row + 1);
      side.promptSeconds += (await answer(side.model, prompt, 1)).seconds;
      side.runs.push(await answer(side.model, prompt, newTokens));
    }
  }
  const [single, mix] = sides.map(({ prompts, runs, promptSeconds }) =>
    sideOf(prompts, runs, promptSeconds, threads),
  );
  if (single === undefined || mix === undefined) throw new Error("a side is missing");
  return { one: single, mix };
};

const equal = evenMix(objectives);

/** One head, and a mix of all three. */
const heads = async (settings: Settings): Promise<{ one: Side; mix: Side }> => {
  const model = await open(settings.model, settings.weights);
  return alternate(
    [
      { model, mix: { [objectives[0]]: 1 } },
      { model, mix: equal },
    ],
    settings,
  );
};

/** A mix of heads, and of the same heads with adapters. */
const adapters = async (settings: Settings): Promise<{ one: Side; mix: Side }> => {
  const models = [await headsFolder(), await adaptersFolder()];
  const opened: LanguageModel[] = [];
  for (const model of models) opened.push(await open(model, settings.weights));
  return alternate(
    opened.map((model) => ({ model, mix: equal })),
    settings,
  );
};

const searched = async (settings: Settings): Promise<Side> => {
  const { rows, threads, candidates, steps, stepTokens } = settings;
  const { weights } = settings;
  const compute = computeUnder(weights, "bfloat16");
  const loaded = await loadModel(settings.model, { compute, weights });
  const model = endless(loaded);
  const reward = await loadRewardModel(settings.reward, { compute });
  // The scorer shares the generator's tokenizer; only the endless model's copy of it knows no end token.
  const scorer = modelScorer(reward, { tokenizer: loaded.tokenizer });
  const run = ({ prompt, prompt_ids: ids }: BenchRow, seed: number, maxSteps: number) => {
    if (typeof prompt !== "string") throw new Error("the rows' prompts must be texts");
    return searchAnswer(
      model,
      {
        ...{ prompt, ids, seed },
        sampling: { temperature: 1 },
        maxNewTokens: maxSteps * stepTokens,
        search: {
          ...{ strategy: "step", candidates, step: "line", maxSteps, maxStepTokens: stepTokens },
          boxed: false,
        },
      },
      { scorer },
    );
  };
  const [first] = rows;
  if (first === undefined) throw new Error("no rows");
  await run(first, 0, 1);
  const [began, cpuBegan] = [performance.now(), cpuSeconds()];
  const trees: SearchTree[] = [];
  for (const [seed, row] of rows.entries()) trees.push((await run(row, seed, steps)).tree);
  const seconds = (performance.now() - began) / 1000;
  const chosen = trees[0]?.nodes.filter(({ id }) => trees[0]?.path.includes(id)).flatMap(({ ids }) => ids);
  return {
    tokens: sum(trees.map(({ tokens }) => tokens.generated)),
    seconds,
    prompt_seconds: 0,
    prompts: rows.length,
    prompt_tokens: sum(rows.map(({ prompt_ids }) => prompt_ids.length)),
    cpu_share: (cpuSeconds() - cpuBegan) / (threads * seconds),
    first_ids: chosen ?? [],
  };
};

/** Bytes a second that sums over 256 MiB read, the best of several, for no sum can be faster than memory. */
const readRate = (): number => {
  const bytes = 2 ** 28;
  return scope(() => {
    const memory = ops.ones([bytes / 4]);
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 20; round++) {
      const began = performance.now();
      scope(() => memory.sum().item());
      best = Math.min(best, performance.now() - began);
    }
    return bytes / (best / 1000);
  });
};

/** Bytes of the weights that a step multiplies with: the layers' matrices and one head. */
const weightBytes = ({ backbone, heads }: LanguageModel, weights: WeightsName): number => {
  const matrices = [
    heads.base.value,
    ...backbone.weights.layers.flatMap(({ qkv, attentionOut, gateUp, down }) =>
      [qkv, attentionOut, gateUp, down].map(({ weight }) => weight.value),
    ),
  ];
  const width = { f32: 4, bf16: 2, int8: 1 }[weights];
  return sum(
    matrices.map(({ numel, shape }) => numel * width + (weights === "int8" ? 4 * (shape[0] ?? 0) : 0)),
  );
};

const bandwidth = async (settings: Settings) => {
  const before = readRate();
  const model = await open(settings.model, settings.weights);
  const side = await measure(
    model,
    promptsOf(settings.rows, () => undefined),
    1,
    settings,
  );
  return {
    side,
    bytes: weightBytes(model, settings.weights),
    bytes_per_second: Math.max(before, readRate()),
  };
};

const main = async (): Promise<unknown> => {
  const text = { type: "string" } as const;
  const options = {
    ...{ way: text, rows: text, model: text, reward: text, weights: text, threads: text },
    ...{ "new-tokens": text, candidates: text, steps: text, "step-tokens": text },
  };
  const { values } = parseArgs({ options });
  const [way = "stream"] = names("way", values.way ?? "stream", ways);
  const [weights = "bf16"] = names("weights", values.weights ?? "bf16", weightsNames);
  const settings: Settings = {
    rows: readRows(values.rows ?? ""),
    model: values.model ?? benchModel,
    reward: values.reward ?? "",
    weights,
    newTokens: count("new-tokens", values["new-tokens"] ?? "128", 2),
    threads: count("threads", values.threads ?? "1"),
    candidates: count("candidates", values.candidates ?? "5"),
    steps: count("steps", values.steps ?? "6"),
    stepTokens: count("step-tokens", values["step-tokens"] ?? "48"),
  };
  setThreads(settings.threads);
  return { stream, mixes: mixed, heads, adapters, search: searched, bandwidth }[way](settings);
};

process.stdout.write(`${JSON.stringify(await main())}\n`);
