/** safetensors: the customary file format of model weights, read and written. */
export { type LoadOptions, SafetensorsFile, type TensorStore } from "./file.ts";
export type { TensorEntry } from "./header.ts";
export { openSafetensors, ShardedSafetensors } from "./sharded.ts";
export { isWellFormed } from "./strict-json.ts";
export {
  type FolderOptions,
  type NamedTensors,
  type RawTensor,
  type WriteOptions,
  writeSafetensors,
  writeSafetensorsFolder,
} from "./write.ts";
