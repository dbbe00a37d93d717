/** What the HTTP thread and the engine's thread say to each other. */
import type { Message } from "../../data/rows/messages.ts";
import type { Prompt } from "../../data/rows/rows.ts";
import type { StepBoundary } from "../../data/tokens/step-boundary.ts";
import type { MixPlan } from "../../decode/mix-schedule.ts";
import type { Finish, GenerateRequest } from "../../decode/request.ts";
import type { Sampling } from "../../decode/sampling.ts";
import type { ControlFile } from "../../evaluate/control-file.ts";
import type { Mix } from "../../model/heads/heads.ts";
import type { WeightsName } from "../../model/transformer/precision.ts";
import type { SearchInput } from "../../search/options.ts";
import type { Guide } from "../../search/scorers/guides.ts";

/** A model to serve, and the name that clients call it by. */
export type ModelEntry = { id: string; source: string };

/** What the engine's thread is started with. */
export type EngineSettings = {
  models: readonly ModelEntry[];
  compute: "float32" | "bfloat16";
  weights?: WeightsName | undefined;
  /** Answers decoded side by side, per model. */
  parallel: number;
  /** Answers that may wait for room, and tokens of their prompts, over all models. */
  maxWaiting: number;
  maxWaitingTokens: number;
  /** What may guide searches, each with the name that requests call it by. */
  guides: readonly Guide[];
  /** Answers searched for side by side. */
  searches: number;
  /** Bound on the memory of keys and values, over all models. Default: half of what is available. */
  maxBytes?: number | undefined;
};

/** What clients may know of a model that is served. */
export type ModelInfo = {
  id: string;
  /** Names of the objectives, none for a plain model. */
  objectives: readonly string[];
  /** Longest prompt and answer together, in tokens. */
  contextLength: number;
  vocabSize: number;
  /** SHA-256 of the weights' files, shortened; the same for equal weights. */
  hash: string;
  /** Seconds since 1970 at which it was loaded. */
  created: number;
  /** How tokens are chosen for a request that says nothing of it. */
  sampling: Sampling;
  /** What its run measured, where it was kept with the model. */
  control?: ControlFile | undefined;
};

/** The text that is to be continued: a conversation, plain text, or token ids. */
export type PromptForm = { messages: Message[] } | { text: string } | { ids: readonly number[] };

/** Answers to one or more prompts, each with `n` choices; choice c of prompt p has number p * n + c. */
export type GenerateJob = {
  kind: "generate";
  model: string;
  prompts: readonly PromptForm[];
  n: number;
  mix?: MixPlan | undefined;
  seed: number;
  /** Longest answer in tokens; 0 where the prompts alone are asked for. */
  maxNewTokens: number;
  /** Whether the prompts' own text is told, and with how many of the likeliest tokens in each place. Default: not. */
  echo?: { logprobs: boolean; top: number } | undefined;
  /** Searches for the answers, by these guides. Default: they are sampled. */
  guidance?: Guidance | undefined;
  request: Omit<GenerateRequest, "ids" | "mix" | "seed" | "maxNewTokens">;
};

/** What guides a search: weights of the server's scores by name, and how it goes. */
export type Guidance = { guides: Readonly<Record<string, number>>; search: SearchInput };

/** Answers to be scored by step, under scores of the server. */
export type ScoreJob = {
  kind: "score";
  guides: readonly string[];
  items: readonly { prompt: Prompt; response: string }[];
  boundary?: StepBoundary | undefined;
};

/** Steps of an answer as spans of its text, each with its scores by name. */
export type ScoredItem = {
  steps: readonly { start: number; end: number; scores: Readonly<Record<string, number>> }[];
  /** Tokens that were read. */
  tokens: number;
};

/** A candidate of a search's step. */
export type Candidate = {
  text: string;
  scores: Readonly<Record<string, number>>;
  total: number | null;
  kept: boolean;
  copies: number;
};

/** Text into tokens. */
export type TokenizeJob = {
  kind: "tokenize";
  model: string;
  prompt: PromptForm;
};

/** Tokens into text. */
export type DetokenizeJob = { kind: "detokenize"; model: string; ids: readonly number[] };

/** A piece of work for the engine's thread. */
export type Job = GenerateJob | TokenizeJob | DetokenizeJob | ScoreJob;

/** A token with its log-probability; bytes that are no whole character are U+FFFD in its text. */
export type TokenLogprob = { id: number; text: string; logprob: number };

/** A chosen token, and the likeliest ones in its place. */
export type ChosenToken = TokenLogprob & { top: readonly TokenLogprob[] };

/** A token of a prompt; the first has no log-probability, since nothing comes before it. */
export type EchoedToken = { id: number; text: string; logprob: number | null; top: readonly TokenLogprob[] };

/** An error on its way between threads. */
export type PlainError = {
  code: string;
  message: string;
  hint?: string | undefined;
  /** Where it happened, for the log. */
  stack?: string | undefined;
};

/** What happens to a job. */
export type JobEvent =
  /** The prompts have been read; `mix` is what answers are made under, normalised, where it does not change on the way. */
  | { type: "prompts"; tokens: readonly number[]; mix?: Mix | undefined }
  /** A prompt's own text, told where the job asks for its echo. */
  | { type: "echo"; prompt: number; text: string; tokens: readonly EchoedToken[] }
  /** A choice has got its first room, with so many of its prompt's tokens out of memory. */
  | { type: "start"; choice: number; cachedTokens: number }
  | { type: "delta"; choice: number; text: string; tokens: number; logprobs?: readonly ChosenToken[] }
  | {
      type: "finish";
      choice: number;
      finish: Finish;
      tokens: number;
      searched?: { generated: number; scored: number };
    }
  /** A guided search has taken a step. */
  | { type: "step"; choice: number; step: number; candidates: readonly Candidate[] }
  | { type: "scores"; items: readonly ScoredItem[] }
  | { type: "tokens"; ids: readonly number[] }
  | { type: "text"; text: string }
  /** Nothing comes after it. */
  | { type: "end" }
  | { type: "error"; error: PlainError };

/** What the engine's thread reports of itself now and then. */
export type EngineStats = { running: number; waiting: number; usedBytes: number };

/** To the engine's thread. */
export type ToEngine = { type: "submit"; id: number; job: Job } | { type: "cancel"; id: number };

/** From the engine's thread. */
export type FromEngine =
  | { type: "ready"; models: readonly ModelInfo[]; guides: readonly string[]; scores: readonly string[] }
  | { type: "failed"; error: PlainError }
  | { type: "events"; events: readonly (readonly [id: number, event: JobEvent])[]; stats: EngineStats };
