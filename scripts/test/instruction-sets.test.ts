/** Which instruction sets a processor has, for CI to test under each. */
import { expect, test } from "vitest";
import { setsOf } from "../instruction-sets.mjs";

const avx2 = "sse2 sse4_2 avx fma avx2 bmi2";
const avx512 = `${avx2} avx512f avx512dq avx512cd avx512bw avx512vl`;

test.each([
  ["a laptop's without AVX-512", `flags\t\t: ${avx2}`, ["plain", "avx2"]],
  ["a server's without bf16 products", `flags\t\t: ${avx512}`, ["plain", "avx2", "avx512"]],
  [
    "one with bf16 products",
    `flags\t\t: ${avx512} avx512_bf16 avx512_vnni`,
    ["plain", "avx2", "avx512", "avx512-bf16"],
  ],
  [
    "one with tiles",
    `flags\t\t: ${avx512} avx512_bf16 avx512_vnni amx_bf16 amx_tile amx_int8`,
    ["plain", "avx2", "avx512", "avx512-bf16", "amx"],
  ],
  [
    "a first AVX-512 processor, which lacks half of it",
    `flags\t\t: ${avx2} avx512f avx512cd`,
    ["plain", "avx2"],
  ],
  ["an old one", "flags\t\t: sse2 sse4_2 avx", ["plain"]],
  ["Arm", "Features\t: fp asimd bf16 sve", []],
  ["nothing known", "", []],
])("%s", (_, cpuinfo, sets) => {
  expect(setsOf(`processor\t: 0\n${cpuinfo}\nbugs\t: none\n`)).toEqual(sets);
});
