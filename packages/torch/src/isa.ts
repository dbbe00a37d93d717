/** The instruction set that kernels use: MAHALO_ISA holds a process to one below what its processor has. */
import { MahaloError } from "./error.ts";

/** Sets of instructions, lowest first; on Arm `plain` is all that the compiler's target has. */
export const instructionSets = ["plain", "avx2", "avx512", "avx512-bf16", "amx"] as const;

/** A set of instructions. */
export type InstructionSet = (typeof instructionSets)[number];

/** What holds libtorch's own kernels, and those of oneDNN and MKL beneath them, to a set. */
const libraries: Record<InstructionSet, Record<string, string>> = {
  plain: { ATEN_CPU_CAPABILITY: "default", ONEDNN_MAX_CPU_ISA: "SSE41", MKL_ENABLE_INSTRUCTIONS: "SSE4_2" },
  avx2: { ATEN_CPU_CAPABILITY: "avx2", ONEDNN_MAX_CPU_ISA: "AVX2", MKL_ENABLE_INSTRUCTIONS: "AVX2" },
  avx512: {
    ATEN_CPU_CAPABILITY: "avx512",
    ONEDNN_MAX_CPU_ISA: "AVX512_CORE",
    MKL_ENABLE_INSTRUCTIONS: "AVX512",
  },
  "avx512-bf16": { ONEDNN_MAX_CPU_ISA: "AVX512_CORE_BF16", MKL_ENABLE_INSTRUCTIONS: "AVX512_E3" },
  amx: {},
};

/**
 * The set that MAHALO_ISA asks for, or undefined where it is not set.
 *
 * @throws MahaloError E_ISA for a name that is none
 */
export function requestedInstructionSet(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): InstructionSet | undefined {
  const { MAHALO_ISA: wanted } = environment;
  if (wanted === undefined || wanted === "") return undefined;
  const chosen = instructionSets.find((set) => set === wanted);
  if (chosen !== undefined) return chosen;
  throw new MahaloError("E_ISA", `MAHALO_ISA: "${wanted}" is not an instruction set`, {
    hint: `use one of ${instructionSets.join(", ")}, or leave it unset for the best that the processor has`,
  });
}

/** Tells libtorch of a requested set, before it is loaded; settings that are there already stay. */
export function holdLibraries(set: InstructionSet | undefined): void {
  if (set === undefined) return;
  for (const [name, value] of Object.entries(libraries[set])) process.env[name] ??= value;
}

/** @throws MahaloError E_ISA where a requested set is not the one in use, for the processor lacks it */
export function checkInstructionSet(wanted: InstructionSet | undefined, used: string, best: string): void {
  if (wanted === undefined || wanted === used) return;
  throw new MahaloError("E_ISA", `MAHALO_ISA: this processor does not have ${wanted}; its best is ${best}`, {
    hint: "use that or a lower one, or leave it unset",
  });
}
