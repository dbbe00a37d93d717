/** Whether there is room, said before: a step fits if and only if the decoder said so, and so do prompts that join. */
import { MahaloError, scope } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import { tinyModel } from "../model/testing/tiny.ts";
import { cachedDecoder, type Decoder } from "./decoder.ts";
import { PAGE_POSITIONS, pageBytes } from "./kv/kv-pages.ts";
import { logitMixture } from "./logit-mixing.ts";
import { prefill } from "./prefill.ts";

let model: LanguageModel;
beforeAll(async () => {
  model = await tinyModel("tiny-llama");
});
afterAll(() => model.dispose());

const pagesOf = (count: number): number => {
  const { layers, kvHeads, headDim } = model.config;
  return count * pageBytes({ layers, kvHeads, headDim, dtype: "float32", device: "cpu" });
};

type Command =
  | { kind: "join"; prompts: { stem: number; length: number; end: number }[] }
  | { kind: "step" }
  | { kind: "park" | "remove"; row: number };

// Often at a page's end, where the next token needs another.
const length = fc.oneof(fc.constantFrom(31, 32, 63, 64, 95, 96), fc.integer({ min: 1, max: 100 }));
const prompts = fc.array(fc.record({ stem: fc.nat(1), length, end: fc.nat(3) }), {
  minLength: 1,
  maxLength: 3,
});
const row = fc.nat(5);
const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("join" as const), prompts }) },
    { weight: 6, arbitrary: fc.constant<Command>({ kind: "step" }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("park" as const), row }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), row }) },
  ),
  { minLength: 4, maxLength: 30 },
);

/** Prompts of one stem begin alike, and differ in their last token at most. */
const textOf = ({ stem, length, end }: { stem: number; length: number; end: number }): number[] => [
  ...Array.from({ length: length - 1 }, (_, index) => 3 + ((7 * index + 31 * stem) % 200)),
  10 + end,
];

/** Whether all rows could read a token. */
const stepped = (decoder: Decoder): boolean => {
  try {
    scope(() => decoder.step(Array(decoder.rows).fill(7)));
    return true;
  } catch (error) {
    if (error instanceof MahaloError && error.code === "E_KV_MEMORY") return false;
    throw error;
  }
};

test("whatever rows share and prefixes are cached", () => {
  const seen = { joined: 0, refused: 0, stepped: 0, failed: 0 };
  fc.assert(
    fc.property(commands, fc.integer({ min: 2, max: 9 }), fc.boolean(), (list, pages, share) => {
      const maxBytes = pagesOf(pages);
      const decoder = cachedDecoder(model, { maxBytes, maxCachedPrefixBytes: maxBytes });
      try {
        for (const command of list) {
          const { rows } = decoder;
          if (command.kind === "join") {
            const texts = command.prompts.map((prompt) => ({ ids: textOf(prompt) }));
            const added = texts.map(({ ids }) => ({ length: ids.length, ids: share ? ids : [] }));
            if (decoder.hasRoom(Array(rows).fill(0), added)) {
              scope(() => prefill(decoder, texts, { share }));
              expect(decoder.rows).toBe(rows + texts.length);
              seen.joined += 1;
            } else seen.refused += 1;
          } else if (rows > 0 && command.kind === "step") {
            const room = decoder.hasRoom(Array(rows).fill(1));
            expect(stepped(decoder)).toBe(room);
            seen[room ? "stepped" : "failed"] += 1;
          } else if (rows > 0 && command.kind === "park") decoder.insertPrefix(command.row % rows);
          else if (rows > 0 && command.kind === "remove") decoder.removeRow(command.row % rows);
          expect(decoder.usedBytes).toBeLessThanOrEqual(maxBytes);
        }
      } finally {
        decoder.dispose();
      }
    }),
    { numRuns: 200 },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
});

test("what a new row shares with live rows needs no room, what it finds cached does, and neither does what is cached", () => {
  const decoder = cachedDecoder(model, { maxBytes: pagesOf(6), maxCachedPrefixBytes: pagesOf(6) });
  const ids = textOf({ stem: 0, length: 4 * PAGE_POSITIONS, end: 0 });
  scope(() => prefill(decoder, [{ ids }], { share: true }));
  const again = { length: 4 * PAGE_POSITIONS, ids: [...ids.slice(0, -1), 11] };
  expect(decoder.hasRoom([0], [{ ...again, ids: [] }])).toBe(false);
  // Three whole pages are shared; the fourth is a copy.
  expect([decoder.hasRoom([0], [again, again]), decoder.hasRoom([1], [again, again])]).toEqual([true, false]);
  decoder.insertPrefix(0);
  expect([decoder.hasRoom([], [again]), decoder.hasRoom([], [again, again])]).toEqual([true, false]);
  expect(decoder.hasRoom([], [{ length: 6 * PAGE_POSITIONS, ids: [] }])).toBe(true);
  decoder.dispose();
});

test("several models that answer as one have room where each of them has", async () => {
  const other = await tinyModel("tiny-llama");
  const mixture = logitMixture(
    new Map([
      ["a", model],
      ["b", other],
    ]),
    { maxBytes: pagesOf(3) },
  );
  const decoder = mixture.decoder();
  const ids = textOf({ stem: 0, length: 2 * PAGE_POSITIONS, end: 0 });
  scope(() => prefill(decoder, [{ ids }], { share: true }));
  // Nothing is shared there, whatever the text.
  const added = { length: PAGE_POSITIONS + 1, ids };
  expect([decoder.hasRoom([1]), decoder.hasRoom([0], [added])]).toEqual([true, false]);
  expect(decoder.hasRoom([0], [{ ...added, length: PAGE_POSITIONS }])).toBe(true);
  decoder.dispose();
  mixture.model.dispose();
  other.dispose();
});
