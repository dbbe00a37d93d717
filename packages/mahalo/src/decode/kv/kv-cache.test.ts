/** The key-value cache against a plain model of it: rows that join, fork, grow and leave, counted in bytes. */
import { MahaloError, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KvCache, type KvRow, pagesOf } from "./kv-cache.ts";
import { PAGE_POSITIONS } from "./kv-pages.ts";

const shape = { layers: 2, kvHeads: 2, headDim: 3, dtype: "float32", device: "cpu" } as const;
// Keys and values of 2 layers, 2 heads, 3 wide, 4 bytes each.
const bytesOfPage = 2 * 2 * 2 * PAGE_POSITIONS * 3 * 4;

/** A number for each place that says where it came from. */
const value = (stamp: number, token: number, head: number, element: number): number =>
  stamp * 1000 + token * 100 + head * 10 + element;

const states = (stamp: number, tokens: number): Tensor =>
  tensor(
    Float32Array.from({ length: tokens * 6 }, (_, at) =>
      value(stamp, Math.floor(at / 6), Math.floor(at / 3) % 2, at % 3),
    ),
    { shape: [tokens, 2, 3] },
  );

/** Appends tokens that carry a stamp: keys of layer l have stamp + l, values one more. */
const write = (cache: KvCache, row: KvRow, stamp: number, tokens: number): void => {
  cache.prepare([{ row, length: tokens }]);
  scope(() => {
    for (let layer = 0; layer < shape.layers; layer++) {
      cache.write(layer, row, states(stamp + layer, tokens), states(stamp + layer + 1, tokens));
    }
  });
  cache.advance(row, tokens);
};

type Command =
  | { kind: "open" }
  | { kind: "write"; row: number; tokens: number }
  | { kind: "fork"; row: number; share: number }
  | { kind: "free"; row: number };

const row = fc.nat(7);
const share = fc.double({ min: 0, max: 1, noNaN: true });
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 1, arbitrary: fc.constant<Command>({ kind: "open" }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("write" as const),
        row,
        tokens: fc.integer({ min: 1, max: 70 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("fork" as const), row, share }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("free" as const), row }) },
  ),
  { maxLength: 40 },
);

/** What a row's first keys are, element by element, as [G, length, E]. */
const flat = (tokens: readonly [number, number][]): number[] =>
  [0, 1].flatMap((head) =>
    tokens.flatMap(([stamp, token]) => [0, 1, 2].map((e) => value(stamp, token, head, e))),
  );

const errorOf = (body: () => unknown): MahaloError => {
  try {
    body();
  } catch (error) {
    if (error instanceof MahaloError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

describe("the cache", () => {
  test("holds what was written, whatever else joined, forked, grew or left", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const cache = new KvCache(shape);
        const model: { row: KvRow; tokens: [number, number][] }[] = [];
        let stamp = 0;
        for (const command of list) {
          if (command.kind === "open" || model.length === 0) {
            model.push({ row: cache.open(), tokens: [] });
            continue;
          }
          const one = model[command.row % model.length];
          if (one === undefined) continue;
          if (command.kind === "write") {
            stamp += 4;
            write(cache, one.row, stamp, command.tokens);
            for (let token = 0; token < command.tokens; token++) one.tokens.push([stamp, token]);
          } else if (command.kind === "free") {
            cache.free(one.row);
            model.splice(model.indexOf(one), 1);
          } else {
            const length = Math.floor(one.tokens.length * command.share);
            model.push({ row: cache.fork(one.row, length), tokens: one.tokens.slice(0, length) });
          }
          // Every page that is counted as used is held by a row, once however many hold it.
          const held = new Set(model.flatMap(({ row }) => row.pages));
          expect(cache.usedBytes).toBe(held.size * bytesOfPage);
          expect(cache.rows).toBe(model.length);
        }
        scope(() => {
          for (const { row, tokens } of model) {
            expect(row.length).toBe(tokens.length);
            if (tokens.length === 0) continue;
            for (const [layer, offset] of [
              [0, 0],
              [1, 1],
            ] as const) {
              const { k, v } = cache.read(layer, row, tokens.length);
              const moved = (by: number) => tokens.map(([at, token]): [number, number] => [at + by, token]);
              expect([...k.toFloat32Array()]).toEqual(flat(moved(offset)));
              expect([...v.toFloat32Array()]).toEqual(flat(moved(offset + 1)));
            }
          }
        });
        for (const { row } of model) cache.free(row);
        expect(cache.usedBytes).toBe(0);
        cache.dispose();
        expect(cache.bytes).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test("a fork of a long prefix costs at most a page, and only when it goes on", () => {
    const cache = new KvCache(shape);
    const long = cache.open();
    write(cache, long, 1, 20 * PAGE_POSITIONS + 5);
    const before = cache.usedBytes;
    expect(before).toBe(21 * bytesOfPage);
    const forks = Array.from({ length: 5 }, () => cache.fork(long));
    expect(cache.usedBytes).toBe(before);
    for (const [index, fork] of forks.entries()) write(cache, fork, 10 + index, 1);
    expect(cache.usedBytes).toBe(before + 5 * bytesOfPage);
    // What nobody else holds any more is written where it is.
    write(cache, long, 20, 1);
    expect(cache.usedBytes).toBe(before + 5 * bytesOfPage);
    const whole = cache.fork(long, 20 * PAGE_POSITIONS);
    write(cache, whole, 30, 1);
    expect(cache.usedBytes).toBe(before + 6 * bytesOfPage);
    cache.dispose();
  });

  test("refuses what the bound does not allow, before it changes anything", () => {
    const cache = new KvCache(shape, { maxBytes: 4 * bytesOfPage + 1 });
    const [a, b] = [cache.open(), cache.open()];
    write(cache, a, 1, 2 * PAGE_POSITIONS);
    const error = errorOf(() =>
      cache.prepare([
        { row: a, length: 1 },
        { row: b, length: PAGE_POSITIONS + 1 },
      ]),
    );
    expect(error.code).toBe("E_KV_MEMORY");
    expect(error.message).toMatch(/needs .* MB .* limit is .* MB/);
    expect(error.hint).toMatch(/maxBytes/);
    expect([a.pages.length, b.pages.length]).toEqual([2, 0]);
    expect(cache.usedBytes).toBe(2 * bytesOfPage);
    cache.prepare([
      { row: a, length: 1 },
      { row: b, length: PAGE_POSITIONS },
    ]);
    expect(cache.bytes).toBeLessThanOrEqual(4 * bytesOfPage + 1);
    cache.dispose();
  });

  test("rows that write into one page at once need a copy for all but one", () => {
    const cache = new KvCache(shape, { maxBytes: 4 * bytesOfPage });
    const first = cache.open();
    write(cache, first, 1, 5);
    const rows = [first, cache.fork(first), cache.fork(first), cache.fork(first)];
    cache.prepare(rows.map((row) => ({ row, length: 1 })));
    expect(new Set(rows.flatMap(({ pages }) => pages)).size).toBe(4);
    cache.dispose();
  });

  test("takes memory in slabs and gives it back when it is done", () => {
    const cache = new KvCache(shape);
    const row = cache.open();
    write(cache, row, 1, 65);
    expect(pagesOf(65)).toBe(3);
    expect(cache.bytes).toBe(16 * bytesOfPage);
    write(cache, row, 2, 16 * PAGE_POSITIONS);
    expect(cache.bytes).toBe(32 * bytesOfPage);
    cache.free(row);
    expect([cache.usedBytes, cache.bytes]).toEqual([0, 32 * bytesOfPage]);
    cache.dispose();
    expect(cache.bytes).toBe(0);
  });

  test("refuses rows and lengths that it does not have", () => {
    const cache = new KvCache(shape);
    const row = cache.open();
    expect(errorOf(() => cache.fork(row, 1)).message).toMatch(/cannot fork 1 tokens of a row of 0/);
    expect(errorOf(() => cache.fork(row, -1)).message).toMatch(/cannot fork -1 tokens/);
    cache.free(row);
    for (const body of [() => cache.free(row), () => cache.fork(row), () => cache.advance(row, 1)]) {
      expect(errorOf(body).message).toMatch(/freed/);
    }
    cache.dispose();
  });
});
