/** The tensors of a Hugging Face folder, and of the heads beside them. */
import { join } from "node:path";
import { type DType, MahaloError, openSafetensors, type TensorStore } from "@mahalo/torch";
import type { SourceTensor } from "./source-tensor.ts";

/** Weights may be stored in these types. */
const floats: Partial<Record<string, DType>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

/** File of the objectives' output heads, which other tools do not read. */
export const headsFile = "heads.safetensors";

/** File of the objectives' low-rank adapters. */
export const adaptersFile = "adapters.safetensors";

/** File of a reward model's value heads, for which other tools have no class. */
export const valueHeadFile = "value_head.safetensors";

const storedTensor = (store: TensorStore, name: string, folder: string): SourceTensor => {
  const { dtype: stored, shape } = store.entry(name);
  const dtype = floats[stored];
  if (dtype === undefined) {
    throw new MahaloError("E_MODEL_TENSOR_DTYPE", `${folder}: tensor ${name} is stored as ${stored}`, {
      hint: `use a model with weights in ${Object.keys(floats).join(", ")}`,
    });
  }
  return { name, shape, dtype, stored, load: () => store.bytes(name) };
};

/**
 * Opens the weights of a folder; headers are checked now, data is read when a tensor is loaded.
 *
 * @param beside files of heads in the same folder
 * @throws MahaloError E_SAFETENSORS, E_SAFETENSORS_FILE
 */
export const openWeights = (
  folder: string,
  beside: readonly string[] = [],
): (() => Generator<SourceTensor>) => {
  const stores = [openSafetensors(folder), ...beside.map((name) => openSafetensors(join(folder, name)))];
  return function* tensors() {
    for (const store of stores) for (const name of store.names) yield storedTensor(store, name, folder);
  };
};
