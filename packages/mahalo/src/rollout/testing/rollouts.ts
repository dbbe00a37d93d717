/** A tiny model's rollouts, for tests and for the child process that one of them kills. */
import { hashBytes } from "../../core/files.ts";
import type { Judge } from "../../judges/types.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { tinyModel } from "../../model/testing/tiny.ts";
import type { StepEnds } from "../../scoring/prefix-ids.ts";
import { type ModelGeneratorOptions, modelGenerator, type RolloutGenerator } from "../generator.ts";
import { planResponses, type RolloutSource, runRollouts } from "../monte-carlo.ts";

/** Every five tokens end a step. */
export const everyFive: StepEnds = (ids) => {
  const ends = Array.from({ length: Math.floor(ids.length / 5) }, (_, step) => 5 * (step + 1));
  return ends.at(-1) === ids.length ? ends : [...ends, ids.length];
};

/** A judge that scores a response by its text alone, and tells how often it was asked. */
export const textJudge = (): Judge & { asked: number } => {
  const judge = {
    name: "text",
    asked: 0,
    score: async (items: Parameters<Judge["score"]>[0]) => {
      judge.asked += items.length;
      return items.map(({ response }) => {
        const byte = Number.parseInt(hashBytes(response).slice(0, 2), 16);
        return { score: Number(byte % 2 === 0), reason: `byte ${byte}` };
      });
    },
  };
  return judge;
};

/** Rows whose responses have two to four steps. */
export const rows = (count: number): RolloutSource[] =>
  Array.from({ length: count }, (_, index) => ({
    objective: "accuracy",
    kind: "verifiable" as const,
    prompt: `What is ${index} and ${index % 3}?`,
    response: ["It", "is", "so", "that", "we", "add", "and", "count", "on"]
      .slice(0, 5 + (index % 5))
      .join(" "),
    answer: String(index + (index % 3)),
    origin: { file: "rows.jsonl", line: index + 1 },
  }));

/** The tiny model as a generator that samples short answers. */
export const tinyGenerator = (
  model: LanguageModel,
  options: Partial<ModelGeneratorOptions> = {},
): RolloutGenerator =>
  modelGenerator(model, {
    name: "tiny-llama",
    weights: "tiny-llama",
    stepEnds: everyFive,
    boundary: "every five tokens",
    sampling: { temperature: 1 },
    maxNewTokens: 12,
    ...options,
  });

/** Waits for ever, and keeps the process alive. */
const forever = (): Promise<never> => new Promise(() => setInterval(() => {}, 3_600_000));

/**
 * Rolls `count` rows out into a file, three answers a prefix and about six a batch.
 *
 * @param last stops for good once so many answers were judged. Default: none
 */
export const rollTiny = async (
  out: string,
  count: number,
  { last = Number.POSITIVE_INFINITY }: { last?: number } = {},
): Promise<void> => {
  const model = await tinyModel("tiny-llama");
  try {
    const generator = tinyGenerator(model);
    const tasks = planResponses(rows(count), generator, { samples: 3 });
    const text = textJudge();
    const judge: Judge = {
      name: text.name,
      score: (items) => (text.asked < last ? text.score(items) : forever()),
    };
    await runRollouts(tasks, { out, generator, judge, judgeContent: "text", batchSize: 6 });
  } finally {
    model.dispose();
  }
};
