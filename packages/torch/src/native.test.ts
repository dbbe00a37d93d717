/** The boxed call: every type of argument and result, defaults, and errors that name operator and shapes. */
import { describe, expect, test } from "vitest";
import { MahaloError } from "./error.ts";
import { native, type Value } from "./native.ts";
import { Generator } from "./random.ts";
import { Tensor, tensor } from "./tensor.ts";

const raw = (operator: string, overload: string, ...args: Value[]): unknown =>
  native.call(native.resolve(`aten::${operator}`, overload), ...args);
const one = (operator: string, overload: string, ...args: Value[]): Tensor =>
  new Tensor(raw(operator, overload, ...args) as number);
const values = (result: Tensor): (number | bigint)[] => [...result.toTypedArray()];

const failure = (body: () => unknown): MahaloError => {
  try {
    body();
  } catch (error) {
    if (error instanceof MahaloError) return error;
    throw error;
  }
  throw new Error("expected a MahaloError, but nothing was thrown");
};

describe("arguments", () => {
  test("an optional tensor may be given, null or left out", () => {
    const x = tensor([1, 2], { shape: [1, 2] });
    const w = tensor([3, 4], { shape: [1, 2] });
    const b = tensor([100]);
    expect(values(one("linear", "", x.handle, w.handle, b.handle))).toEqual([111]);
    expect(values(one("linear", "", x.handle, w.handle, null))).toEqual([11]);
    expect(values(one("linear", "", x.handle, w.handle))).toEqual([11]);
  });

  test("an optional list of integers may be given, null or one number", () => {
    const x = tensor([1, 2, 3, 4], { shape: [2, 2] });
    expect(values(one("sum", "dim_IntList", x.handle, [0]))).toEqual([4, 6]);
    expect(values(one("sum", "dim_IntList", x.handle, 1))).toEqual([3, 7]);
    expect(values(one("sum", "dim_IntList", x.handle, null))).toEqual([10]);
  });

  test("one number fills a list of fixed length", () => {
    const x = tensor([1, 2, 3, 4], { shape: [1, 1, 2, 2] });
    expect(one("max_pool2d", "", x.handle, 2).shape).toEqual([1, 1, 1, 1]);
    expect(one("max_pool2d", "", x.handle, [1, 2]).shape).toEqual([1, 1, 2, 1]);
  });

  test("lists of tensors, with and without gaps", () => {
    const x = tensor([1, 2, 3, 4], { shape: [2, 2] });
    const at = tensor([1], { dtype: "int64" });
    expect(values(one("index", "Tensor", x.handle, [null, at.handle]))).toEqual([2, 4]);
    expect(values(one("index", "Tensor", x.handle, [at.handle]))).toEqual([3, 4]);
    expect(values(one("cat", "", [x.handle, x.handle], 1))).toEqual([1, 2, 1, 2, 3, 4, 3, 4]);
  });

  test("lists of numbers, of scalars and of booleans", () => {
    const x = tensor([1, 2], { shape: [1, 1, 2] });
    expect(values(one("upsample_nearest1d", "vec", x.handle, null, [2]))).toEqual([1, 1, 2, 2]);
    const added = raw("_foreach_add", "ScalarList", [x.handle, x.handle], [1, 0.5]) as number[];
    expect(added.map((handle) => values(new Tensor(handle)))).toEqual([
      [2, 3],
      [1.5, 2.5],
    ]);
    const rows = tensor([1, 2, 3, 5], { shape: [2, 2] });
    const mean = tensor([1.5, 4], { shape: [2, 1] });
    const rstd = tensor([2, 1], { shape: [2, 1] });
    const masked = raw(
      "native_layer_norm_backward",
      "",
      rows.handle,
      rows.handle,
      [2],
      mean.handle,
      rstd.handle,
      null,
      null,
      [true, false, false],
    ) as (number | null)[];
    expect(masked.map((handle) => handle === null)).toEqual([false, true, true]);
  });

  test("a scalar keeps its kind: integer, float, boolean, 64-bit integer", () => {
    const full = (value: Value): Tensor => one("full", "", [1], value);
    expect(full(3).dtype).toBe("int64");
    expect(full(1.5).dtype).toBe("float32");
    expect(full(Number.POSITIVE_INFINITY).dtype).toBe("float32");
    expect(full(Number.NaN).dtype).toBe("float32");
    expect(full(true).dtype).toBe("bool");
    expect(full(2n ** 53n + 1n).toTypedArray()).toEqual(BigInt64Array.of(2n ** 53n + 1n));
    expect(full(-(2n ** 63n)).toTypedArray()).toEqual(BigInt64Array.of(-(2n ** 63n)));
    expect(Object.is(values(full(-0))[0], -0)).toBe(true);
    expect(failure(() => full(2n ** 63n)).message).toContain("aten::full (argument fill_value)");
  });

  test("dtype, layout, device and memory format by name", () => {
    const zeros = one("zeros", "", [2, 3], "bfloat16", "strided", "cpu", false);
    expect([zeros.dtype, zeros.device, zeros.shape]).toEqual(["bfloat16", "cpu", [2, 3]]);
    const image = tensor([1, 2, 3, 4, 5, 6, 7, 8], { shape: [1, 2, 2, 2] });
    expect(one("clone", "", image.handle, "channels_last").isContiguous).toBe(false);
    expect(one("clone", "", image.handle, "contiguous").isContiguous).toBe(true);
    expect(one("clone", "", image.handle, "preserve").isContiguous).toBe(true);
  });

  test("generators and strings", () => {
    const draw = (seed: number): (number | bigint)[] =>
      values(one("rand", "generator", [3], new Generator(seed).handle));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    const x = tensor([-3, 3]);
    const two = tensor([2]);
    expect(values(one("div", "Tensor_mode", x.handle, two.handle, "floor"))).toEqual([-2, 1]);
    expect(values(one("div", "Tensor_mode", x.handle, two.handle, "trunc"))).toEqual([-1, 1]);
    expect(values(one("div", "Tensor_mode", x.handle, two.handle, null))).toEqual([-1.5, 1.5]);
  });

  test("64-bit integers pass as bigints", () => {
    const x = tensor([1, 2, 3]);
    expect(values(one("narrow", "", x.handle, 0n, 1n, 2n))).toEqual([2, 3]);
    expect(values(one("slice", "Tensor", x.handle, 0, 1, 2n ** 63n - 1n))).toEqual([2, 3]);
  });
});

test("results: a tensor, a list, a tuple, a boolean, a number, nothing", () => {
  const x = tensor([3, 1, 2]);
  expect(typeof raw("neg", "", x.handle)).toBe("number");
  expect((raw("split_with_sizes", "", x.handle, [1, 2]) as number[]).length).toBe(2);
  const [sorted, order] = (raw("sort", "", x.handle) as number[]).map((handle) => new Tensor(handle));
  expect(sorted && values(sorted)).toEqual([1, 2, 3]);
  expect(order && values(order)).toEqual([1n, 2n, 0n]);
  expect(raw("equal", "", x.handle, x.handle)).toBe(true);
  expect(raw("size", "int", x.handle, 0)).toBe(3);
  expect(raw("zero_", "", x.handle)).toBeUndefined();
  expect(raw("_foreach_zero_", "", [x.handle])).toBeUndefined();
});

describe("errors", () => {
  const x = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] });
  const y = tensor([1, 2, 3, 4], { shape: [4, 1] });

  test("an operator that does not exist", () => {
    const wrongName = failure(() => native.resolve("aten::matmull", ""));
    expect([wrongName.code, wrongName.message]).toEqual([
      "E_TORCH_ARGUMENT",
      "aten::matmull: no such operator in this libtorch",
    ]);
    const wrongOverload = failure(() => native.resolve("aten::mul", "Tensr"));
    expect(wrongOverload.message).toMatch(/^aten::mul\.Tensr: no such overload; aten::mul has .*Tensor/);
    for (const name of ["", "matmul", "::", "aten::", "aten", "no::such", "aten::mul.Tensor"])
      expect(failure(() => native.resolve(name, "")).code).toBe("E_TORCH_ARGUMENT");
  });

  test("an operator's failure names it and the shapes and dtypes of its tensors", () => {
    const error = failure(() => x.matmul(y));
    expect(error.code).toBe("E_TORCH");
    expect(error.message).toContain("aten::matmul(float32[2, 3], float32[4, 1])");
    expect(error.message).not.toContain("Exception raised from");
    expect(failure(() => raw("cat", "", [x.handle, y.handle], 0)).message).toContain(
      "aten::cat([float32[2, 3], float32[4, 1]])",
    );
  });

  test("a wrong dtype", () => {
    const words = tensor([1, 2], { dtype: "int64" });
    const table = tensor([1, 2], { shape: [2, 1] });
    expect(failure(() => raw("embedding", "", table.handle, x.handle)).message).toContain("float32[2, 3]");
    expect(failure(() => raw("mm", "", x.handle, words.handle)).message).toContain("int64[2]");
    expect(failure(() => raw("zeros", "", [1], "float31")).message).toBe(
      'aten::zeros (argument dtype): unknown dtype "float31"',
    );
  });

  test("too many and too few arguments", () => {
    expect(failure(() => raw("neg", "", x.handle, 1)).message).toContain(
      "aten::neg(float32[2, 3]): too many arguments",
    );
    expect(failure(() => raw("neg", "")).message).toBe("aten::neg (argument self): argument is missing");
    const many: Value[] = Array.from({ length: 100 }, () => null);
    expect(failure(() => raw("neg", "", ...many)).code).toBe("E_TORCH_ARGUMENT");
    expect(failure(() => (native.call as () => unknown)()).code).toBe("E_TORCH_ARGUMENT");
  });

  test.each([0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60, "1", null, true, {}, [1, 2], Symbol("x")])(
    "no integer: %s",
    (value) => {
      const error = failure(() => raw("unsqueeze", "", x.handle, value as Value));
      expect(error.message).toContain("aten::unsqueeze (argument dim): expected an integer");
    },
  );

  test.each([-1, 0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, -1e300, 1e300, "x", null, {}, [], true])(
    "no operator and no tensor: %s",
    (value) => {
      expect(failure(() => native.call(value as number, 1)).code).toBe("E_TORCH_ARGUMENT");
      expect(failure(() => raw("neg", "", value as number)).code).toBe("E_TORCH_ARGUMENT");
    },
  );

  test("a freed tensor, also as part of a list, and a number that is no handle of now", () => {
    const gone = tensor([1]);
    const { handle } = gone;
    gone.dispose();
    const reused = tensor([2]);
    for (const stale of [handle, handle + 0.5, gone.handle]) {
      const error = failure(() => raw("neg", "", stale));
      expect(error.message).toBe("aten::neg (argument self): tensor was freed or never existed");
    }
    expect(failure(() => raw("cat", "", [reused.handle, handle])).message).toContain("tensors");
    expect(failure(() => gone.item()).code).toBe("E_TORCH_ARGUMENT");
    expect(failure(() => gone.toFloat32Array()).code).toBe("E_TORCH_ARGUMENT");
    expect(reused.item()).toBe(2);
  });

  test("a device that is not there, and a type of argument that is not supported", () => {
    expect(failure(() => raw("zeros", "", [1], null, null, "gpu")).message).toContain("argument device");
    expect(failure(() => raw("record_stream", "", x.handle, 0)).message).toContain("not supported");
  });

  test("memory that cannot be had", () => {
    const error = failure(() => raw("empty", "memory_format", [2 ** 50]));
    expect(error.code).toBe("E_TORCH_MEMORY");
    expect(error.hint).toContain("smaller batch");
    expect(failure(() => raw("empty", "memory_format", [2 ** 40, 2 ** 40])).code).toMatch(/^E_TORCH/);
    expect(failure(() => raw("empty", "memory_format", [-1])).code).toBe("E_TORCH");
  });

  test("a list that runs code while it is read", () => {
    const list = [x.handle, x.handle];
    Object.defineProperty(list, 1, {
      get: () => {
        throw new RangeError("mine");
      },
    });
    expect(() => raw("cat", "", list)).toThrow(new RangeError("mine"));
    expect(() => raw("index", "Tensor", x.handle, list)).toThrow(new RangeError("mine"));
    expect(() => raw("_foreach_add", "ScalarList", [x.handle], list)).toThrow(new RangeError("mine"));
    const resolving = [0];
    Object.defineProperty(resolving, 0, {
      get: () => {
        for (const name of ["asin", "acos", "atan", "sinh", "cosh", "erf", "erfc", "expm1", "log2", "log10"])
          native.resolve(`aten::${name}`, "");
        return 1;
      },
    });
    expect(one("sum", "dim_IntList", x.handle, resolving).shape).toEqual([2]);
  });

  test("a sparse array as long as arrays can be costs no memory", () => {
    const error = failure(() => raw("zeros", "", new Array(2 ** 32 - 1)));
    expect(error.code).toBe("E_TORCH_ARGUMENT");
  });

  test("a thousand calls that throw leave nothing behind", () => {
    const before = native.liveTensors();
    for (let i = 0; i < 1000; i += 1) expect(() => raw("mm", "", x.handle, y.handle)).toThrow("aten::mm");
    expect(native.liveTensors()).toBe(before);
    expect(x.sum().item()).toBe(21);
  });
});
