/** The header of a safetensors file: read with every rule of the format enforced, and planned for writing. */
import { z } from "zod";
import { MahaloError } from "../error.ts";
import { isStoredDType, STORED_DTYPES, type StoredDType, storedBytes, storedRank } from "./dtypes.ts";
import { isWellFormed, parseStrictJson } from "./strict-json.ts";

/** Bytes of the length that a file begins with (unsigned 64-bit, little-endian). */
export const LENGTH_BYTES = 8;

/** The format's limit on the header, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Tensors of a file that are read: twice those of the largest models, whose files are many besides. */
export const MAX_TENSORS = 200_000;

/** The header's key for text of the writer's own; no tensor may be named so. */
export const METADATA_KEY = "__metadata__";

/** One tensor of a file. */
export type TensorEntry = {
  name: string;
  dtype: StoredDType;
  shape: readonly number[];
  /** First byte, counted from the file's beginning. */
  start: number;
  /** Bytes of the data. */
  bytes: number;
};

/** A checked header. */
export type Header = {
  /** In the order of their data. */
  tensors: readonly TensorEntry[];
  metadata: ReadonlyMap<string, string>;
};

const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(z.number()),
  data_offsets: z.tuple([z.number(), z.number()]),
});
const metadataSchema = z.record(z.string(), z.string());

const HINT = "the file is damaged or was not written by a safetensors library; fetch or write it again";

const bad = (message: string, hint = HINT): MahaloError =>
  new MahaloError("E_SAFETENSORS", message, { hint });

const describe = (error: z.ZodError): string => {
  const issue = error.issues[0];
  if (issue === undefined) return "has the wrong form";
  if (issue.code === "unrecognized_keys") {
    return `unknown field "${issue.keys[0]}"; the fields are dtype, shape, data_offsets`;
  }
  const field = issue.path.map((key) => (typeof key === "number" ? `[${key}]` : String(key))).join("");
  return field === "" ? issue.message : `${field}: ${issue.message}`;
};

/**
 * Checks the length that a file begins with.
 *
 * @param first the file's first bytes, 8 where it has as many.
 * @returns the header's bytes.
 * @throws MahaloError `E_SAFETENSORS`
 */
export const headerLength = (first: Uint8Array, fileBytes: number, file: string): number => {
  if (fileBytes < LENGTH_BYTES || first.byteLength < LENGTH_BYTES) {
    throw bad(`${file}: has ${fileBytes} bytes, too few for a safetensors file`);
  }
  const length = new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw bad(`${file}: header of ${length} bytes is above the format's limit of ${MAX_HEADER_BYTES}`);
  }
  if (length < 2n) throw bad(`${file}: header of ${length} bytes is too short to hold anything`);
  if (BigInt(LENGTH_BYTES) + length > BigInt(fileBytes)) {
    throw bad(`${file}: header of ${length} bytes does not fit in a file of ${fileBytes}: it was cut off`);
  }
  return Number(length);
};

/** Bytes that a tensor needs, or undefined past 2^53 - 1. */
const sizeOf = (shape: readonly number[], width: number): number | undefined => {
  // A zero anywhere makes the tensor empty, but does not excuse a product that overflows without it.
  let product = width;
  for (const size of shape) {
    if (size > 0) product *= size;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  return shape.includes(0) ? 0 : product;
};

const readEntry = (name: string, value: unknown, where: string, dataStart: number): TensorEntry => {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) throw bad(`${where}: ${describe(parsed.error)}`);
  const { dtype, shape, data_offsets } = parsed.data;
  if (!isStoredDType(dtype)) {
    throw bad(
      `${where}: dtype ${JSON.stringify(dtype)} is unknown`,
      `the dtypes are ${STORED_DTYPES.join(", ")}`,
    );
  }
  const [begin, end] = data_offsets;
  if (begin > end) throw bad(`${where}: data_offsets [${begin}, ${end}] end before they begin`);
  const bytes = sizeOf(shape, storedBytes(dtype));
  if (bytes === undefined) throw bad(`${where}: shape [${shape}] overflows`);
  if (bytes !== end - begin) {
    throw bad(
      `${where}: ${dtype} of shape [${shape}] takes ${bytes} bytes, but data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  return { name, dtype, shape, start: dataStart + begin, bytes };
};

/** The data must lie end to end: no overlap, no hole, nothing behind it. */
const checkLayout = (tensors: readonly TensorEntry[], dataStart: number, fileBytes: number, file: string) => {
  let end = dataStart;
  let last = "the header";
  for (const { name, start, bytes } of tensors) {
    const label = `tensor ${JSON.stringify(name)}`;
    if (start < end) throw bad(`${file}: ${label}: its data overlaps ${last} by ${end - start} bytes`);
    if (start > end)
      throw bad(`${file}: ${label}: there is a hole of ${start - end} bytes between ${last} and its data`);
    end = start + bytes;
    last = `the data of ${label}`;
    if (end > fileBytes) {
      throw bad(
        `${file}: ${label}: its data ends at byte ${end}, but the file has ${fileBytes}: it was cut off`,
      );
    }
  }
  if (end < fileBytes) throw bad(`${file}: ${fileBytes - end} bytes follow ${last}, where the file must end`);
};

const decodeUtf8 = (bytes: Uint8Array, file: string): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new MahaloError("E_SAFETENSORS", `${file}: header is not valid UTF-8`, { hint: HINT, cause });
  }
};

const parseJson = (text: string, file: string) => {
  try {
    return parseStrictJson(text, `${file}: header`, { wholeNumbers: true, mostKeys: MAX_TENSORS });
  } catch (cause) {
    if (cause instanceof MahaloError)
      throw new MahaloError("E_SAFETENSORS", cause.message, { hint: HINT, cause });
    throw cause;
  }
};

/**
 * Reads and checks a header.
 *
 * Enforced: UTF-8, begins with `{`, no duplicate key, no `__proto__`, whole numbers without overflow, known dtypes,
 * at most {@link MAX_TENSORS} tensors, sizes that fit shape and dtype, data without overlap, hole or trailing bytes, metadata of text alone.
 * Format: https://huggingface.co/docs/safetensors
 *
 * @param json the header's bytes, without the length before them.
 * @throws MahaloError `E_SAFETENSORS` naming file and tensor.
 */
export const parseHeader = (json: Uint8Array, fileBytes: number, file: string): Header => {
  const text = decodeUtf8(json, file);
  if (!text.startsWith("{")) throw bad(`${file}: header does not begin with "{"`);
  const value = parseJson(text, file);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw bad(`${file}: header is not a JSON object`);
  }
  const dataStart = LENGTH_BYTES + json.byteLength;
  const tensors: TensorEntry[] = [];
  let metadata = new Map<string, string>();
  for (const [name, entry] of Object.entries(value)) {
    if (name === METADATA_KEY) {
      const parsed = metadataSchema.safeParse(entry);
      if (!parsed.success) throw bad(`${file}: ${METADATA_KEY}: ${describe(parsed.error)}`);
      metadata = new Map(Object.entries(parsed.data));
    } else {
      tensors.push(readEntry(name, entry, `${file}: tensor ${JSON.stringify(name)}`, dataStart));
    }
  }
  // An empty tensor shares its place with the next one: it comes first.
  tensors.sort((a, b) => a.start - b.start || a.bytes - b.bytes);
  checkLayout(tensors, dataStart, fileBytes, file);
  return { tensors, metadata };
};

/** A tensor to be written. */
export type TensorPlan = { name: string; dtype: StoredDType; shape: readonly number[] };

const checkText = (text: string, what: string): void => {
  if (!isWellFormed(text)) {
    throw new MahaloError("E_SAFETENSORS_WRITE", `${what} ${JSON.stringify(text)} holds half a character`, {
      exitStatus: 1,
    });
  }
};

/**
 * Plans a file: its first bytes (length and header), and where each tensor's data goes.
 *
 * Laid out as the reference library does, so that equal contents give equal bytes: the widest dtypes first, then by
 * name, the header filled up with spaces to a multiple of 8 bytes.
 *
 * @throws MahaloError `E_SAFETENSORS_WRITE` for a name that the format cannot hold, or one given twice.
 */
export const planFile = (
  plans: readonly TensorPlan[],
  metadata: ReadonlyMap<string, string> = new Map(),
): { head: Uint8Array; tensors: readonly TensorEntry[]; fileBytes: number } => {
  // By UTF-8 bytes, as the reference library does; JavaScript alone would compare UTF-16 units.
  const byName = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
  const sorted = plans.toSorted(
    (a, b) => storedRank(a.dtype) - storedRank(b.dtype) || byName(a.name, b.name),
  );
  const fields: string[] = [];
  if (metadata.size > 0) {
    for (const [key, text] of metadata) {
      checkText(key, "metadata key");
      checkText(text, `metadata ${JSON.stringify(key)}:`);
      if (key === "__proto__") {
        throw new MahaloError("E_SAFETENSORS_WRITE", 'metadata cannot have the key "__proto__"', {
          exitStatus: 1,
        });
      }
    }
    fields.push(`${JSON.stringify(METADATA_KEY)}:${JSON.stringify(Object.fromEntries(metadata))}`);
  }
  const names = new Set<string>([METADATA_KEY, "__proto__"]);
  let offset = 0;
  const offsets: (TensorPlan & { bytes: number; begin: number })[] = [];
  for (const plan of sorted) {
    const { name, dtype, shape } = plan;
    checkText(name, "tensor name");
    if (names.has(name)) {
      const reason = name === METADATA_KEY || name === "__proto__" ? "is reserved" : "is given twice";
      throw new MahaloError("E_SAFETENSORS_WRITE", `tensor name ${JSON.stringify(name)} ${reason}`, {
        exitStatus: 1,
      });
    }
    names.add(name);
    const bytes = sizeOf(shape, storedBytes(dtype));
    if (bytes === undefined || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      throw new MahaloError("E_SAFETENSORS_WRITE", `tensor ${JSON.stringify(name)}: bad shape [${shape}]`, {
        exitStatus: 1,
      });
    }
    offsets.push({ ...plan, bytes, begin: offset });
    const entry = { dtype, shape, data_offsets: [offset, offset + bytes] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    offset += bytes;
  }
  const json = Buffer.from(`{${fields.join(",")}}`);
  const length = Math.ceil(json.byteLength / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new MahaloError("E_SAFETENSORS_WRITE", `a header of ${length} bytes is above the format's limit`, {
      hint: "write fewer tensors to a file, or less metadata",
      exitStatus: 1,
    });
  }
  const head = Buffer.alloc(LENGTH_BYTES + length, " ");
  head.writeBigUInt64LE(BigInt(length), 0);
  json.copy(head, LENGTH_BYTES);
  const dataStart = head.byteLength;
  const tensors = offsets.map(({ begin, ...plan }): TensorEntry => ({ ...plan, start: dataStart + begin }));
  return { head, tensors, fileBytes: dataStart + offset };
};
