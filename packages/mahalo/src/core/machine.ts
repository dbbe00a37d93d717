/** What this machine can do: processor, memory, GPUs. Plain files of Linux are read; elsewhere less is known. */
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { join } from "node:path";

/** The processor's name and the instructions that matter for speed. */
export type Processor = {
  name: string;
  /** Processors that this process may use. */
  count: number;
  avx2: boolean;
  avx512: boolean;
  /** bfloat16 products in hardware, by AVX512-BF16, AMX or Arm's BF16. */
  bf16: boolean;
  amx: boolean;
};

/** Bytes of memory. */
export type Memory = {
  /** The machine's, or the container's limit where that is lower. */
  total: number;
  /** What a new program could get. */
  available: number;
};

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

/** The instructions of the first processor in a Linux /proc/cpuinfo. */
const instructions = (cpuinfo: string): Set<string> =>
  new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(" ") ?? []);

/**
 * The processor.
 *
 * @param cpuinfo text of /proc/cpuinfo; elsewhere than on Linux there is none, and no ability is claimed.
 */
export const findProcessor = (cpuinfo: string = read("/proc/cpuinfo")): Processor => {
  const has = instructions(cpuinfo);
  const name = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? cpus()[0]?.model ?? "";
  return {
    name: name.trim() || process.arch,
    count: availableParallelism(),
    avx2: has.has("avx2"),
    avx512: has.has("avx512f") && has.has("avx512bw") && has.has("avx512vl"),
    bf16: has.has("avx512_bf16") || has.has("amx_bf16") || has.has("bf16"),
    amx: has.has("amx_tile"),
  };
};

const kilobytes = (meminfo: string, field: string): number | undefined => {
  const value = new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(meminfo)?.[1];
  return value === undefined ? undefined : Number(value) * 1024;
};

/** A container's memory limit and use; undefined without a limit. */
const containerMemory = (): { limit: number; used: number } | undefined => {
  const pairs = [
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"],
    ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"],
  ] as const;
  for (const [limitFile, usedFile] of pairs) {
    const limit = Number.parseInt(read(limitFile), 10);
    const used = Number.parseInt(read(usedFile), 10);
    if (Number.isFinite(limit) && Number.isFinite(used)) return { limit, used };
  }
  return undefined;
};

/** Memory of the machine, or of the container where that has less. */
export const findMemory = (
  meminfo: string = read("/proc/meminfo"),
  container: { limit: number; used: number } | undefined = containerMemory(),
): Memory => {
  const total = kilobytes(meminfo, "MemTotal") ?? totalmem();
  const available = kilobytes(meminfo, "MemAvailable") ?? freemem();
  if (container === undefined || container.limit >= total) return { total, available };
  return {
    total: container.limit,
    available: Math.max(0, Math.min(available, container.limit - container.used)),
  };
};

/** Names of NVIDIA GPUs that the driver knows; usable only where libtorch has its CUDA half. */
export const findGpus = (folder = "/proc/driver/nvidia/gpus"): string[] => {
  try {
    return readdirSync(folder).flatMap(
      (name) => /^Model:\s*(.*)$/m.exec(read(join(folder, name, "information")))?.[1]?.trim() ?? [],
    );
  } catch {
    return [];
  }
};
