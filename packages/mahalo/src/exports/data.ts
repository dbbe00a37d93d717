/** mahalo/data: files to checked rows, rows to token ids, ids to batches. */

export { type Balance, type BalanceOptions, balancedBatches } from "../data/balance.ts";
export type { ChatTemplate } from "../data/chat-template.ts";
export type { TextCodec } from "../data/codec.ts";
export {
  type Encoded,
  type EncodedExample,
  type EncodedPair,
  type EncodedSteps,
  type EncodeOptions,
  encodeExamples,
  encodePairs,
  encodeSteps,
} from "../data/encode.ts";
export { formats } from "../data/formats.ts";
export {
  loadExamples,
  loadPreferences,
  loadPrompts,
  loadSteps,
  locateRows,
  type RowFile,
  type RowSource,
} from "../data/load.ts";
export { type Origin, Problems, type Reason } from "../data/problems.ts";
export type { ExampleRow, PreferenceRow, PromptRow } from "../data/rows.ts";
export { limitRows, type SplitOptions, splitRows } from "../data/split.ts";
export { parseStepRow, type StepRow } from "../data/step-rows.ts";
export { endsOfTexts, type StepBoundary, StepScanner, stepEnds, stepTexts } from "../data/steps.ts";
