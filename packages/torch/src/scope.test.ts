/** Scopes: everything made inside is freed, but what is returned or kept. */
import { describe, expect, test } from "vitest";
import { keep, liveTensors, scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";

/** Native tensors that a body leaves behind. */
const leftBy = (body: () => unknown): number => {
  const before = liveTensors();
  body();
  return liveTensors() - before;
};

describe("scope", () => {
  test("frees what it made and keeps what it returns", () => {
    let inner: Tensor | undefined;
    let result: Tensor | undefined;
    const left = leftBy(() => {
      result = scope(() => {
        inner = tensor([1]);
        return inner.add(1);
      });
    });
    expect([left, inner?.freed, result?.item()]).toEqual([1, true, 2]);
  });

  test("finds tensors in arrays, objects, maps and sets, however nested, and in cycles", () => {
    type Loop = { self?: Loop; at: Tensor };
    const result = scope(() => {
      const loop: Loop = { at: tensor([6]) };
      loop.self = loop;
      const bare = Object.assign(Object.create(null) as { x?: Tensor }, { x: tensor([5]) });
      return {
        array: [[tensor([1])], null, undefined, 3, "text"],
        map: new Map([["x", { y: tensor([2]) }]]),
        keys: new Map([[tensor([3]), 1]]),
        set: new Set([tensor([4])]),
        bare,
        loop,
        bytes: new Uint8Array(3),
      };
    });
    const found = [
      (result.array[0] as Tensor[])[0],
      result.map.get("x")?.y,
      ...result.keys.keys(),
      ...result.set,
      result.bare.x,
      result.loop.at,
    ];
    expect(found.map((one) => one?.item())).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("nests: what an inner scope returns belongs to the outer one", () => {
    let middle: Tensor | undefined;
    const left = leftBy(() =>
      scope(() => {
        middle = scope(() => tensor([1]));
        expect(middle.item()).toBe(1);
        return 0;
      }),
    );
    expect([left, middle?.freed]).toEqual([0, true]);
  });

  test("an exception frees everything and closes the scope", () => {
    const left = leftBy(() => {
      expect(() =>
        scope(() => {
          tensor([1]);
          scope(() => {
            tensor([2]);
            throw new RangeError("mine");
          });
        }),
      ).toThrow(new RangeError("mine"));
      const outside = tensor([3]);
      scope(() => undefined);
      expect(outside.item()).toBe(3);
      outside.dispose();
    });
    expect(left).toBe(0);
  });

  test("a getter that throws in the result frees everything", () => {
    const result = {
      get bad(): never {
        throw new RangeError("mine");
      },
    };
    const left = leftBy(() => expect(() => scope(() => [tensor([1]), result])).toThrow("mine"));
    expect(left).toBe(0);
  });

  test("an asynchronous body is refused and its tensors are freed", async () => {
    let early: Tensor | undefined;
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", note);
    const left = leftBy(() => {
      expect(() =>
        scope(async () => {
          early = tensor([1]);
          await Promise.resolve();
          return early.add(1);
        }),
      ).toThrow("must not be asynchronous");
    });
    expect([left, early?.freed]).toEqual([0, true]);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  test("disposing inside is fine, and leaves nothing in the scope's list", () => {
    const left = leftBy(() =>
      scope(() => {
        for (let i = 0; i < 1000; i += 1) tensor([i]).dispose();
        const x = tensor([1]);
        const y = x.add(1);
        x.dispose();
        return y.item();
      }),
    );
    expect(left).toBe(0);
  });

  test("a tensor from outside passes through untouched", () => {
    const outside = tensor([1]);
    expect(scope(() => [outside])[0]).toBe(outside);
    scope(() => ({ outside }));
    expect(outside.item()).toBe(1);
    outside.dispose();
  });
});

describe("keep", () => {
  test("outlives all open scopes, also when the scope fails", () => {
    const kept: Tensor[] = [];
    const left = leftBy(() => {
      scope(() => scope(() => void kept.push(keep(tensor([1])))));
      expect(() =>
        scope(() => {
          kept.push(keep(tensor([2])));
          throw new Error("mine");
        }),
      ).toThrow("mine");
      scope(() => {
        const outer = tensor([3]);
        scope(() => void kept.push(keep(outer)));
      });
    });
    expect([left, kept.map((one) => one.item())]).toEqual([3, [1, 2, 3]]);
    for (const one of kept) one.dispose();
  });

  test("may be disposed inside the scope, kept twice, or kept from outside", () => {
    const outside = tensor([1]);
    const left = leftBy(() => {
      scope(() => {
        keep(tensor([1])).dispose();
        keep(keep(outside));
        keep(keep(tensor([2]))).dispose();
      });
    });
    expect([left, outside.item()]).toEqual([0, 1]);
    keep(outside).dispose();
    expect(outside.freed).toBe(true);
  });
});
