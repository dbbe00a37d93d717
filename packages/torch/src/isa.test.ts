/** A set of instructions is asked for by its name, and holds libtorch's own libraries, too. */
import { beforeEach, expect, test, vi } from "vitest";
import { checkInstructionSet, holdLibraries, instructionSets, requestedInstructionSet } from "./isa.ts";

const variables = ["ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS"];
beforeEach(() => {
  for (const name of variables) vi.stubEnv(name, undefined);
});

test.each(instructionSets)("%s is asked for by its name", (set) => {
  expect(requestedInstructionSet({ MAHALO_ISA: set })).toBe(set);
});

test("another name is an error, none is no wish", () => {
  expect(() => requestedInstructionSet({ MAHALO_ISA: "sse" })).toThrow(/"sse" is not an instruction set/);
  expect(requestedInstructionSet({})).toBeUndefined();
  expect(requestedInstructionSet({ MAHALO_ISA: "" })).toBeUndefined();
});

test.each(instructionSets)("%s holds oneDNN to itself, unless it is the highest", (set) => {
  holdLibraries(set);
  const { ONEDNN_MAX_CPU_ISA: held } = process.env;
  const expected = {
    plain: "SSE41",
    avx2: "AVX2",
    avx512: "AVX512_CORE",
    "avx512-bf16": "AVX512_CORE_BF16",
    amx: undefined,
  };
  expect(held).toBe(expected[set]);
});

test("what is set already stays", () => {
  vi.stubEnv("ONEDNN_MAX_CPU_ISA", "AVX2");
  holdLibraries("avx512-bf16");
  expect(process.env.ONEDNN_MAX_CPU_ISA).toBe("AVX2");
});

test("a set that the processor lacks is an error", () => {
  expect(() => checkInstructionSet("amx", "avx512-bf16", "avx512-bf16")).toThrow(/does not have amx/);
  checkInstructionSet(undefined, "avx512-bf16", "amx");
  checkInstructionSet("avx2", "avx2", "amx");
});
