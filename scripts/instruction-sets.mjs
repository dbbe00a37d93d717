/** Prints the instruction sets below this processor's best one, lowest first, as MAHALO_ISA takes them; says on stderr which are tested. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What a processor must have for each set, lowest first; a set has those before it, too. */
const SETS = [
  { name: "plain", needs: ["sse2"] },
  { name: "avx2", needs: ["avx2", "fma"] },
  { name: "avx512", needs: ["avx512f", "avx512bw", "avx512dq", "avx512vl"] },
  { name: "avx512-bf16", needs: ["avx512_bf16", "avx512_vnni"] },
  { name: "amx", needs: ["amx_tile", "amx_bf16"] },
];

/** The sets of a processor, by the text of its /proc/cpuinfo; none on Arm. */
export const setsOf = (/** @type {string} */ cpuinfo) => {
  const flags = new Set(/^flags\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(" ") ?? []);
  const lacking = SETS.findIndex(({ needs }) => needs.some((flag) => !flags.has(flag)));
  return SETS.slice(0, lacking === -1 ? SETS.length : lacking).map(({ name }) => name);
};

const readCpuinfo = () => {
  try {
    return readFileSync("/proc/cpuinfo", "utf8");
  } catch {
    return "";
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const sets = setsOf(readCpuinfo());
  const below = sets.slice(0, -1);
  process.stderr.write(
    sets.length === 0
      ? `instruction sets: the compiler's own for ${process.arch} is all that is tested here\n`
      : `instruction sets: all tests under ${sets.at(-1)}; kernels, models, decoding and training under ${below.join(" and ") || "nothing else"}\n`,
  );
  for (const set of below) process.stdout.write(`${set}\n`);
}
