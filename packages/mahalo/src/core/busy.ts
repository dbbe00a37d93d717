/** Whether other programs take the processors that this one would use: what is timed meanwhile says little. */

import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";

/** What was seen of a machine over a while: processors that others kept busy, of all there are, and threads wanted. */
export type Load = { others: number; processors: number; threads: number };

/** A quarter of the wanted threads may miss their processor: less than that no timing shows. */
const tolerated = 1 / 4;

/**
 * Whether others take so many processors that not all threads find one of their own.
 *
 * @example isBusy({ others: 1, processors: 2, threads: 2 }) // true
 * @example isBusy({ others: 30, processors: 64, threads: 16 }) // false
 */
export const isBusy = ({ others, processors, threads }: Load): boolean =>
  others > processors - threads + tolerated * threads;

/** Seconds that all processors have worked since the machine began, and how many there are. */
const workedSeconds = (): { worked: number; processors: number } => {
  const all = cpus();
  const worked = all.reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0);
  return { worked: worked / 1000, processors: Math.max(1, all.length) };
};

/** Shortest while that the system's clocks, of a hundredth of a second, say something about. */
const shortest = 250;

/**
 * Begins to watch what others do; call what it returns for what they did since.
 *
 * @param threads threads that this process wants to run at once
 *
 * @example
 * const watch = watchOthers(getThreads());
 * measure();
 * isBusy(await watch());
 */
export function watchOthers(threads: number): () => Promise<Load> {
  const began = performance.now();
  const usedBefore = process.cpuUsage();
  const { worked: before } = workedSeconds();
  return async () => {
    const waits = shortest - (performance.now() - began);
    if (waits > 0) await sleep(waits);
    const seconds = (performance.now() - began) / 1000;
    const { user, system } = process.cpuUsage(usedBefore);
    const { worked, processors } = workedSeconds();
    const others = (worked - before - (user + system) / 1e6) / seconds;
    return { others: Math.max(0, others), processors, threads: Math.min(threads, processors) };
  };
}
