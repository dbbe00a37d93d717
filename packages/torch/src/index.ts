/** Public surface of @mahalo/torch. */

export { cacheFolder, SET_UP_COMMAND } from "../setup/paths.mjs";
export { backward, enableGrad, grad, gradEnabled, noGrad } from "./autograd.ts";
export { describeError, MahaloError, type MahaloErrorOptions } from "./error.ts";
export {
  followLinks,
  isFileAt,
  isTemporaryName,
  keepAtExit,
  type LockAttempt,
  makeFolder,
  removeAtExit,
  sweepTemporaries,
  type Temporary,
  temporaryFile,
  temporaryFolder,
  tryLock,
} from "./files.ts";
export { type InstructionSet, instructionSets, requestedInstructionSet } from "./isa.ts";
export type { DType } from "./native.ts";
export * as ops from "./ops.generated.ts";
export {
  type AdamWOptions,
  adamW,
  clipGradNorm,
  gradNorm,
  Optimizer,
  type OptimizerOptions,
  type RmsPropOptions,
  rmsProp,
  type SgdOptions,
  sgd,
  type UpdateRule,
} from "./optim/index.ts";
export { Generator, manualSeed } from "./random.ts";
export { checkRegular } from "./regular-file.ts";
export {
  getThreads,
  hasCuda,
  instructionSet,
  setThreads,
  torchConfig,
  torchVersion,
} from "./runtime.ts";
export { fileStatus } from "./safetensors/errors.ts";
export {
  type FolderOptions,
  isWellFormed,
  type LoadOptions,
  type NamedTensors,
  openSafetensors,
  type RawTensor,
  SafetensorsFile,
  ShardedSafetensors,
  type TensorEntry,
  type TensorStore,
  type WriteOptions,
  writeSafetensors,
  writeSafetensorsFolder,
} from "./safetensors/index.ts";
export { SCHEDULES, type Schedule, type ScheduleName, type ScheduleOptions, schedule } from "./schedule.ts";
export { keep, liveTensors, scope } from "./scope.ts";
export { readSetUpRecord, type SetUpRecord } from "./setup-record.ts";
export { elementBytes, Tensor, type TensorOptions, type TypedArray, tensor } from "./tensor.ts";
