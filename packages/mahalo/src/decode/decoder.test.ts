/** The cached decoder, its kernels on and off, against whole rows computed anew: whatever rows do, their states are equal. */
import { MahaloError, scope, type Tensor } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import { distance, type TinyName, tinyModel } from "../model/testing/tiny.ts";
import { cachedDecoder, type Decoder, uncachedDecoder } from "./decoder.ts";
import { type KvShape, PAGE_POSITIONS, pageBytes } from "./kv/kv-pages.ts";

const models = new Map<TinyName, LanguageModel>();
const modelOf = (name: TinyName): LanguageModel => {
  const model = models.get(name);
  if (model === undefined) throw new Error(`no model ${name}`);
  return model;
};
const names = ["tiny-llama", "tiny-qwen3"] as const;
beforeAll(async () => {
  for (const name of names) models.set(name, await tinyModel(name));
});
afterAll(() => {
  for (const model of models.values()) model.dispose();
});

type Command =
  | { kind: "begin"; ids: number[] }
  | { kind: "extend"; row: number; other: number; ids: number[] }
  | { kind: "step"; first: number; count: number; id: number }
  | { kind: "fork"; row: number; share: number }
  | { kind: "remove" | "park"; row: number };

const place = fc.nat(7);
/** Texts that often begin alike, some of them over several pages. */
const text = fc
  .record({ by: fc.nat(1), length: fc.integer({ min: 1, max: 70 }), end: fc.nat(3) })
  .map(({ by, length, end }) => [
    ...Array.from({ length }, (_, index) => 3 + ((7 * index + 31 * by) % 200)),
    210 + end,
  ]);
const share = fc.double({ min: 0, max: 1, noNaN: true });
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("begin" as const), ids: text }),
    fc.record({
      kind: fc.constant("extend" as const),
      row: place,
      other: place,
      ids: fc.array(fc.nat(199), { minLength: 1, maxLength: 30 }),
    }),
    fc.record({
      kind: fc.constant("step" as const),
      first: place,
      count: fc.integer({ min: 1, max: 4 }),
      id: fc.nat(199),
    }),
    fc.record({ kind: fc.constant("fork" as const), row: place, share }),
    fc.record({ kind: fc.constantFrom("remove" as const, "park" as const), row: place }),
  ),
  { minLength: 1, maxLength: 20 },
);

/** Carries a command out; hidden states as numbers. */
const obey = (decoder: Decoder, command: Command): number[] => {
  const read = (hidden: Tensor): number[] => [...hidden.toFloat32Array()];
  if (command.kind === "begin") {
    const row = decoder.addPrefixRow(command.ids);
    const held = decoder.ids(row);
    expect(command.ids.slice(0, held.length)).toEqual(held);
    return scope(() => read(decoder.extend([{ row, ids: command.ids.slice(held.length) }])));
  }
  const { rows } = decoder;
  if (rows === 0) return [];
  if (command.kind === "step") {
    const some = Array.from(
      { length: Math.min(command.count, rows) },
      (_, index) => (command.first + index) % rows,
    );
    return scope(() =>
      read(
        decoder.step(
          some.map((row) => (command.id + row) % 200),
          some,
        ),
      ),
    );
  }
  const row = command.row % rows;
  switch (command.kind) {
    case "extend": {
      const other = command.other % rows;
      const more = other === row ? [] : [{ row: other, ids: [9, 8] }];
      return scope(() => read(decoder.extend([{ row, ids: command.ids }, ...more])));
    }
    case "fork":
      return [decoder.fork(row, Math.round(command.share * decoder.ids(row).length))];
    case "remove":
      decoder.removeRow(row);
      return [];
    case "park":
      decoder.insertPrefix(row);
      return [];
  }
};

const shapeOf = ({ config }: LanguageModel): KvShape => {
  const { layers, kvHeads, headDim } = config;
  return { layers, kvHeads, headDim, dtype: "float32", device: "cpu" };
};

describe.each(names)("%s", (name) => {
  test("whatever rows do, their hidden states are those of whole rows", () => {
    const model = modelOf(name);
    fc.assert(
      fc.property(commands, (list) => {
        const decoders = [
          uncachedDecoder(model),
          cachedDecoder(model),
          cachedDecoder(model, { fused: false }),
          // So little for cached prefixes that they come and go.
          cachedDecoder(model, { maxCachedPrefixBytes: 3 * pageBytes(shapeOf(model)) }),
        ];
        try {
          for (const command of list) {
            const [expected = [], ...others] = decoders.map((decoder) => obey(decoder, command));
            for (const other of others) expect(distance(other, expected)).toBeLessThan(1e-4);
            const ids = decoders.map((decoder) =>
              Array.from({ length: decoder.rows }, (_, row) => [...decoder.ids(row)]),
            );
            for (const id of ids) expect(id).toEqual(ids[0]);
          }
        } finally {
          for (const decoder of decoders) decoder.dispose();
        }
      }),
      { numRuns: 25 },
    );
  });
});

describe("cached prefixes", () => {
  const code = (body: () => unknown): string | undefined => {
    try {
      body();
      return undefined;
    } catch (error) {
      return error instanceof MahaloError ? error.code : String(error);
    }
  };
  const ids = (length: number, by: number): number[] =>
    Array.from({ length }, (_, index) => 3 + ((7 * index + 31 * by + index * by) % 200));
  const read = (decoder: Decoder, text: readonly number[]): number => {
    const row = decoder.addPrefixRow(text);
    scope(() => decoder.extend([{ row, ids: text.slice(decoder.ids(row).length) }]));
    return row;
  };

  test("give way, the least recently used first, when memory runs short, and live rows never do", () => {
    const model = modelOf("tiny-llama");
    const page = pageBytes(shapeOf(model));
    const decoder = cachedDecoder(model, { maxBytes: 6 * page, maxCachedPrefixBytes: 6 * page });
    for (const by of [1, 2, 3]) {
      read(decoder, ids(2 * PAGE_POSITIONS, by));
      decoder.insertPrefix(0);
    }
    expect(decoder.usedBytes).toBe(6 * page);
    // The first is used again, so the second goes.
    expect(decoder.matchPrefix([...ids(2 * PAGE_POSITIONS, 1), 5])).toBe(2 * PAGE_POSITIONS);
    const live = read(decoder, ids(2 * PAGE_POSITIONS, 4));
    const lengths = [1, 2, 3].map((by) => decoder.matchPrefix([...ids(2 * PAGE_POSITIONS, by), 5]));
    expect(lengths).toEqual([2 * PAGE_POSITIONS, 0, 2 * PAGE_POSITIONS]);
    const more = read(decoder, ids(4 * PAGE_POSITIONS, 5));
    expect(decoder.usedBytes).toBe(6 * page);
    expect(decoder.ids(live)).toHaveLength(2 * PAGE_POSITIONS);
    expect(code(() => scope(() => decoder.extend([{ row: more, ids: [5] }])))).toBe("E_KV_MEMORY");
    expect(decoder.ids(more)).toHaveLength(4 * PAGE_POSITIONS);
    expect([decoder.fits([192]), decoder.fits([193]), decoder.fits([1, 1, 1, 97])]).toEqual([
      true,
      false,
      false,
    ]);
    expect(decoder.bytesFor([33, 1])).toBe(3 * page);
    decoder.dispose();
  });

  test("that another holds in full are not kept twice, and one that goes on from them replaces them", () => {
    const model = modelOf("tiny-llama");
    const page = pageBytes(shapeOf(model));
    const decoder = cachedDecoder(model);
    for (const length of [40, 20, 40, 70]) {
      read(decoder, ids(length, 1));
      decoder.insertPrefix(0);
    }
    expect(decoder.usedBytes).toBe(3 * page);
    decoder.dispose();
  });

  test("a row that shares a page with a cached one goes on when there is no page for a copy", () => {
    const model = modelOf("tiny-llama");
    const page = pageBytes(shapeOf(model));
    const decoder = cachedDecoder(model, { maxBytes: page, maxCachedPrefixBytes: page });
    read(decoder, ids(20, 1));
    decoder.insertPrefix(0);
    const row = read(decoder, [...ids(20, 1), 7]);
    expect(decoder.ids(row)).toHaveLength(21);
    expect(decoder.usedBytes).toBe(page);
    decoder.dispose();
  });
});
