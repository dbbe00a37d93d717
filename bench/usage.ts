/** What a process of a bench has used: its peak of memory, and processor time. */
import { readFileSync, writeFileSync } from "node:fs";

/** Resident memory of this process in bytes, by its name in the kernel's status file. */
const memory = (field: "VmHWM" | "VmRSS"): number =>
  Number(new RegExp(`^${field}:\\s*(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1]) *
  1024;

/** Sets the kernel's peak of resident memory back to what is resident now, and gives that, in bytes. */
export const resetPeakMemory = (): number => {
  writeFileSync("/proc/self/clear_refs", "5");
  return memory("VmRSS");
};

/** Peak of resident memory since the reset, in bytes. */
export const peakMemory = (): number => memory("VmHWM");

/** Processor time of this process so far, all threads together. */
export const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
