/** The key-value cache against a plain model of it: rows that join, grow, roll back and leave. */
import { scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KvCache } from "./kv-cache.ts";

const shape = { layers: 2, kvHeads: 2, headDim: 3, dtype: "float32", device: "cpu" } as const;

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

type Command =
  | { kind: "add" }
  | { kind: "extend"; row: number; tokens: number }
  | { kind: "step" }
  | { kind: "rollback"; row: number; share: number }
  | { kind: "copy"; row: number; to: number; share: number }
  | { kind: "remove"; row: number };

const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    fc.constant<Command>({ kind: "add" }),
    fc.record({
      kind: fc.constant("extend" as const),
      row: fc.nat(5),
      tokens: fc.integer({ min: 1, max: 40 }),
    }),
    fc.constant<Command>({ kind: "step" }),
    fc.record({
      kind: fc.constant("rollback" as const),
      row: fc.nat(5),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.record({
      kind: fc.constant("copy" as const),
      row: fc.nat(5),
      to: fc.nat(5),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.record({ kind: fc.constant("remove" as const), row: fc.nat(5) }),
  ),
  { maxLength: 30 },
);

/** What a row's keys are, element by element, as [G, length, E]. */
const flat = (tokens: readonly [number, number][]): number[] =>
  [0, 1].flatMap((head) =>
    tokens.flatMap(([stamp, token]) => [0, 1, 2].map((e) => value(stamp, token, head, e))),
  );

describe("the cache", () => {
  test("holds what was written, whatever else joined, grew, was copied, rolled back or left", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const cache = new KvCache(shape);
        const model: [number, number][][] = [];
        let stamp = 0;
        const write = (row: number, tokens: number): void => {
          stamp++;
          cache.reserve(cache.rows, cache.length(row) + tokens);
          scope(() => {
            for (let layer = 0; layer < shape.layers; layer++) {
              cache.write(layer, row, states(stamp + layer, tokens), states(stamp + layer + 1, tokens));
            }
          });
          cache.advance(row, tokens);
          for (let token = 0; token < tokens; token++) model[row]?.push([stamp, token]);
          stamp++;
        };
        for (const command of list) {
          const row = "row" in command && model.length > 0 ? command.row % model.length : 0;
          if (command.kind === "add") {
            expect(cache.addRow()).toBe(model.push([]) - 1);
          } else if (model.length === 0) continue;
          else if (command.kind === "extend") write(row, command.tokens);
          else if (command.kind === "rollback") {
            const length = Math.floor((model[row]?.length ?? 0) * command.share);
            cache.rollback(row, length);
            model[row]?.splice(length);
          } else if (command.kind === "copy") {
            const to = command.to % model.length;
            const length = Math.floor((model[row]?.length ?? 0) * command.share);
            cache.copy(row, to, length);
            model[to] = model[row]?.slice(0, length) ?? [];
          } else if (command.kind === "remove") {
            cache.removeRow(row);
            const last = model.pop();
            if (last !== undefined && row < model.length) model[row] = last;
          } else {
            stamp++;
            scope(() => {
              const plan = cache.planStep();
              const fresh = tensor(
                Float32Array.from({ length: model.length * 6 }, (_, at) =>
                  value(stamp, Math.floor(at / 6), Math.floor(at / 3) % 2, at % 3),
                ),
                { shape: [model.length * 2, 3] },
              );
              for (let layer = 0; layer < shape.layers; layer++) {
                const { k } = cache.step(layer, plan, fresh, fresh);
                expect(k.shape).toEqual([model.length, 2, plan.window, 3]);
              }
              const mask = plan.mask.toFloat32Array();
              for (const [at, tokens] of model.entries()) {
                const seen = mask.subarray(at * plan.window, (at + 1) * plan.window);
                expect(seen.filter((one) => one === 0)).toHaveLength(tokens.length + 1);
              }
            });
            for (const [at, tokens] of model.entries()) {
              cache.advance(at, 1);
              tokens.push([stamp, at]);
            }
          }
        }
        scope(() => {
          for (const [row, tokens] of model.entries()) {
            expect(cache.length(row)).toBe(tokens.length);
            if (tokens.length === 0) continue;
            const { k } = cache.read(0, row, tokens.length);
            expect([...k.toFloat32Array()]).toEqual(flat(tokens));
          }
        });
        cache.dispose();
        expect(cache.bytes).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test("grows in whole blocks and says its bytes", () => {
    const cache = new KvCache(shape);
    cache.addRow();
    cache.reserve(1, 65);
    expect(cache.capacity).toBe(128);
    // 2 layers, keys and values, 2 heads, 128 positions, 3 wide, 4 bytes.
    expect(cache.bytes).toBe(2 * 2 * 2 * 128 * 3 * 4);
    cache.dispose();
  });

  test("refuses rows and lengths that it does not have", () => {
    const cache = new KvCache(shape);
    cache.addRow();
    expect(() => cache.length(1)).toThrow(/1 rows, not a row 1/);
    expect(() => cache.rollback(0, 1)).toThrow(/cannot roll back/);
    expect(() => cache.removeRow(3)).toThrow(/row/);
    expect(() => cache.copy(0, 0, 1)).toThrow(/cannot copy 1 tokens of row 0, which holds 0/);
    expect(() => cache.copy(0, 3, 0)).toThrow(/row 3/);
    expect(() => cache.copy(3, 0, 0)).toThrow(/row 3/);
    cache.dispose();
  });
});
