/** Reads a GGUF file's head: metadata and where each tensor lies, every number checked against the file's size. */
import { lastOf } from "../../core/need.ts";
import { type ByteSource, Cursor, ggufError } from "./cursor.ts";
import { blockLayouts, type GgufType, ggufType, ggufTypeName } from "./types.ts";

/** A list in the metadata; numbers of at most 32 bits come as numbers, wider ones as numbers where they are safe. */
export type GgufArray = (number | bigint | boolean | string | GgufArray)[];

/** A metadata value. */
export type GgufValue = number | bigint | boolean | string | GgufArray;

/** One tensor's entry. */
export type GgufTensor = {
  /** Name as in the file, for example `blk.0.attn_q.weight`. */
  name: string;
  /** Rows first, as PyTorch orders them (the file has them the other way round). */
  shape: number[];
  type: GgufType;
  /** Where the data begins in the file. */
  offset: number;
  /** Bytes of the data. */
  bytes: number;
};

/** A file's head. */
export type GgufHeader = {
  path: string;
  version: number;
  metadata: Map<string, GgufValue>;
  tensors: Map<string, GgufTensor>;
};

const magic = 0x46554747;
const maxDimensions = 4;
const maxNesting = 4;
/** Entries of a list: a hundred times those of the largest vocabularies. */
const maxLength = 2 ** 24;

/** Bytes that a metadata value of a type takes at the least; index is the type's number. */
const leastBytes = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8] as const;
const stringType = 8;
const arrayType = 9;

const safeNumber = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

const readBoolean = (cursor: Cursor, what: string): boolean => {
  const byte = cursor.u8(what);
  if (byte > 1)
    throw ggufError(cursor.source.path, `offset ${cursor.offset - 1}: ${what} must be 0 or 1, not ${byte}`);
  return byte === 1;
};

const readArray = (cursor: Cursor, what: string, depth: number): GgufArray => {
  if (depth > maxNesting) {
    throw ggufError(cursor.source.path, `offset ${cursor.offset}: ${what} is nested too deeply`);
  }
  const type = cursor.u32(`the element type of ${what}`);
  const count = cursor.count(`the length of ${what}`);
  const least = leastBytes[type];
  if (least === undefined) {
    throw ggufError(cursor.source.path, `offset ${cursor.offset}: ${what} has unknown element type ${type}`);
  }
  // Checked before the list is made, so that a hostile length cannot use up the memory.
  cursor.need(count * least, what);
  if (count > maxLength)
    throw ggufError(cursor.source.path, `${what} has ${count} entries; at most ${maxLength} are read`);
  const values: GgufArray = [];
  for (let i = 0; i < count; i += 1) values.push(readValue(cursor, type, what, depth + 1));
  return values;
};

const readValue = (cursor: Cursor, type: number, what: string, depth: number): GgufValue => {
  switch (type) {
    case 0:
      return cursor.u8(what);
    case 1:
      return cursor.i8(what);
    case 2:
      return cursor.u16(what);
    case 3:
      return cursor.i16(what);
    case 4:
      return cursor.u32(what);
    case 5:
      return cursor.i32(what);
    case 6:
      return cursor.f32(what);
    case 7:
      return readBoolean(cursor, what);
    case stringType:
      return cursor.string(what);
    case arrayType:
      return readArray(cursor, what, depth);
    case 10:
      return safeNumber(cursor.u64(what));
    case 11:
      return safeNumber(cursor.i64(what));
    case 12:
      return cursor.f64(what);
    default:
      throw ggufError(cursor.source.path, `offset ${cursor.offset}: ${what} has unknown type ${type}`);
  }
};

const readMetadata = (cursor: Cursor, count: number): Map<string, GgufValue> => {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i += 1) {
    const key = cursor.string(`the name of metadata entry ${i + 1}`);
    const what = `metadata "${key}"`;
    if (metadata.has(key)) throw ggufError(cursor.source.path, `${what} is there twice`);
    metadata.set(key, readValue(cursor, cursor.u32(`the type of ${what}`), what, 0));
  }
  return metadata;
};

/** A tensor's entry with `offset` still counted from the beginning of the data. */
const readTensor = (cursor: Cursor, number: number): GgufTensor => {
  const { path } = cursor.source;
  const name = cursor.string(`the name of tensor ${number}`);
  const what = `tensor "${name}"`;
  const dimensions = cursor.u32(`the number of dimensions of ${what}`);
  if (dimensions < 1 || dimensions > maxDimensions) {
    throw ggufError(path, `${what} has ${dimensions} dimensions; 1 to ${maxDimensions} are allowed`);
  }
  const shape: number[] = [];
  let elements = 1;
  for (let i = 0; i < dimensions; i += 1) {
    const length = cursor.count(`a dimension of ${what}`);
    elements *= length;
    if (length < 1 || !Number.isSafeInteger(elements)) {
      throw ggufError(path, `${what} has an impossible dimension: ${length}`);
    }
    shape.unshift(length);
  }
  const typeNumber = cursor.u32(`the type of ${what}`);
  const type = ggufType(typeNumber);
  if (type === undefined) {
    throw ggufError(
      path,
      `${what} is stored as ${ggufTypeName(typeNumber)}, which cannot be read`,
      `use a file with these types only: ${Object.keys(blockLayouts).join(", ")}`,
    );
  }
  const layout = blockLayouts[type];
  const row = lastOf(shape, "dimension");
  if (row % layout.elements !== 0) {
    throw ggufError(
      path,
      `${what}: rows of ${row} values are not a multiple of ${type}'s block of ${layout.elements}`,
    );
  }
  return {
    name,
    shape,
    type,
    offset: cursor.count(`the offset of ${what}`),
    bytes: (elements / layout.elements) * layout.bytes,
  };
};

/** Moves offsets to the file's beginning and checks that the tensors lie inside it, aligned and apart. */
const placeTensors = (
  tensors: Map<string, GgufTensor>,
  dataStart: number,
  alignment: number,
  source: ByteSource,
): void => {
  let end = dataStart;
  let before = "";
  for (const tensor of [...tensors.values()].sort((a, b) => a.offset - b.offset)) {
    if (tensor.offset % alignment !== 0) {
      throw ggufError(
        source.path,
        `tensor "${tensor.name}" begins at ${tensor.offset}, not a multiple of ${alignment}`,
      );
    }
    tensor.offset += dataStart;
    if (tensor.offset < end) throw ggufError(source.path, `tensors "${before}" and "${tensor.name}" overlap`);
    end = tensor.offset + tensor.bytes;
    if (end > source.size) {
      throw ggufError(
        source.path,
        `tensor "${tensor.name}" ends at byte ${end}, but the file has ${source.size} bytes`,
        "the file was cut short; fetch it again",
      );
    }
    before = tensor.name;
  }
};

const readAlignment = (metadata: Map<string, GgufValue>, path: string): number => {
  const alignment = metadata.get("general.alignment") ?? 32;
  const valid =
    typeof alignment === "number" &&
    Number.isInteger(Math.log2(alignment)) &&
    alignment >= 8 &&
    alignment <= 2 ** 20;
  if (!valid)
    throw ggufError(path, `metadata "general.alignment" must be a power of two from 8 on, not ${alignment}`);
  return alignment;
};

/**
 * Reads the head of a GGUF file of version 2 or 3.
 *
 * @throws MahaloError E_GGUF: not a GGUF file, another version or byte order, cut short, or any count, type, offset or
 *   size that does not fit the file.
 */
export const readGgufHeader = (source: ByteSource): GgufHeader => {
  const { path } = source;
  const cursor = new Cursor(source);
  if (source.size < 24 || cursor.u32("the magic number") !== magic) {
    throw ggufError(path, 'is not a GGUF file: it does not begin with "GGUF"');
  }
  const version = cursor.u32("the version");
  if (version !== 2 && version !== 3) {
    const swapped = (version & 0xffff) === 0;
    throw ggufError(
      path,
      swapped ? "is a big-endian GGUF file" : `is of GGUF version ${version}; versions 2 and 3 can be read`,
      "convert the model again with a current converter",
    );
  }
  const tensorCount = cursor.count("the number of tensors");
  const entryCount = cursor.count("the number of metadata entries");
  // A metadata entry takes at least 13 bytes and a tensor's entry 32: a count beyond that cannot be true.
  cursor.need(
    entryCount * 13 + tensorCount * 32,
    `${entryCount} metadata entries and ${tensorCount} tensors`,
  );
  const metadata = readMetadata(cursor, entryCount);
  const tensors = new Map<string, GgufTensor>();
  for (let i = 0; i < tensorCount; i += 1) {
    const tensor = readTensor(cursor, i + 1);
    if (tensors.has(tensor.name)) throw ggufError(path, `tensor "${tensor.name}" is there twice`);
    tensors.set(tensor.name, tensor);
  }
  const alignment = readAlignment(metadata, path);
  placeTensors(tensors, Math.ceil(cursor.offset / alignment) * alignment, alignment, source);
  return { path, version, metadata, tensors };
};
