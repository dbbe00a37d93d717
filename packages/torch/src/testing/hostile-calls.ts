/** A program that makes the worst calls we know and prints how each ended; it must live to print them all. */
import { backward } from "../autograd.ts";
import { MahaloError } from "../error.ts";
import { native, type Value } from "../native.ts";
import * as ops from "../ops.generated.ts";
import { Generator } from "../random.ts";
import { scope } from "../scope.ts";
import { type Tensor, tensor } from "../tensor.ts";

const ids = (...numbers: number[]): Tensor => tensor(numbers, { dtype: "int64" });
const table = tensor([1, 2, 3, 4, 5, 6], { shape: [3, 2] });
const anything = native as unknown as Record<string, (...args: unknown[]) => unknown>;
const nonsense: unknown[] = [
  undefined,
  null,
  Number.NaN,
  -1,
  0.5,
  1e308,
  2 ** 63,
  10n ** 40n,
  "",
  "\u0000",
  "\ud800",
  Symbol("s"),
  {},
  [],
  [[[]]],
  [null],
  () => 1,
  new Proxy([], {}),
  new Uint8Array(3),
  new DataView(new ArrayBuffer(2)),
  new Date(),
  table.handle,
];

/** Every function of the addon with every nonsense in every place; what it changes for good is left out. */
const fuzz = (): number => {
  const left = new Set([
    "setErrorFactory",
    "loadLibrary",
    "setThreads",
    "adjustExternalMemory",
    "free",
    "setGradMode",
  ]);
  let errors = 0;
  for (const [name, call] of Object.entries(anything)) {
    if (left.has(name)) continue;
    for (const a of nonsense) {
      for (const b of nonsense) {
        try {
          call(a, b, a, b, a);
        } catch {
          errors += 1;
        }
      }
    }
  }
  return errors;
};

/** Every operator in use with nonsense for arguments. */
const fuzzOperators = (): number => {
  let errors = 0;
  for (const call of Object.values(ops) as ((...args: unknown[]) => unknown)[]) {
    for (const value of nonsense) {
      for (const args of [
        [],
        [value],
        [table, value],
        [table, table, value],
        [[table], value],
        [table, ids(0), value],
      ]) {
        try {
          call(...args);
        } catch {
          errors += 1;
        }
      }
    }
  }
  return errors;
};

const cases: Record<string, () => unknown> = {
  "index past the table": () => ops.embedding(table, ids(3)),
  "index before the table": () => ops.embedding(table, ids(-1)),
  "indexSelect out of range": () => table.indexSelect(0, ids(99)),
  "gather out of range": () => ops.gather(table, 1, ids(7).view(1, 1)),
  "scatter out of range": () =>
    ops.scatter_(table.clone(), 1, ids(7).view(1, 1), tensor([1], { shape: [1, 1] })),
  "class out of range": () => ops.crossEntropy(table, ids(0, 1, 5)),
  "view past the storage": () => ops.asStrided(table, [100], [1]),
  "narrow past the end": () => table.narrow(0, 2, 5),
  "weights that sum to zero": () =>
    ops.multinomial(tensor([0, 0]), 1, false, { generator: new Generator(1) }),
  "weights that are not numbers": () =>
    ops.multinomial(tensor([Number.NaN, 1]), 1, false, { generator: new Generator(1) }),
  "a file that is not there": () => ops.fromFile("/nowhere/at/all", false, 8, { dtype: "uint8" }),
  "a file shorter than asked": () => ops.fromFile(process.execPath, false, 2 ** 44, { dtype: "uint8" }),
  "flash attention with fewer key heads": () => {
    const heads = ops.zeros([1, 1, 3, 64]);
    return ops.flashAttentionCpu(ops.zeros([1, 16, 512, 64]), heads, heads);
  },
  "flash attention with a short value": () =>
    ops.flashAttentionCpu(ops.zeros([1, 2, 8, 64]), ops.zeros([1, 2, 8, 64]), ops.zeros([1, 2, 3, 64])),
  "flash attention with a small mask": () => {
    const all = ops.zeros([1, 2, 8, 64]);
    return ops.flashAttentionCpu(all, all, all, 0, false, { attnMask: ops.zeros([1, 1, 2, 2]) });
  },
  "int8 product with too few scales": () =>
    ops.int8Mm(
      ops.zeros([1, 32], { dtype: "bfloat16" }),
      ops.zeros([16, 32], { dtype: "int8" }),
      ops.zeros([2], { dtype: "bfloat16" }),
    ),
  "int8 product of other widths": () =>
    ops.int8Mm(
      ops.zeros([1, 64], { dtype: "bfloat16" }),
      ops.zeros([16, 32], { dtype: "int8" }),
      ops.zeros([16], { dtype: "bfloat16" }),
    ),
  "a norm with a short weight": () => ops.fusedRmsNorm(ops.zeros([4, 64]), [64], ops.zeros([2]), 1e-5),
  "rows copied out of range": () => ops.indexCopy_(table.clone(), 0, ids(9), ops.zeros([1, 2])),
  "rows added out of range": () => ops.indexAdd_(table.clone(), 0, ids(9), ops.zeros([1, 2])),
  "an index list out of range": () => ops.index(table, [ids(-7)]),
  "an empty list of tensors": () => ops.cat([], 0),
  "lists of different lengths": () => ops.foreachAdd_([table], [table, table]),
  "a dimension that is not there": () => table.sum(7),
  "a terabyte of zeros": () => ops.zeros([2 ** 50]),
  "a product too large to count": () => ops.zeros([2 ** 40, 2 ** 40]),
  "a gradient for nothing": () => backward(table.sum()),
  "a freed tensor": () => {
    const x = tensor([1]);
    x.dispose();
    return x.add(1);
  },
  "an operator that does not exist": () => native.resolve("aten::nothing", "at all"),
  "a hundred thousand arguments": () => native.call(1, ...Array.from({ length: 100_000 }, (): Value => null)),
};

const endings: Record<string, string> = {};
for (const [name, run] of Object.entries(cases)) {
  try {
    run();
    endings[name] = "no error";
  } catch (error) {
    endings[name] = error instanceof MahaloError ? error.code : String(error);
  }
}
const fuzzed = scope(() => fuzz() + fuzzOperators());
// The engine works on after all that.
endings["sum afterwards"] = String(tensor([1, 2, 3]).sum().item());
process.stdout.write(JSON.stringify({ endings, fuzzed }));
