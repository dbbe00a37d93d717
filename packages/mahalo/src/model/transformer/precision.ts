/** The dtype that a precision setting means on this machine. */
import { findProcessor } from "../../core/machine.ts";
import type { ComputeDType } from "./parameters.ts";

/** Precision as users name it; `auto` is bf16 where the processor has it. */
export type Precision = "auto" | "f32" | "bf16";

/** Dtype to compute in: bf16 only where the processor multiplies it in hardware; elsewhere it is slower than f32. */
export const computeDType = (precision: Precision): ComputeDType =>
  precision === "bf16" || (precision === "auto" && findProcessor().bf16) ? "bfloat16" : "float32";

/** How weights are held for decoding, as users name it: their dtype, or int8 copies beside the computing dtype. */
export type WeightsName = "f32" | "bf16" | "int8";

/** All of them. */
export const weightsNames: readonly WeightsName[] = ["f32", "bf16", "int8"];

/** Dtype to compute in under a choice of weights, which decides where it names a dtype; else the given one. */
export const computeUnder = (weights: WeightsName | undefined, compute: ComputeDType): ComputeDType => {
  if (weights === undefined || weights === "int8") return compute;
  return weights === "bf16" ? "bfloat16" : "float32";
};
