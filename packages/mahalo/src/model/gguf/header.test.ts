/** Facts about GGUF heads: what a sound file gives, and that a damaged or hostile one gives an error, never more. */

import { MahaloError } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteSource } from "./cursor.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";

/** Bytes written one after another, little-endian. */
class Writer {
  readonly #parts: Uint8Array[] = [];

  #add(bytes: number, write: (view: DataView) => void): this {
    const view = new DataView(new ArrayBuffer(bytes));
    write(view);
    this.#parts.push(new Uint8Array(view.buffer));
    return this;
  }
  u8 = (value: number): this => this.#add(1, (view) => view.setUint8(0, value));
  u32 = (value: number): this => this.#add(4, (view) => view.setUint32(0, value, true));
  f32 = (value: number): this => this.#add(4, (view) => view.setFloat32(0, value, true));
  u64 = (value: number | bigint): this => this.#add(8, (view) => view.setBigUint64(0, BigInt(value), true));
  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }
  string(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u64(bytes.length).raw(bytes);
  }
  text = (key: string, value: string): this => this.string(key).u32(8).string(value);
  number = (key: string, value: number): this => this.string(key).u32(4).u32(value);
  tensor(name: string, dimensions: (number | bigint)[], type: number, offset: number | bigint): this {
    this.string(name).u32(dimensions.length);
    for (const dimension of dimensions) this.u64(dimension);
    return this.u32(type).u64(offset);
  }
  pad(to: number): this {
    const size = this.#parts.reduce((sum, part) => sum + part.length, 0);
    return this.raw(new Uint8Array((to - (size % to)) % to));
  }
  bytes = (): Uint8Array => Uint8Array.from(this.#parts.flatMap((part) => [...part]));
}

const begin = (tensors: number | bigint, entries: number | bigint, version = 3): Writer =>
  new Writer().raw(new TextEncoder().encode("GGUF")).u32(version).u64(tensors).u64(entries);

const asSource = (bytes: Uint8Array): ByteSource => ({
  path: "m.gguf",
  size: bytes.length,
  read: (offset, length) => bytes.slice(offset, offset + length),
});
const read = (writer: Writer): GgufHeader => readGgufHeader(asSource(writer.bytes()));

/** A sound file: three entries, an F32 tensor of 2 x 4 and a Q8_0 one of 1 x 32. */
const sound = (): Writer =>
  begin(2, 4)
    .text("general.architecture", "llama")
    .number("a.number", 7)
    .string("a.list")
    .u32(9)
    .u32(8)
    .u64(2)
    .string("ab")
    .string("ç")
    .string("a.flag")
    .u32(7)
    .u8(1)
    .tensor("first", [4, 2], 0, 0)
    .tensor("second", [32], 8, 32)
    .pad(32)
    .raw(new Uint8Array(32 + 34));

/** One metadata entry of a type, with its value left to the caller. */
const entry = (type: number): Writer => begin(0, 1).string("key").u32(type);
/** A file whose only tensor has these properties, and data of 1,000 bytes. */
const single = (dimensions: (number | bigint)[], type = 0, offset: number | bigint = 0): Writer =>
  begin(1, 0).tensor("t", dimensions, type, offset).pad(32).raw(new Uint8Array(1000));

describe("readGgufHeader", () => {
  test("reads metadata, and tensors with rows first", () => {
    const { metadata, tensors } = read(sound());
    expect(Object.fromEntries(metadata)).toEqual({
      "general.architecture": "llama",
      "a.number": 7,
      "a.list": ["ab", "ç"],
      "a.flag": true,
    });
    expect(tensors.get("first")).toMatchObject({ shape: [2, 4], type: "F32", bytes: 32 });
    expect(tensors.get("second")).toMatchObject({ shape: [32], type: "Q8_0", bytes: 34 });
    const [first, second] = [...tensors.values()];
    expect((second?.offset ?? 0) - (first?.offset ?? 0)).toBe(32);
  });

  test("reads every type of number", () => {
    const writer = begin(0, 4);
    writer.string("f32").u32(6).f32(0.5);
    writer
      .string("u64")
      .u32(10)
      .u64(2 ** 40);
    writer
      .string("large")
      .u32(10)
      .u64(2n ** 63n);
    writer
      .string("negative")
      .u32(11)
      .u64(2n ** 64n - 5n);
    expect(Object.fromEntries(read(writer).metadata)).toEqual({
      f32: 0.5,
      u64: 2 ** 40,
      large: 2n ** 63n,
      negative: -5,
    });
  });

  const lying = 2n ** 62n;
  const hostile: Record<string, Writer> = {
    "no bytes": new Writer(),
    "another magic": new Writer().raw(new TextEncoder().encode("GGML")).raw(new Uint8Array(40)),
    "version 1": begin(0, 0, 1),
    "version 4": begin(0, 0, 4),
    "a big-endian file": begin(0, 0, 3 << 24),
    "more tensors than the file can hold": begin(lying, 0),
    "more entries than the file can hold": begin(0, 1_000_000),
    "a key longer than the file": begin(0, 1).u64(lying).u64(0),
    "a key longer than a number can say": begin(0, 1)
      .u64(2n ** 64n - 1n)
      .u64(0),
    "a key that is no UTF-8": begin(0, 1).u64(2).raw(Uint8Array.of(0xff, 0xfe)).u32(4).u32(1),
    "the same key twice": begin(0, 2).number("k", 1).number("k", 2),
    "an unknown value type": entry(13).u64(0),
    "a truth value of 2": entry(7).u8(2),
    "a list longer than the file": entry(9).u32(4).u64(lying),
    "a list of unknown type": entry(9).u32(99).u64(1).u64(0),
    "a list of empty lists longer than the file": entry(9)
      .u32(9)
      .u64(2n ** 40n),
    "lists nested without end": Array.from({ length: 40 }).reduce<Writer>((w) => w.u32(9).u64(1), entry(9)),
    "an alignment of 3": begin(0, 1).number("general.alignment", 3),
    "an alignment of 0": begin(0, 1).number("general.alignment", 0),
    "an alignment that is text": begin(0, 1).text("general.alignment", "32"),
    "an alignment beyond reason": begin(0, 1).number("general.alignment", 2 ** 31),
    "no dimensions": single([]),
    "five dimensions": single([1, 1, 1, 1, 1]),
    "a dimension of 0": single([4, 0]),
    "dimensions whose product overflows": single([2n ** 32n, 2n ** 32n]),
    "a dimension beyond 2^53": single([2n ** 60n]),
    "an unknown tensor type": single([32], 77),
    "a type that cannot be read": single([256], 18),
    "rows that are no whole blocks": single([33], 8),
    "an offset off the alignment": single([4], 0, 8),
    "an offset beyond the file": single([4], 0, 2 ** 40),
    "an offset beyond 2^53": single([4], 0, lying),
    "data beyond the end": single([252]),
    "a tensor twice": begin(2, 0)
      .tensor("t", [4], 0, 0)
      .tensor("t", [4], 0, 32)
      .pad(32)
      .raw(new Uint8Array(64)),
    "overlapping tensors": begin(2, 0)
      .tensor("a", [16], 0, 0)
      .tensor("b", [4], 0, 32)
      .pad(32)
      .raw(new Uint8Array(96)),
  };

  test.each(Object.keys(hostile))("refuses %s", (name) => {
    const writer = hostile[name] ?? new Writer();
    expect(() => read(writer)).toThrow(expect.objectContaining({ code: "E_GGUF" }));
    expect(() => read(writer)).toThrow(/^m\.gguf: /);
  });

  test("says which type a tensor has that cannot be read", () => {
    expect(() => read(single([256], 18))).toThrow(/tensor "t" is stored as IQ3_XXS/);
  });

  test("a file cut at any byte is an error", () => {
    const whole = sound().bytes();
    for (let length = 0; length < whole.length; length += 1) {
      expect(() => readGgufHeader(asSource(whole.slice(0, length))), `${length} bytes`).toThrow(MahaloError);
    }
  });

  test("a file with any byte changed is read or refused, and never anything else", () => {
    const whole = sound().bytes();
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (place, byte) => {
        const changed = whole.slice();
        changed[place] = byte;
        try {
          readGgufHeader(asSource(changed));
        } catch (error) {
          expect(error).toBeInstanceOf(MahaloError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
