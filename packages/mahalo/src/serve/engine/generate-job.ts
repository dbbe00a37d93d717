/** One generate job on an engine: its prompts are read, its choices submitted, and their events sent on. */
import { rng } from "../../core/random.ts";
import type { Engine } from "../../decode/engine.ts";
import type { AnswerEvent, TokenEvent } from "../../decode/events.ts";
import { hasPhases } from "../../decode/mix-schedule.ts";
import { Sequence } from "../../decode/request.ts";
import type { RequestHandle } from "../../decode/request-handle.ts";
import { samplingFor } from "../../decode/sampling.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { evenMix, type Mix, normalizeMix } from "../../model/heads/heads.ts";
import { searchOptionsOf } from "../../search/options.ts";
import { echoOf } from "./echo.ts";
import { promptIds } from "./prompts.ts";
import type { ChosenToken, GenerateJob, JobEvent, TokenLogprob } from "./protocol.ts";
import type { ServedModel } from "./served-models.ts";

/** Seed of a choice: the first one's is the request's own, so that one choice is what the library answers under that seed. */
export const seedOf = (seed: number, choice: number): number =>
  choice === 0 ? seed : rng(seed, "choice", String(choice)).integer(2 ** 32);

const tokenLogprob = ({ tokenizer }: LanguageModel, id: number, logprob: number): TokenLogprob => ({
  id,
  text: tokenizer.decode([id]),
  logprob,
});

const chosen = (model: LanguageModel, { id, logprob, topLogprobs }: TokenEvent): ChosenToken[] =>
  logprob === undefined
    ? []
    : [
        {
          ...tokenLogprob(model, id, logprob),
          top: (topLogprobs ?? []).map((other) => tokenLogprob(model, other.id, other.logprob)),
        },
      ];

/** A job under way. */
export type RunningJob = {
  cancel(): void;
  /** @throws what went wrong with one of its choices, if anything did */
  check(): void;
};

/** A job with the ids of its prompts. */
export type ReadJob = {
  job: GenerateJob;
  prompts: readonly (readonly number[])[];
  /** Its normalised mix, where that does not change on the way. */
  mix: { mix?: Mix };
};

/** Reads a job's prompts. @throws MahaloError, RowProblem */
export const readJob = (served: ServedModel, job: GenerateJob): ReadJob => ({
  job,
  prompts: job.prompts.map((prompt) => promptIds(served, prompt)),
  mix: fixedMix(served.model, job),
});

/** Checks what only the model can say of a job's prompts and settings. @throws MahaloError what a wrong request throws */
export const checkJob = (model: LanguageModel, { job, prompts }: ReadJob): void => {
  const { step } = job.guidance === undefined ? {} : searchOptionsOf(job.guidance.search);
  const sampling = samplingFor(model.generation, job.request.sampling);
  for (const ids of prompts) new Sequence(model, { ...job.request, sampling, ids, mix: job.mix, step });
};

/**
 * Submits a job's choices. The first error ends the job: its other choices are cancelled.
 *
 * @param emit hears of everything, the last event being `end` or `error`
 * @throws MahaloError what a wrong request throws; nothing is then left behind
 */
export const startJob = (
  engine: Engine,
  { job, prompts, mix }: ReadJob,
  emit: (event: JobEvent) => void,
): RunningJob => {
  const { model } = engine;
  const handles: RequestHandle[] = [];
  let open = prompts.length * job.n;
  const cancel = (): void => {
    for (const handle of handles) handle.cancel();
  };
  const listener = (choice: number) => {
    let sent = 0;
    let held: ChosenToken[] = [];
    let tokens = 0;
    return (event: AnswerEvent): void => {
      switch (event.type) {
        case "start":
          emit({ type: "start", choice, cachedTokens: event.cachedTokens });
          return;
        case "token": {
          tokens += 1;
          held = [...held, ...chosen(model, event)];
          if (event.text === "") return;
          emit({ type: "delta", choice, text: event.text, tokens: tokens - sent, ...withLogprobs(held) });
          sent = tokens;
          held = [];
          return;
        }
        case "done": {
          const { finish, ids } = event.completion;
          // An end token has no text; what a stop string held back is no part of the answer, but was generated.
          if (held.length > 0)
            emit({ type: "delta", choice, text: "", tokens: tokens - sent, ...withLogprobs(held) });
          emit({ type: "finish", choice, finish, tokens: ids.length });
          open -= 1;
          if (open === 0) emit({ type: "end" });
          return;
        }
        case "step":
          return;
      }
    };
  };
  const empty = job.maxNewTokens === 0;
  try {
    // Nothing may be generated, but the prompts are checked as any other.
    if (empty) checkJob(model, { job, prompts, mix });
    const sampling = samplingFor(model.generation, job.request.sampling);
    for (const [index, ids] of prompts.entries()) {
      const request = { ...job.request, sampling, ids, mix: job.mix };
      for (let n = 0; n < (empty ? 0 : job.n); n++) {
        const choice = index * job.n + n;
        const seed = seedOf(job.seed, choice);
        const { maxNewTokens } = job;
        handles.push(engine.submit({ ...request, seed, maxNewTokens }, "request", listener(choice)));
      }
    }
  } catch (error) {
    cancel();
    throw error;
  }
  emit({ type: "prompts", tokens: prompts.map((ids) => ids.length), ...mix });
  const { echo } = job;
  if (echo !== undefined)
    for (const [prompt, ids] of prompts.entries())
      emit({ type: "echo", prompt, ...echoOf(model, ids, job.mix, echo) });
  if (empty) {
    for (let choice = 0; choice < open; choice++)
      emit({ type: "finish", choice, finish: "length", tokens: 0 });
    emit({ type: "end" });
  }
  const check = (): void => {
    for (const handle of handles) handle.throwIfFailed();
  };
  return { cancel, check };
};

const withLogprobs = (tokens: readonly ChosenToken[]): { logprobs?: readonly ChosenToken[] } =>
  tokens.length === 0 ? {} : { logprobs: tokens };

/** The normalised mix of answers whose mix does not change on the way; nothing for a model without objectives. */
const fixedMix = (
  { heads }: LanguageModel,
  { mix = evenMix(heads.objectives) }: GenerateJob,
): { mix?: Mix } =>
  heads.objectives.length === 0 || hasPhases(mix)
    ? {}
    : { mix: Object.fromEntries(normalizeMix(mix, heads.objectives)) };
