/** One setting of our greedy generation, one stream and a batch; prints one line of JSON. Started by ../generate.ts. */
import { parseArgs } from "node:util";
import { setThreads } from "@mahalo/torch";
import { type LanguageModel, loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import { answer, endless } from "../endless.ts";
import { count, dtypeNames, dtypes, names } from "../options.ts";
import { benchModel } from "../peer-model.ts";
import { readRows } from "../rows.ts";
import { peakMemory, resetPeakMemory } from "../usage.ts";
import type { Side, Timed } from "./results.ts";

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

type Prompts = readonly (readonly number[])[];

/** All prompts in groups of `size`: first for one token each, then for all. */
const measure = async (
  model: LanguageModel,
  prompts: Prompts,
  { size, newTokens, threads }: { size: number; newTokens: number; threads: number },
): Promise<{ timed: Timed; first: readonly number[] }> => {
  const groups = Array.from({ length: Math.ceil(prompts.length / size) }, (_, index) =>
    prompts.slice(index * size, (index + 1) * size).map((ids) => ({ ids })),
  );
  await answer(model, groups[0] ?? [], 8);
  let promptSeconds = 0;
  for (const group of groups) promptSeconds += (await answer(model, group, 1)).seconds;
  const runs = [];
  for (const group of groups) runs.push(await answer(model, group, newTokens));
  const seconds = sum(runs.map((run) => run.seconds));
  const tokens = prompts.length * newTokens;
  const cpuShare = sum(runs.map(({ cpu }) => cpu)) / (threads * seconds);
  const timed = { batch: size, tokens, seconds, prompt_seconds: promptSeconds, cpu_share: cpuShare };
  return { timed, first: runs[0]?.ids[0] ?? [] };
};

const main = async (): Promise<Side> => {
  const text = { type: "string" } as const;
  const options = { rows: text, dtype: text, batch: text, "new-tokens": text, threads: text };
  const { values } = parseArgs({ options });
  const [dtype = "f32"] = names("dtype", values.dtype ?? "f32", dtypeNames);
  const batch = count("batch", values.batch ?? "1");
  const newTokens = count("new-tokens", values["new-tokens"] ?? "128");
  const threads = count("threads", values.threads ?? "1");
  setThreads(threads);
  const prompts = readRows(values.rows ?? "").map(({ prompt_ids }) => prompt_ids);
  const loaded = await loadModel(benchModel, { compute: dtypes[dtype] });
  const model = endless(loaded);
  const loadedBytes = resetPeakMemory();
  const { timed: single, first } = await measure(model, prompts, { size: 1, newTokens, threads });
  const size = Math.min(batch, prompts.length);
  const batched = size > 1 ? (await measure(model, prompts, { size, newTokens, threads })).timed : undefined;
  return {
    single,
    ...(batched === undefined ? {} : { batched }),
    new_tokens: newTokens,
    prompts: prompts.length,
    prompt_tokens: sum(prompts.map(({ length }) => length)) / prompts.length,
    peak_memory_bytes: peakMemory(),
    loaded_memory_bytes: loadedBytes,
    first_ids: [...first],
  };
};

process.stdout.write(`${JSON.stringify(await main())}\n`);
