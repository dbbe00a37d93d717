/** Tensors: contents in and out bit for bit, properties, views, and what their constructors refuse. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MahaloError } from "./error.ts";
import type { DType } from "./native.ts";
import * as ops from "./ops.generated.ts";
import { liveTensors, scope } from "./scope.ts";
import { elementBytes, type TensorOptions, type TypedArray, tensor } from "./tensor.ts";

type Case = { dtype: DType; of: (bytes: ArrayBuffer) => TypedArray };
const CASES: Case[] = [
  { dtype: "float32", of: (bytes) => new Float32Array(bytes) },
  { dtype: "float64", of: (bytes) => new Float64Array(bytes) },
  { dtype: "float16", of: (bytes) => new Uint16Array(bytes) },
  { dtype: "bfloat16", of: (bytes) => new Uint16Array(bytes) },
  { dtype: "int8", of: (bytes) => new Int8Array(bytes) },
  { dtype: "uint8", of: (bytes) => new Uint8Array(bytes) },
  { dtype: "int16", of: (bytes) => new Int16Array(bytes) },
  { dtype: "int32", of: (bytes) => new Int32Array(bytes) },
  { dtype: "int64", of: (bytes) => new BigInt64Array(bytes) },
];
const bytesOf = (array: TypedArray): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe("contents", () => {
  test.each(CASES)("$dtype: any bits come back as they went in", ({ dtype, of }) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const whole = bytes.slice(0, bytes.length - (bytes.length % elementBytes(dtype)));
        scope(() => {
          const back = tensor(of(whole.buffer), { dtype });
          expect(back.dtype).toBe(dtype);
          expect(bytesOf(back.toTypedArray())).toEqual(whole);
          expect(bytesOf(back.clone().toTypedArray())).toEqual(whole);
        });
      }),
      { numRuns: 50 },
    );
  });

  test("NaN payloads, negative zero and denormals survive", () => {
    const bits = Uint32Array.of(0x7fc00001, 0xffc12345, 0x7f800001, 0x80000000, 0x00000001, 0x807fffff);
    const floats = tensor(new Float32Array(bits.buffer)).toTypedArray();
    expect(new Uint32Array(floats.buffer)).toEqual(bits);
    const wide = BigUint64Array.of(0x7ff8000000000001n, 0x7ff0000000000001n, 0x8000000000000000n, 1n);
    const doubles = tensor(new Float64Array(wide.buffer)).toTypedArray();
    expect(new BigUint64Array(doubles.buffer)).toEqual(wide);
    const half = Uint16Array.of(0x7e01, 0x7c01, 0x8000, 0x0001, 0xffff);
    expect(tensor(half, { dtype: "float16" }).toTypedArray()).toEqual(half);
    expect(tensor(half, { dtype: "bfloat16" }).toTypedArray()).toEqual(half);
  });

  test("booleans are 0 or 1, whatever byte stood for true", () => {
    const flags = tensor(Uint8Array.of(0, 1, 2, 255), { dtype: "bool" });
    expect([flags.dtype, flags.toTypedArray()]).toEqual(["bool", Uint8Array.of(0, 1, 1, 1)]);
    expect(tensor([0, 1, -2], { dtype: "bool" }).toTypedArray()).toEqual(Uint8Array.of(0, 1, 1));
  });

  test("plain numbers keep all the precision their dtype has", () => {
    expect(tensor([2 ** 24 + 1, -(2 ** 53) + 1], { dtype: "int64" }).toTypedArray()).toEqual(
      BigInt64Array.of(16777217n, -9007199254740991n),
    );
    expect(tensor([0.1, 2 ** 24 + 1], { dtype: "float64" }).toTypedArray()).toEqual(
      Float64Array.of(0.1, 16777217),
    );
    expect(tensor([0.1]).toTypedArray()).toEqual(Float32Array.of(0.1));
    expect(tensor([1, 0.5], { dtype: "bfloat16" }).toTypedArray()).toEqual(Uint16Array.of(0x3f80, 0x3f00));
  });

  test.each([
    ["int64", 1.5],
    ["int32", Number.NaN],
    ["int8", 128],
    ["uint8", -1],
    ["int64", 2 ** 53 + 2],
    ["int16", Number.POSITIVE_INFINITY],
  ] as const)("a number that %s cannot hold is an error: %s", (dtype, value) => {
    expect(() => tensor([0, value], { dtype })).toThrow(`element 1 is ${value}, which ${dtype} cannot hold`);
  });

  test("a tensor is a copy: the array may change afterwards", () => {
    const array = Float32Array.of(1, 2);
    const made = tensor(array);
    array[0] = 9;
    const read = made.toTypedArray();
    read[1] = 9;
    expect(made.toFloat32Array()).toEqual(Float32Array.of(1, 2));
  });

  test("a part of a buffer is read from where it starts", () => {
    const part = new Float32Array(Float32Array.of(1, 2, 3, 4).buffer, 4, 2);
    expect(tensor(part).toFloat32Array()).toEqual(Float32Array.of(2, 3));
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([5, 6]);
    expect(tensor(shared).toFloat32Array()).toEqual(Float32Array.of(5, 6));
  });

  test("views are read in row-major order of their own shape", () => {
    const x = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] });
    expect(x.t().toFloat32Array()).toEqual(Float32Array.of(1, 4, 2, 5, 3, 6));
    expect(x.narrow(1, 1, 1).toFloat32Array()).toEqual(Float32Array.of(2, 5));
    expect(ops.expand(x.narrow(0, 0, 1), [2, 3]).toFloat32Array()).toEqual(Float32Array.of(1, 2, 3, 1, 2, 3));
  });

  test("what is converted: dtype on the way in and out", () => {
    const x = tensor(Float32Array.of(1.5, -2.5), { dtype: "int64" });
    expect(x.toTypedArray()).toEqual(BigInt64Array.of(1n, -2n));
    expect(x.toFloat32Array()).toEqual(Float32Array.of(1, -2));
    expect(x.toInt32Array()).toEqual(Int32Array.of(1, -2));
    const edges = [2 ** 31 - 1, -(2 ** 31), -1, 0];
    expect(tensor(edges, { dtype: "int64" }).toInt32Array()).toEqual(Int32Array.from(edges));
    for (const far of [2 ** 31, -(2 ** 31) - 1, 2 ** 32, -(2 ** 40)])
      expect(() => tensor([0, far], { dtype: "int64" }).toInt32Array()).toThrow("element 1 does not fit");
    expect(tensor(Int8Array.of(0, 3), { dtype: "bool" }).toTypedArray()).toEqual(Uint8Array.of(0, 1));
  });

  test("sizes that do not fit, and arrays of no known kind", () => {
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).toThrow(
      "12 bytes do not fill float32[2, 2] (16 bytes)",
    );
    expect(() => tensor([1], { shape: [2 ** 40, 2 ** 40] })).toThrow("do not fill");
    expect(() => tensor([1, 2], { shape: [-1, -2] })).toThrow("negative");
    expect(() => tensor([1, 2], { shape: [0.5, 4] })).toThrow("not an integer");
    expect(() => tensor(Uint16Array.of(1))).toThrow("float16 or bfloat16");
    expect(() => tensor(new DataView(new ArrayBuffer(4)) as unknown as TypedArray)).toThrow("DataView");
    expect(() => tensor(Uint32Array.of(1) as unknown as TypedArray)).toThrow("Uint32Array");
  });
});

describe("properties", () => {
  test("empty and zero-dimensional tensors", () => {
    const none = tensor([]);
    expect([none.shape, none.numel, none.bytes, none.toFloat32Array().length]).toEqual([[0], 0, 0, 0]);
    expect(none.sum().item()).toBe(0);
    expect(tensor([], { shape: [0, 5] }).shape).toEqual([0, 5]);
    expect(() => none.item()).toThrow("one element");
    const point = tensor([7], { shape: [] });
    expect([point.shape, point.numel, point.item()]).toEqual([[], 1, 7]);
    expect(() => point.size(0)).toThrow("size(0)");
  });

  test("item() of every dtype", () => {
    for (const { dtype } of CASES) expect(tensor([3], { dtype }).item()).toBe(3);
    expect(tensor([1], { dtype: "bool" }).item()).toBe(1);
    expect(tensor([-(2 ** 53) + 1], { dtype: "int64" }).item()).toBe(-(2 ** 53) + 1);
    expect(tensor([Number.NaN]).item()).toBeNaN();
    expect(() => tensor([1, 2]).item()).toThrow("float32[2]");
    expect(() => tensor(BigInt64Array.of(2n ** 53n + 1n)).item()).toThrow("toTypedArray");
  });

  test("views share their storage; copies do not", () => {
    const x = tensor([1, 2, 3, 4], { shape: [2, 2] });
    for (const view of [x.t(), x.view(4), x.narrow(0, 1, 1), x.detach(), x.to("float32")])
      expect(view.storageId).toBe(x.storageId);
    expect(x.clone().storageId).not.toBe(x.storageId);
    expect(x.narrow(0, 1, 1).bytes).toBe(16);
    const view = x.view(4);
    x.dispose();
    expect(view.toFloat32Array()).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  test("an operator that resizes the tensor it writes into is seen", () => {
    const out = tensor([]);
    expect(out.shape).toEqual([0]);
    const a = tensor([1, 2], { shape: [2, 1] });
    expect(ops.mmOut(a, a.t(), { out }).shape).toEqual([2, 2]);
    expect(out.toFloat32Array()).toEqual(Float32Array.of(1, 2, 2, 4));
  });

  test("disposing twice is harmless, and a freed tensor says so", () => {
    const x = tensor([1]);
    x.dispose();
    x.dispose();
    expect(x.freed).toBe(true);
    expect(() => x.add(1)).toThrow("aten::add.Scalar (argument self): tensor was freed or never existed");
    expect(() => x.requiresGrad).toThrow("freed");
  });

  test("size counts from the end", () => {
    const x = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3] });
    expect([x.size(0), x.size(-1), x.numel]).toEqual([2, 3, 6]);
  });
});

describe("making a tensor", () => {
  test.each<[TensorOptions]>([
    [{}],
    [{ requiresGrad: true }],
    [{ dtype: "bfloat16" }],
    [{ dtype: "bfloat16", requiresGrad: true }],
    [{ dtype: "float64", shape: [2, 1], requiresGrad: true }],
  ])("as %j leaves one native tensor, and none once it is disposed", (options) => {
    const before = liveTensors();
    const made = tensor([1, 2], options);
    expect(made.requiresGrad).toBe(options.requiresGrad ?? false);
    expect(made.isLeaf).toBe(true);
    expect(liveTensors() - before).toBe(1);
    made.dispose();
    expect(liveTensors()).toBe(before);
  });

  test.each<[string, TensorOptions]>([
    ["an integer that is to require a gradient", { dtype: "int64", requiresGrad: true }],
    ["a converted one that cannot", { dtype: "int8", requiresGrad: true }],
    ["a device that is no device", { device: "nowhere" }],
    [
      "a device that is no device, in another dtype",
      { dtype: "bfloat16", device: "nowhere", requiresGrad: true },
    ],
    ["a shape that does not fit", { shape: [3] }],
  ])("%s fails and leaves nothing", (_, options) => {
    const before = liveTensors();
    expect(() => tensor([1, 2], options)).toThrow(MahaloError);
    expect(liveTensors()).toBe(before);
  });
});
