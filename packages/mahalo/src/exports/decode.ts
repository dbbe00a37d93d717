/** mahalo/decode: requests that join and leave, decoders, searches and their traces. */

export type { Guide } from "../decode/decode.ts";
export { cachedDecoder, type Decoder, type DecoderOptions, uncachedDecoder } from "../decode/decoder.ts";
export { Engine, type EngineOptions, Job } from "../decode/engine.ts";
export type { AnswerEvent, DoneEvent, StepEvent, TokenEvent } from "../decode/events.ts";
export { type JointModel, jointModel } from "../decode/joint-model.ts";
export { samplingFor } from "../decode/sampling.ts";
export { drawTree } from "../decode/search/draw.ts";
export type { SearchInput } from "../decode/search/options.ts";
export type { ScoredStep, Scorer, StepScores } from "../decode/search/scorer.ts";
export type { SearchTools } from "../decode/search/search.ts";
export { readTraces, writeTraces } from "../decode/search/trace-file.ts";
export type { SearchNode, SearchTree } from "../decode/search/tree.ts";
