/** mahalo/decode: requests that join and leave, decoders, searches and their traces. */

export type { Reserve } from "../decode/admission.ts";
export { cachedDecoder, type Decoder, type DecoderOptions, uncachedDecoder } from "../decode/decoder.ts";
export { Engine, type EngineOptions } from "../decode/engine.ts";
export type { AnswerEvent, DoneEvent, StartEvent, StepEvent, TokenEvent } from "../decode/events.ts";
export { type LogitMixture, logitMixture } from "../decode/logit-mixing.ts";
export { RequestHandle } from "../decode/request-handle.ts";
export { samplingFor } from "../decode/sampling.ts";
export type { TokenLogprob } from "../decode/token-logprobs.ts";
export type { Guide } from "../search/decode.ts";
export { drawTree } from "../search/draw.ts";
export type { SearchInput } from "../search/options.ts";
export type { ScoredStep, Scorer, StepScores } from "../search/scorer.ts";
export type { SearchTools } from "../search/search.ts";
export { readTraces, writeTraces } from "../search/trace-file.ts";
export type { SearchNode, SearchTree } from "../search/tree.ts";
