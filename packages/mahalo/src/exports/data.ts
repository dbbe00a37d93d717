/** mahalo/data: files to checked rows, rows to token ids, ids to batches. */

export { formats } from "../data/rows/formats.ts";
export {
  loadExamples,
  loadPreferences,
  loadPrompts,
  loadSteps,
  locateRows,
  type RowFile,
  type RowSource,
} from "../data/rows/load.ts";
export { type Origin, Problems, type Reason } from "../data/rows/problems.ts";
export type { ExampleRow, PreferenceRow, PromptRow } from "../data/rows/rows.ts";
export { limitRows, type SplitOptions, splitRows } from "../data/rows/split.ts";
export { parseStepRow, type StepRow } from "../data/rows/step-rows.ts";
export { type Balance, type BalanceOptions, balancedBatches } from "../data/tokens/balance.ts";
export type { ChatTemplate } from "../data/tokens/chat-template.ts";
export {
  type Encoded,
  type EncodedExample,
  type EncodedPair,
  type EncodedSteps,
  type EncodeOptions,
  encodeExamples,
  encodePairs,
  encodeSteps,
} from "../data/tokens/encode.ts";
export { endsOfTexts, type StepBoundary, StepScanner, stepEnds, stepTexts } from "../data/tokens/steps.ts";
export type { Tokenizer } from "../data/tokens/tokenizer.ts";
