/** Tests of work on many items at a time: the limit, the order, errors and aborts. */
import { setImmediate as nextTick } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Limiter, mapInOrder } from "./limiter.ts";

/** Work that counts how much of it runs at a time, and ends after some turns of the event loop. */
const counting = () => {
  const count = { running: 0, most: 0, begun: 0 };
  const work = async (turns: number): Promise<number> => {
    count.running += 1;
    count.begun += 1;
    count.most = Math.max(count.most, count.running);
    for (let turn = 0; turn < turns; turn++) await nextTick();
    count.running -= 1;
    return turns;
  };
  return { count, work };
};
// At least one turn: work of none ends at once, before the next could run beside it.
const turns = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 40 });
const limit = fc.integer({ min: 1, max: 8 });

describe("work on many items", () => {
  test("never runs more at a time than the limit, and all it may; results keep the items' order", async () => {
    await fc.assert(
      fc.asyncProperty(turns, limit, async (items, most) => {
        const mapped = counting();
        expect(await mapInOrder(items, most, mapped.work)).toEqual(items);
        expect(mapped.count.most).toBe(Math.min(most, items.length));
        const limited = counting();
        const limiter = new Limiter(most);
        expect(await Promise.all(items.map((item) => limiter.run(() => limited.work(item))))).toEqual(items);
        expect(limited.count.most).toBeLessThanOrEqual(most);
        expect(limited.count.running).toBe(0);
      }),
    );
  });

  test("after an error nothing is begun, what runs is told and waited for, and the first error is thrown", async () => {
    const ended: number[] = [];
    const told: boolean[] = [];
    const work = async (item: number, _: number, ending: AbortSignal): Promise<number> => {
      if (item === 1) throw new Error("first");
      for (let turn = 0; turn < 5; turn++) await nextTick();
      told.push(ending.aborted);
      ended.push(item);
      if (item === 2) throw new Error("second");
      return item;
    };
    await expect(mapInOrder([0, 1, 2, 3, 4, 5], 3, work)).rejects.toThrow("first");
    expect(ended.toSorted()).toEqual([0, 2]);
    expect(told).toEqual([true, true]);
  });

  test("an abort lets nothing further begin", async () => {
    const stop = new AbortController();
    const begun: number[] = [];
    const work = async (item: number): Promise<void> => {
      begun.push(item);
      await nextTick();
      if (item === 1) stop.abort();
    };
    await expect(mapInOrder([0, 1, 2, 3], 1, work, stop.signal)).rejects.toMatchObject({
      code: "E_INTERRUPTED",
    });
    expect(begun).toEqual([0, 1]);
  });

  test("a limiter goes on after an error", async () => {
    const limiter = new Limiter(1);
    const failing = limiter.run(() => Promise.reject(new Error("one")));
    const next = limiter.run(async () => "two");
    await expect(failing).rejects.toThrow("one");
    expect(await next).toBe("two");
  });

  test("no items are no work", async () => {
    expect(await mapInOrder([], 3, async () => 1)).toEqual([]);
  });
});
