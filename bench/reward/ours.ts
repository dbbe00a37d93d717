/** One setting of our scoring or of our rollouts; prints one line of JSON. Started by ../reward.ts. */
import { parseArgs } from "node:util";
import { setThreads } from "@mahalo/torch";
import type { Tokenizer } from "../../packages/mahalo/src/data/tokens/tokenizer.ts";
import { loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import { loadRewardModel } from "../../packages/mahalo/src/model/reward/reward-model.ts";
import {
  type GenerationRequest,
  modelGenerator,
  type Prepared,
} from "../../packages/mahalo/src/rollout/generator.ts";
import { scoreSteps } from "../../packages/mahalo/src/scoring/score.ts";
import { count, type DType, dtypeNames, dtypes, names } from "../options.ts";
import { benchModel } from "../peer-model.ts";
import { cpuSeconds, peakMemory, resetPeakMemory } from "../usage.ts";
import type { Rolled, Scored } from "./results.ts";
import { type BenchResponse, readResponses } from "./tasks.ts";

/** A tokenizer without end tokens: every answer gets the same number of tokens, so that both sides do the same work. */
const endless = (tokenizer: Tokenizer): Tokenizer => ({
  encode: (text, options) => tokenizer.encode(text, options),
  decode: (ids, options) => tokenizer.decode(ids, options),
  specialIds: tokenizer.specialIds,
  vocabSize: tokenizer.vocabSize,
  eosIds: [],
});

/** What a piece of work took. */
const timed = async <T>(
  threads: number,
  work: () => Promise<T>,
): Promise<{ value: T; seconds: number; cpu_share: number }> => {
  const [began, cpuBegan] = [performance.now(), cpuSeconds()];
  const value = await work();
  const seconds = (performance.now() - began) / 1000;
  return { value, seconds, cpu_share: (cpuSeconds() - cpuBegan) / (threads * seconds) };
};

const score = async (
  responses: readonly BenchResponse[],
  { model: folder, dtype, threads }: { model: string; dtype: DType; threads: number },
): Promise<Scored> => {
  const model = await loadRewardModel(folder, { compute: dtypes[dtype] });
  const texts = responses.map(({ prompt_ids, response_ids, ends }) => {
    return { prompt: prompt_ids, response: response_ids, ends };
  });
  resetPeakMemory();
  scoreSteps(model, texts.slice(0, 8));
  const { value, seconds, cpu_share } = await timed(threads, async () => scoreSteps(model, texts));
  return {
    seconds,
    cpu_share,
    peak_memory_bytes: peakMemory(),
    responses: responses.length,
    scores: value.flat(),
  };
};

type RollOptions = { dtype: DType; threads: number; samples: number; newTokens: number; batch: number };

const rollOut = async (
  responses: readonly BenchResponse[],
  { dtype, threads, samples, newTokens, batch }: RollOptions,
): Promise<Rolled> => {
  const loaded = await loadModel(benchModel, { compute: dtypes[dtype] });
  const model = { ...loaded, tokenizer: endless(loaded.tokenizer) };
  const generator = modelGenerator(model, {
    name: benchModel,
    weights: benchModel,
    stepEnds: (ids) => [ids.length],
    boundary: "line",
    sampling: { temperature: 1 },
    maxNewTokens: newTokens,
    batchSize: batch,
  });
  const rows = responses.map(({ prompt_ids, response_ids, ends }): Prepared => {
    const steps = ends.map((end, index) => ({
      text: "",
      ids: response_ids.slice(ends[index - 1] ?? 0, end),
    }));
    return { prompt: "", promptIds: prompt_ids, steps };
  });
  const jobs = rows.flatMap((row) =>
    row.steps
      .slice(1)
      .flatMap((_, index) =>
        Array.from({ length: samples }, (_, seed): GenerationRequest => ({ row, from: index + 1, seed })),
      ),
  );
  resetPeakMemory();
  await modelGenerator(model, {
    name: "",
    weights: "",
    stepEnds: () => [],
    boundary: "",
    maxNewTokens: 4,
  }).run(jobs.slice(0, batch));
  const { value, seconds, cpu_share } = await timed(threads, () => generator.run(jobs));
  return {
    seconds,
    cpu_share,
    peak_memory_bytes: peakMemory(),
    prefixes: jobs.length / samples,
    samples,
    new_tokens: value.reduce((total, { tokens = 0 }) => total + tokens, 0),
  };
};

const main = async (): Promise<Scored | Rolled> => {
  const text = { type: "string" } as const;
  const options = {
    ...{ part: text, rows: text, model: text, dtype: text, threads: text },
    ...{ samples: text, "new-tokens": text, batch: text },
  };
  const { values } = parseArgs({ options });
  const [dtype = "f32"] = names("dtype", values.dtype ?? "f32", dtypeNames);
  const threads = count("threads", values.threads ?? "1");
  setThreads(threads);
  const responses = readResponses(values.rows ?? "");
  if (values.part === "score") return score(responses, { model: values.model ?? "", dtype, threads });
  return rollOut(responses, {
    dtype,
    threads,
    samples: count("samples", values.samples ?? "8"),
    newTokens: count("new-tokens", values["new-tokens"] ?? "64"),
    batch: count("batch", values.batch ?? "32"),
  });
};

process.stdout.write(`${JSON.stringify(await main())}\n`);
