/** What this machine can do: processor, memory, GPUs. Plain files of Linux are read; elsewhere less is known. */
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { join, posix } from "node:path";
import {
  getThreads,
  type InstructionSet,
  instructionSets,
  readSetUpRecord,
  requestedInstructionSet,
} from "@mahalo/torch";

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

let cpuInfoText: string | undefined;

/** The text of /proc/cpuinfo, read once: it does not change. */
const cpuInfo = (): string => {
  cpuInfoText ??= read("/proc/cpuinfo");
  return cpuInfoText;
};

/** The instructions of the first processor in a Linux /proc/cpuinfo. */
const instructions = (cpuinfo: string): Set<string> =>
  new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(" ") ?? []);

/** Whether a set of instructions is used: MAHALO_ISA may hold kernels below what the processor has. */
const uses = (set: InstructionSet, limit: InstructionSet | undefined): boolean =>
  limit === undefined || instructionSets.indexOf(set) <= instructionSets.indexOf(limit);

/**
 * The processor, with the instructions that this process uses of it.
 *
 * @param cpuinfo text of /proc/cpuinfo; elsewhere than on Linux there is none, and no ability is claimed.
 * @param limit the highest set of instructions that is used; default MAHALO_ISA's, else no limit
 */
export const findProcessor = (
  cpuinfo: string = cpuInfo(),
  limit: InstructionSet | undefined = requestedInstructionSet(),
): Processor => {
  const has = instructions(cpuinfo);
  const name = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? cpus()[0]?.model ?? "";
  return {
    name: name.trim() || process.arch,
    count: availableParallelism(),
    avx2: has.has("avx2") && uses("avx2", limit),
    avx512: has.has("avx512f") && has.has("avx512bw") && has.has("avx512vl") && uses("avx512", limit),
    bf16: has.has("bf16") || ((has.has("avx512_bf16") || has.has("amx_bf16")) && uses("avx512-bf16", limit)),
    amx: has.has("amx_tile") && has.has("amx_bf16") && uses("amx", limit),
  };
};

/** All that decides the last bits of results, and speeds, beside the program's input: processor, threads, instructions and libraries. */
export const computeIdentity = () => {
  const { libtorch, addon } = readSetUpRecord();
  const { name, count } = findProcessor();
  return {
    processor: [name, count, getThreads(), requestedInstructionSet() ?? "all"],
    libraries: [libtorch.fingerprint, addon.hash],
  };
};

const kilobytes = (meminfo: string, field: string): number | undefined => {
  const value = new RegExp(`^${field}:\\s*(\\d+) kB$`, "m").exec(meminfo)?.[1];
  return value === undefined ? undefined : Number(value) * 1024;
};

/** Where control groups say what memory a group may use, and uses, by version. */
const groupFiles = {
  v1: {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cached: /^total_(?:in)?active_file (\d+)$/gm,
  },
  v2: { limit: "memory.max", used: "memory.current", cached: /^(?:in)?active_file (\d+)$/gm },
} as const;

/** A group and all groups above it, innermost first: `/a/b`, `/a`, `/`. */
const groupsUpward = (group: string): string[] => {
  const path = posix.resolve("/", group);
  return path === "/" ? [path] : [path, ...groupsUpward(posix.dirname(path))];
};

/**
 * The lowest memory limit of the control groups that this process is in, and what its group uses; undefined without one.
 *
 * Limits nest: a job of Slurm or a unit of systemd is bound by its own group and by all groups above. Cached files count
 * as free, since the kernel gives them up before it ends a process.
 *
 * @param cgroup text of /proc/self/cgroup.
 * @param mount where control groups are mounted.
 */
export const containerMemory = (
  cgroup: string = read("/proc/self/cgroup"),
  mount = "/sys/fs/cgroup",
): { limit: number; used: number } | undefined => {
  const groups = [...cgroup.matchAll(/^\d+:([^:]*):(.*)$/gm)].flatMap(([, controllers = "", path = ""]) => {
    const version: keyof typeof groupFiles = controllers === "" ? "v2" : "v1";
    if (version === "v1" && !controllers.split(",").includes("memory")) return [];
    const mounts = version === "v2" ? ["", "unified"] : ["memory", controllers];
    return mounts.map((name) => ({ root: join(mount, name), path, files: groupFiles[version] }));
  });
  const bounds = groups.flatMap(({ root, path, files }) =>
    groupsUpward(path).flatMap((group) => {
      const limit = Number.parseInt(read(join(root, group, files.limit)), 10);
      const used = Number.parseInt(read(join(root, group, files.used)), 10);
      if (!Number.isFinite(limit) || !Number.isFinite(used)) return [];
      const stat = read(join(root, group, "memory.stat"));
      const cached = [...stat.matchAll(files.cached)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
      return [{ limit, used: Math.max(0, used - cached) }];
    }),
  );
  if (bounds.length === 0) return undefined;
  // What may still be taken is bound by the group that has the least left, which need not be that of the lowest limit.
  const limit = Math.min(...bounds.map((bound) => bound.limit));
  const left = Math.min(...bounds.map((bound) => bound.limit - bound.used));
  return { limit, used: limit - left };
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
