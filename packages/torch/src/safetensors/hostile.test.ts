/** Damaged and malicious files: each is refused with an error that names the file and, where there is one, the tensor. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { MahaloError } from "../error.ts";
import { openSafetensors, SafetensorsFile } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-hostile-"));
afterAll(() => rmSync(folder, { recursive: true }));

const golden = (name: string): Buffer =>
  readFileSync(new URL(`../../../../test/golden/data/safetensors/${name}`, import.meta.url));

/** A file of a header given as text or bytes, and data; the length before the header may lie. */
const file = (header: string | Uint8Array, data: Uint8Array = new Uint8Array(8), length?: bigint): Buffer => {
  const json = Buffer.from(header);
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length ?? BigInt(json.byteLength));
  return Buffer.concat([head, json, data]);
};

/** What opening the bytes, and loading every tensor, says. */
const refusal = (bytes: Uint8Array): MahaloError | undefined => {
  const path = join(folder, "model.safetensors");
  writeFileSync(path, bytes);
  try {
    const opened = new SafetensorsFile(path);
    for (const name of opened.names) opened.tensor(name).dispose();
    opened.close();
    return undefined;
  } catch (error) {
    if (error instanceof MahaloError) return error;
    throw error;
  }
};

const one = (fields: string): string => `{"w":{${fields}}}`;
const good = '"dtype":"F32","shape":[2],"data_offsets":[0,8]';
const two = (a: string, b: string): string =>
  `{"a":{"dtype":"U8","shape":[4],"data_offsets":${a}},"b":{"dtype":"U8","shape":[4],"data_offsets":${b}}}`;

const HOSTILE: [name: string, bytes: Uint8Array, says: RegExp][] = [
  ["an empty file", Buffer.alloc(0), /0 bytes, too few/],
  ["seven bytes", Buffer.alloc(7), /7 bytes, too few/],
  ["a length of zero", file("", new Uint8Array(), 0n), /too short/],
  ["a length of one", file("{", new Uint8Array(), 1n), /too short/],
  ["a length past the file", file("{}", new Uint8Array(), 3n), /does not fit in a file of 10/],
  ["a length past the format's limit", file("{}", new Uint8Array(), 100_000_001n), /limit of 100000000/],
  ["a length of 2^64 - 1", file("{}", new Uint8Array(), 2n ** 64n - 1n), /limit/],
  ["a header that is no UTF-8", file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /not valid UTF-8/],
  ["an overlong UTF-8 form", file(Uint8Array.of(0x7b, 0x22, 0xc0, 0x80, 0x22, 0x7d)), /not valid UTF-8/],
  ["a byte order mark", file(`\uFEFF${one(good)}`), /does not begin with "{"/],
  ["a space before the header", file(` ${one(good)}`), /does not begin with "{"/],
  ["a list for a header", file("[1]"), /does not begin with "{"/],
  ["broken JSON", file(`${one(good).slice(0, -1)} `), /is expected/],
  ["text behind the header", file(`${one(good)}x`), /nothing may follow/],
  ["a NUL for padding", file(`${one(good)}\0`), /nothing may follow/],
  ["a trailing comma", file(`{"w":{${good}},}`), /a key in quotes/],
  ["a comment", file(`{/**/"w":{${good}}}`), /a key in quotes/],
  ["a control character in a name", file(`{"w\n":{${good}}}`), /control character/],
  ["half a surrogate pair in a name", file(`{"\\ud83d":{${good}}}`), /lone surrogate/],
  ["a bad escape", file(`{"\\x41":{${good}}}`), /bad escape/],
  ["a tensor named twice", file(`{"w":{${good}},"w":{${good}}}`), /"w": the key occurs twice/],
  ["a name twice, once escaped", file(`{"w":{${good}},"\\u0077":{${good}}}`), /"w": the key occurs twice/],
  ["a field twice", file(one(`${good},"dtype":"F32"`)), /"w" > "dtype": the key occurs twice/],
  ["metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), /occurs twice/],
  ["a metadata key twice", file(`{"__metadata__":{"a":"1","a":"2"}}`), /"a": the key occurs twice/],
  ["a tensor named __proto__", file(`{"__proto__":{${good}}}`), /"__proto__" is not allowed/],
  ["a field named __proto__", file(one(`${good},"__proto__":{}`)), /"__proto__" is not allowed/],
  ["a metadata key __proto__", file(`{"__metadata__":{"__proto__":"x"}}`), /"__proto__" is not allowed/],
  ["metadata that is a list", file(`{"__metadata__":[]}`), /__metadata__/],
  ["metadata that is null", file(`{"__metadata__":null}`), /__metadata__/],
  ["metadata with a number", file(`{"__metadata__":{"a":1}}`), /__metadata__: a/],
  ["an entry that is null", file('{"w":null}'), /tensor "w"/],
  ["an entry that is a number", file('{"w":1}'), /tensor "w"/],
  ["no dtype", file(one('"shape":[2],"data_offsets":[0,8]')), /tensor "w": dtype/],
  ["no shape", file(one('"dtype":"F32","data_offsets":[0,8]')), /tensor "w": shape/],
  ["no offsets", file(one('"dtype":"F32","shape":[2]')), /tensor "w": data_offsets/],
  ["an unknown field", file(one(`${good},"stride":[1]`)), /tensor "w": unknown field "stride"/],
  [
    "an unknown dtype",
    file(one('"dtype":"F31","shape":[2],"data_offsets":[0,8]')),
    /tensor "w": dtype "F31"/,
  ],
  ["a dtype in small letters", file(one('"dtype":"f32","shape":[2],"data_offsets":[0,8]')), /dtype "f32"/],
  [
    "a dtype of the object's prototype",
    file(one('"dtype":"constructor","shape":[2],"data_offsets":[0,8]')),
    /unknown/,
  ],
  [
    "a shape that is a number",
    file(one('"dtype":"F32","shape":2,"data_offsets":[0,8]')),
    /tensor "w": shape/,
  ],
  [
    "a negative size",
    file(one('"dtype":"F32","shape":[-2],"data_offsets":[0,8]')),
    /"w" > "shape": a whole number/,
  ],
  ["a size with a point", file(one('"dtype":"F32","shape":[2.0],"data_offsets":[0,8]')), /not 2\.0/],
  ["a size with an exponent", file(one('"dtype":"F32","shape":[2e0],"data_offsets":[0,8]')), /not 2e0/],
  ["minus zero", file(one('"dtype":"F32","shape":[2],"data_offsets":[-0,8]')), /not -0/],
  ["a size with a leading zero", file(one('"dtype":"F32","shape":[02],"data_offsets":[0,8]')), /is expected/],
  ["a size as text", file(one('"dtype":"F32","shape":["2"],"data_offsets":[0,8]')), /tensor "w": shape/],
  ["a size past 2^53", file(one('"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]')), /2\^53/],
  [
    "a shape that overflows",
    file(one('"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]')),
    /overflows/,
  ],
  [
    "a shape that overflows beside a zero",
    file(one('"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]'), new Uint8Array()),
    /overflows/,
  ],
  [
    "offsets that end before they begin",
    file(one('"dtype":"F32","shape":[2],"data_offsets":[8,0]')),
    /end before they begin/,
  ],
  ["one offset", file(one('"dtype":"F32","shape":[2],"data_offsets":[8]')), /tensor "w": data_offsets/],
  [
    "three offsets",
    file(one('"dtype":"F32","shape":[2],"data_offsets":[0,4,8]')),
    /tensor "w": data_offsets/,
  ],
  [
    "offsets too narrow for the shape",
    file(one('"dtype":"F32","shape":[2],"data_offsets":[0,4]'), new Uint8Array(4)),
    /takes 8 bytes, .* hold 4/,
  ],
  [
    "offsets too wide for the shape",
    file(one('"dtype":"F32","shape":[1],"data_offsets":[0,8]')),
    /takes 4 bytes, .* hold 8/,
  ],
  [
    "two tensors on the same data",
    file(two("[0,4]", "[0,4]")),
    /tensor "b": its data overlaps the data of tensor "a" by 4/,
  ],
  [
    "two tensors that overlap",
    file(two("[0,4]", "[2,6]"), new Uint8Array(6)),
    /tensor "b": .* overlaps .* by 2 bytes/,
  ],
  [
    "an empty tensor inside another",
    file(
      '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}',
      new Uint8Array(4),
    ),
    /tensor "b": .* overlaps/,
  ],
  [
    "a hole before the first tensor",
    file(two("[1,5]", "[5,9]"), new Uint8Array(9)),
    /tensor "a": there is a hole of 1 bytes/,
  ],
  [
    "a hole between tensors",
    file(two("[0,4]", "[6,10]"), new Uint8Array(10)),
    /tensor "b": there is a hole of 2 bytes/,
  ],
  ["data that was cut off", file(one(good), new Uint8Array(7)), /tensor "w": .* it was cut off/],
  [
    "data past any file",
    file(one('"dtype":"U8","shape":[4503599627370496],"data_offsets":[0,4503599627370496]')),
    /cut off/,
  ],
  ["bytes behind the data", file(one(good), new Uint8Array(9)), /1 bytes follow the data of tensor "w"/],
  ["bytes behind no data", file("{}", new Uint8Array(1)), /1 bytes follow the header/],
  [
    "a bool that is 2",
    file(one('"dtype":"BOOL","shape":[2],"data_offsets":[0,2]'), Uint8Array.of(1, 2)),
    /tensor "w": a BOOL byte/,
  ],
  ["nesting that would overflow the stack", file(`{"w":${"[".repeat(1_000_000)}`), /nested more than/],
  ["a string without an end", file('{"w'), /has no end/],
  ["a word that is no JSON", file('{"w":undefined}'), /undefined is not a JSON value/],
];

test.each(HOSTILE)("%s is refused", (_, bytes, says) => {
  const error = refusal(bytes);
  expect(error?.code).toBe("E_SAFETENSORS");
  expect(error?.message).toMatch(says);
  expect(error?.message).toContain(join(folder, "model.safetensors"));
  expect(({} as Record<string, unknown>).dtype).toBeUndefined();
});

test("a file cut off at any byte is refused", () => {
  const whole = golden("every-dtype.safetensors");
  expect(refusal(whole)).toBeUndefined();
  for (let length = 0; length < whole.byteLength; length++) {
    expect(refusal(whole.subarray(0, length))?.code, `cut at ${length}`).toBe("E_SAFETENSORS");
  }
});

test("a file with any one bit of its head flipped is read or refused, never a crash", () => {
  const whole = golden("shapes.safetensors");
  fc.assert(
    fc.property(fc.nat(whole.byteLength - 1), fc.nat(7), (at, bit) => {
      const bytes = Buffer.from(whole);
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
      const error = refusal(bytes);
      expect(error === undefined || error.code === "E_SAFETENSORS").toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("a file that was written anew since it was opened is refused, not misread", () => {
  const path = join(folder, "model.safetensors");
  writeFileSync(path, golden("every-dtype.safetensors"));
  const opened = new SafetensorsFile(path);
  writeFileSync(path, golden("empty.safetensors"));
  expect(() => opened.bytes("layer.float32")).toThrow(/changed since it was opened/);
  expect(() => opened.tensor("layer.float32")).toThrow(/changed since it was opened/);
});

const indexed = (text: string): (() => unknown) => {
  const place = mkdtempSync(join(folder, "index-"));
  writeFileSync(join(place, "a.safetensors"), golden("every-dtype.safetensors"));
  writeFileSync(join(place, "model.safetensors.index.json"), text);
  return () => openSafetensors(place);
};

test.each([
  ["a shard outside the folder", '{"weight_map":{"w":"../a.safetensors"}}', /not the file name of a shard/],
  ["an absolute shard", '{"weight_map":{"w":"/etc/a.safetensors"}}', /not the file name of a shard/],
  ["a shard of another kind", '{"weight_map":{"w":"a.bin"}}', /not the file name of a shard/],
  [
    "a shard that is missing",
    '{"weight_map":{"w":"b.safetensors"}}',
    /b\.safetensors: cannot read: there is no such file/,
  ],
  [
    "a tensor that its shard lacks",
    '{"weight_map":{"w":"a.safetensors"}}',
    /tensor "w" is not in its shard a\.safetensors/,
  ],
  [
    "a tensor listed twice",
    '{"weight_map":{"w":"a.safetensors","w":"b.safetensors"}}',
    /"w": the key occurs twice/,
  ],
  ["no map", '{"metadata":{}}', /weight_map/],
  ["an empty map", '{"weight_map":{}}', /names no tensor/],
  ["an unknown key", '{"weight_map":{"layer.bool":"a.safetensors"},"weights":1}', /"weights"/],
  ["broken JSON", '{"weight_map":', /value is expected/],
])("an index with %s is refused", (_, text, says) => {
  expect(indexed(text)).toThrow(says);
});

test("a path without weights is an error that names it", () => {
  const empty = mkdtempSync(join(folder, "empty-"));
  expect(() => openSafetensors(empty)).toThrow(/holds neither model\.safetensors nor/);
  expect(() => openSafetensors(join(empty, "none.safetensors"))).toThrow(/none\.safetensors: cannot read/);
});

test("a tensor that lies in two shards is refused: which of them is meant is not told", () => {
  const place = mkdtempSync(join(folder, "twice-"));
  for (const shard of ["a", "b"]) {
    writeFileSync(
      join(place, `${shard}.safetensors`),
      file(`{"w":{${good}},"${shard}":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}}`),
    );
  }
  const map = { w: "a.safetensors", a: "a.safetensors", b: "b.safetensors" };
  writeFileSync(join(place, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
  expect(() => openSafetensors(place)).toThrow(
    /"w" is listed in a\.safetensors, but is in b\.safetensors too or instead/,
  );
});

test("more tensors than any model has are refused before they are all read", () => {
  const empty = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
  const header = `{${Array.from({ length: 200_001 }, (_, i) => `"t${i}":${empty}`).join(",")}}`;
  expect(refusal(file(header, new Uint8Array()))?.message).toMatch(/more than 200000 keys/);
});
