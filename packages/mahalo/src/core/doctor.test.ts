/** The diagnosis says what is there, and what to do about what could be better. */
import { expect, test } from "vitest";
import { type Diagnosis, describeDiagnosis, diagnose } from "./doctor.ts";

const quick = (f32: number, bf16: number): Diagnosis => diagnose({ measure: () => ({ f32, bf16 }) });

test("libtorch, processor, memory and rates are reported", () => {
  const found = quick(100e9, 300e9);
  expect(found.libtorch.version).toMatch(/^2\.15\./);
  expect(found.devices).toContain("cpu");
  expect(found.gemm).toEqual({ f32: 100, bf16: 300 });
  expect(found.model.there).toBe(true);
  const text = describeDiagnosis(found);
  expect(text).toContain("100 GF/s in f32, 300 GF/s in bf16");
  expect(text).toContain(found.libtorch.folder);
});

test("bf16 that is slower than f32 is advised against", () => {
  expect(quick(100e9, 20e9).advice.join()).toContain("compute in f32");
  expect(quick(100e9, 300e9).advice.join()).not.toContain("compute in f32");
});
