/** Monte-Carlo rollouts: from every step boundary M answers go on, each is judged, and all is kept batch by batch. */
import { MahaloError } from "@mahalo/torch";
import { hashBytes } from "../core/files.ts";
import { resumes, throwIfAborted } from "../core/interrupt.ts";
import { canonicalJson } from "../core/json.ts";
import { element, zip } from "../core/need.ts";
import { progress } from "../core/progress.ts";
import { rng } from "../core/random.ts";
import type { Answer } from "../data/rows/answers.ts";
import { messageKey } from "../data/rows/messages.ts";
import { type Origin, type ProblemStep, Problems } from "../data/rows/problems.ts";
import { type Prompt, promptMessages } from "../data/rows/rows.ts";
import type { Judge, JudgedItem } from "../judges/types.ts";
import { openRollouts, type Rollout, type RolloutRow } from "./file.ts";
import type { Continuation, GenerationRequest, RolloutGenerator } from "./generator.ts";

/** Raised when equal rows and settings would give other rollouts. */
const version = 2;

/** A row to be rolled out: a prompt, and the response whose steps are to be valued where there is one. */
export type RolloutSource = {
  objective: string;
  kind: "verifiable" | "judged";
  prompt: Prompt;
  response?: string | undefined;
  /** Quality of each step, where the data say so; must be as many as the response has steps. */
  labels?: readonly number[] | undefined;
  /** What the judge compares with. */
  answer?: Answer | undefined;
  origin: Origin;
};

/** An answer that is to be made. */
export type RolloutSample = {
  request: GenerationRequest;
  /** Its number among those from the same prefix. */
  sample: number;
  /** How many of the row's steps it follows. */
  from: number;
  /** Steps of the whole answer, where that is known before it is made. */
  steps?: number | undefined;
};

/** A row with all that is to be made for it; what {@link runRollouts} carries out. */
export type RolloutTask = {
  row: Omit<RolloutRow, "key" | "judge" | "rollouts">;
  /** Endings that stand in the data; they are judged, not generated. */
  recorded: readonly Pick<Rollout, "from" | "text" | "steps">[];
  made: readonly RolloutSample[];
  /** What the judge is shown of an ending. */
  item(from: number, text: string): JudgedItem;
};

/** What decides which answers are made. */
export type SampleOptions = {
  /** Answers from each prefix: M. Default 8. */
  samples?: number | undefined;
  /** The answers' random streams derive from it, each from its prefix's text and its number. Default 0. */
  seed?: number | undefined;
};

/** Options of {@link planResponses}. */
export type ResponseOptions = SampleOptions & {
  /** Go on from the prompt alone, too. Default false; rows without a response always do. */
  fromPrompt?: boolean | undefined;
};

/** Options of {@link runRollouts}. */
export type RunRolloutsOptions = {
  /** File to write, or to go on with. */
  out: string;
  /** What makes the answers; may be left out where all endings are recorded. */
  generator?: RolloutGenerator | undefined;
  judge: Judge;
  /** All that verdicts depend on, as JSON can hold it: `judgeContent` of the declaration. */
  judgeContent: unknown;
  /** Answers of a batch; what a killed run loses at most. A row's answers are all in one batch. Default 64. */
  batchSize?: number | undefined;
  signal?: AbortSignal | undefined;
};

/** What a run of rollouts came to. */
export type RolloutSummary = {
  file: string;
  rows: number;
  /** Answers that were generated, in this run and before it. */
  rollouts: number;
  /** Rows that the file held already. */
  kept: number;
  /** Mean score of the generated answers that got one; null where none did. */
  meanScore: number | null;
  /** Answers that ended at their length limit or at the model's context. */
  cut: number;
  /** Endings on which the judge abstained. */
  abstained: number;
};

/** The seed of an answer: of its prefix's text and its number, so that it does not depend on what else is made. */
export const sampleSeed = (seed: number, prompt: Prompt, prefix: string, sample: number): number => {
  const turns = promptMessages(prompt).map(messageKey);
  // 31 bits, since endpoints take signed 32-bit seeds.
  return rng(seed, "rollout", hashBytes(canonicalJson([turns, prefix])), String(sample)).integer(2 ** 31);
};

/** The answers that are to go on behind `from` steps of a prepared row. @throws MahaloError E_ROLLOUT */
export const samplesFrom = (
  row: GenerationRequest["row"],
  from: number,
  { samples = 8, seed = 0 }: SampleOptions,
): RolloutSample[] => {
  if (!Number.isSafeInteger(samples) || samples < 0) {
    throw new MahaloError("E_ROLLOUT", `samples: ${samples} is not a whole number from 0`);
  }
  const prefix = row.steps
    .slice(0, from)
    .map(({ text }) => text)
    .join("");
  return Array.from({ length: samples }, (_, sample) => ({
    request: { row, from, seed: sampleSeed(seed, row.prompt, prefix, sample) },
    sample,
    from,
  }));
};

/**
 * Plans the rollouts of prompts and responses.
 *
 * From every boundary inside a response `samples` answers go on; behind its last step the response itself is the
 * ending. A row without a response is answered from its prompt.
 *
 * @param problems where rows are counted that cannot be continued
 * @throws MahaloError E_ROLLOUT; E_DATA_TOO_MANY_BAD
 */
export const planResponses = (
  sources: readonly RolloutSource[],
  generator: RolloutGenerator,
  options: ResponseOptions = {},
  problems: Problems = new Problems(),
): RolloutTask[] => {
  const step = problems.step("rollouts");
  const tasks = sources.flatMap((source): RolloutTask[] => {
    step.see(source);
    return step.guard(source.origin, () => [planResponse(source, generator, options, step)].flat()) ?? [];
  });
  step.check();
  return tasks;
};

const planResponse = (
  source: RolloutSource,
  generator: RolloutGenerator,
  options: ResponseOptions,
  step: ProblemStep,
): RolloutTask | [] => {
  const { objective, kind, prompt, response, labels, answer, origin } = source;
  const prepared = generator.prepare(prompt, response);
  const steps = prepared.steps.map(({ text }) => text);
  if (labels !== undefined && labels.length !== steps.length) {
    step.skip("the number of labels differs from the number of steps at the chosen boundary");
    return [];
  }
  const first = steps.length === 0 || options.fromPrompt === true ? 0 : 1;
  const froms = steps.length === 0 ? [0] : steps.map((_, from) => from).slice(first);
  return {
    row: {
      objective,
      kind,
      prompt,
      steps,
      ...(labels === undefined ? {} : { labels: [...labels] }),
      ...(answer === undefined ? {} : { answer }),
      origin,
    },
    recorded: steps.length === 0 ? [] : [{ from: steps.length, text: "", steps: steps.length }],
    made: froms.flatMap((from) => samplesFrom(prepared, from, options)),
    item: (from, text) => ({
      prompt: promptMessages(prompt),
      response: steps.slice(0, from).join("") + text,
      ...(answer === undefined ? {} : { reference: answer }),
      where: `${origin.file}:${origin.line}`,
    }),
  };
};

/** The key of a task: a hash of its row and of all that its rollouts depend on. */
const keyOf = (
  { row, recorded, made }: RolloutTask,
  { generator, judgeContent }: RunRolloutsOptions,
): string => {
  // The rest of a prepared row follows from the row and the generator.
  const asked = made.map(
    ({
      request: {
        row: { prompt },
        seed,
      },
      sample,
      from,
    }) => ({ prompt, seed, sample, from }),
  );
  return hashBytes(
    canonicalJson({ version, row, recorded, asked, generator: generator?.content, judge: judgeContent }),
  );
};

/** Whole tasks together, until a batch has as many answers as asked. */
const batchesOf = (tasks: readonly RolloutTask[], size: number): RolloutTask[][] => {
  const batches: RolloutTask[][] = [];
  let answers = Number.POSITIVE_INFINITY;
  for (const task of tasks) {
    if (answers >= size) {
      batches.push([]);
      answers = 0;
    }
    batches.at(-1)?.push(task);
    answers += task.made.length;
  }
  return batches;
};

const wrongCount = (who: string, given: number, asked: number): MahaloError =>
  new MahaloError("E_ROLLOUT", `${who} gave ${given} results for ${asked} endings`, { exitStatus: 1 });

type Ending = Omit<Rollout, "score" | "reason">;

const endingOf = ({ sample, from, steps }: RolloutSample, answer: Continuation): Ending => ({
  from,
  sample,
  text: answer.text,
  steps: steps ?? answer.steps,
  finish: answer.finish,
  ...(answer.tokens === undefined ? {} : { tokens: answer.tokens }),
  // Of an answer that is no part of the response, such as a student's reply, the steps mean nothing.
  ...(answer.cuts === undefined || steps !== undefined ? {} : { cuts: [...answer.cuts] }),
});

/** Makes and judges the answers of a batch; a list of rollouts for each task. */
const runBatch = async (
  tasks: readonly RolloutTask[],
  { generator, judge, signal }: RunRolloutsOptions,
  onDone: () => void,
): Promise<Rollout[][]> => {
  const asked = tasks.flatMap(({ made }, task) => made.map((sample) => ({ task, sample })));
  const requests = asked.map(({ sample }) => sample.request);
  const answers = requests.length === 0 ? [] : ((await generator?.run(requests, { signal, onDone })) ?? []);
  if (answers.length !== requests.length) {
    throw wrongCount(generator?.name ?? "no generator", answers.length, requests.length);
  }
  const endings: { task: number; ending: Ending }[] = zip(answers, asked).map(
    ([answer, { task, sample }]) => ({
      task,
      ending: endingOf(sample, answer),
    }),
  );
  for (const [task, { recorded }] of tasks.entries()) {
    for (const rollout of recorded)
      endings.push({ task, ending: { ...rollout, sample: 0, finish: "recorded" } });
  }
  const items = endings.map(({ task, ending }) =>
    element(tasks, task, "task").item(ending.from, ending.text),
  );
  const verdicts = await judge.score(items, { signal });
  if (verdicts.length !== endings.length) throw wrongCount(judge.name, verdicts.length, endings.length);
  const rollouts: Rollout[][] = tasks.map(() => []);
  for (const [{ score, reason }, { task, ending }] of zip(verdicts, endings)) {
    element(rollouts, task, "task").push({ ...ending, score, reason });
  }
  return rollouts;
};

const summarize = (file: string, rows: readonly RolloutRow[], kept: number): RolloutSummary => {
  const all = rows.flatMap(({ rollouts }) => rollouts);
  const sampled = all.filter(({ finish }) => finish !== "recorded");
  const scores = sampled.flatMap(({ score }) => score ?? []);
  return {
    file,
    rows: rows.length,
    rollouts: sampled.length,
    kept,
    meanScore: scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length,
    cut: sampled.filter(({ finish }) => finish === "length" || finish === "context").length,
    abstained: all.filter(({ score }) => score === null).length,
  };
};

/**
 * Carries out rollouts, batch by batch, into a file of JSON lines.
 *
 * Where the file is there, what it holds is checked by key and gone on from: a run that was killed at any point and
 * started again gives the very file of one that never stopped, and loses at most one batch.
 *
 * @throws MahaloError E_ROLLOUT_OTHER if the file holds something else; E_INTERRUPTED; what model, endpoint and judge
 *   throw; whole batches that were done by then are in the file
 */
export const runRollouts = async (
  tasks: readonly RolloutTask[],
  options: RunRolloutsOptions,
): Promise<RolloutSummary> => {
  const { out, judge, batchSize = 64, signal } = options;
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    throw new MahaloError("E_ROLLOUT", `batchSize: ${batchSize} is not a positive whole number`);
  }
  const batches = batchesOf(tasks, batchSize);
  const keys = batches.map((batch) => batch.map((task) => keyOf(task, options)));
  const { writer, batches: whole, rows } = await openRollouts(out, keys);
  const kept = rows.length;
  const count = (list: readonly RolloutTask[]): number =>
    list.reduce((total, { made }) => total + made.length, 0);
  let done = count(batches.slice(0, whole).flat());
  const bar = progress({ label: "rollout", total: count(tasks), unit: "answers", from: done });
  try {
    for (const [index, [batch, batchKeys]] of zip(batches, keys).entries()) {
      if (index < whole) continue;
      throwIfAborted(signal, "making rollouts", resumes);
      const rollouts = await runBatch(batch, options, () => bar.update(++done));
      for (const [index, [task, answers]] of zip(batch, rollouts).entries()) {
        const row = {
          key: element(batchKeys, index, "key"),
          ...task.row,
          judge: judge.name,
          rollouts: answers,
        };
        writer.write(row);
        rows.push(row);
      }
      writer.sync();
    }
  } finally {
    writer.close();
  }
  bar.done();
  return summarize(out, rows, kept);
};
