/** Guided jobs: choices that are searched for, a few at a time, beside the engines that decode. */
import { throwIfAborted } from "../../core/interrupt.ts";
import { element } from "../../core/need.ts";
import { samplingFor } from "../../decode/sampling.ts";
import { type DecodeOptions, decode } from "../../search/decode.ts";
import { carriesOnePath } from "../../search/options.ts";
import type { SearchNode } from "../../search/tree.ts";
import { votesOf } from "../../search/votes.ts";
import { type ReadJob, seedOf } from "./generate-job.ts";
import type { Guides } from "./guides.ts";
import type { Guidance, JobEvent } from "./protocol.ts";
import type { ServedModel } from "./served-models.ts";
import type { Turnstile } from "./turnstile.ts";

/** What a step looked at, as clients are told. */
const candidateOf = ({ text, scores, total, kept, copies }: SearchNode) => ({
  text,
  scores: scores ?? {},
  total: total ?? null,
  kept,
  copies,
});

/** What the search of one choice needs. */
type SearchOptions = {
  served: ServedModel;
  guides: Guides;
  guidance: Guidance;
  signal: AbortSignal;
  maxBytes: number | undefined;
};

/** Searches for one choice. */
const searchChoice = async (
  { job, prompts }: ReadJob,
  choice: number,
  { served: { model }, guides, guidance, signal, maxBytes }: SearchOptions,
  emit: (event: JobEvent) => void,
): Promise<void> => {
  const ids = element(prompts, Math.floor(choice / job.n), "prompt");
  const form = element(job.prompts, Math.floor(choice / job.n), "prompt");
  const names = Object.keys(guidance.guides);
  const scorer = names.length === 0 ? undefined : guides.scorer(names, model.tokenizer);
  const { search } = guidance;
  const onePath = carriesOnePath(search);
  const { request, mix, maxNewTokens } = job;
  const sampling = samplingFor(model.generation, { temperature: 1, ...request.sampling });
  const options: DecodeOptions = {
    signal,
    maxBytes,
    guide: {
      prompt: "messages" in form ? form.messages : "text" in form ? form.text : model.tokenizer.decode(ids),
      search,
      guidance: guidance.guides,
      scorer,
      vote: votesOf,
    },
  };
  let given = 0;
  try {
    const asked = { ...request, sampling, ids, mix, maxNewTokens, seed: seedOf(job.seed, choice) };
    for await (const event of decode(model, asked, options)) {
      throwIfAborted(signal, "searching");
      if (event.type === "step") {
        const candidates = (event.candidates ?? []).map(candidateOf);
        emit({ type: "step", choice, step: event.steps, candidates });
        if (!onePath || event.text === undefined || event.text === "") continue;
        given += event.text.length;
        emit({ type: "delta", choice, text: event.text, tokens: 1 });
      } else if (event.type === "done") {
        const { text, finish, ids: answer } = event.completion;
        const rest = text.slice(given);
        if (rest !== "") emit({ type: "delta", choice, text: rest, tokens: 1 });
        const { generated = answer.length, scored = 0 } = event.tree?.tokens ?? {};
        emit({ type: "finish", choice, finish, tokens: answer.length, searched: { generated, scored } });
      }
    }
  } finally {
    scorer?.dispose();
  }
};

/** Searches for all choices of a job, one after the other, each once the turnstile lets it through. */
export const searchJob = async (
  read: ReadJob,
  options: SearchOptions & { turnstile: Turnstile },
  emit: (event: JobEvent) => void,
): Promise<void> => {
  const { turnstile, signal } = options;
  for (let choice = 0; choice < read.prompts.length * read.job.n; choice++) {
    await turnstile.run(async () => {
      throwIfAborted(signal, "searching");
      emit({ type: "start", choice, cachedTokens: 0 });
      await searchChoice(read, choice, options, emit);
    });
  }
  emit({ type: "end" });
};
