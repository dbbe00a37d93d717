/** Element types of safetensors files and libtorch's names for them. */
import type { DType } from "../native.ts";

/** Format name, libtorch name and bytes of an element, in the order in which files hold them: widest first. */
const TYPES = [
  { stored: "I64", dtype: "int64", bytes: 8 },
  { stored: "F64", dtype: "float64", bytes: 8 },
  { stored: "F32", dtype: "float32", bytes: 4 },
  { stored: "I32", dtype: "int32", bytes: 4 },
  { stored: "BF16", dtype: "bfloat16", bytes: 2 },
  { stored: "F16", dtype: "float16", bytes: 2 },
  { stored: "I16", dtype: "int16", bytes: 2 },
  { stored: "I8", dtype: "int8", bytes: 1 },
  { stored: "U8", dtype: "uint8", bytes: 1 },
  { stored: "BOOL", dtype: "bool", bytes: 1 },
] as const satisfies readonly { stored: string; dtype: DType; bytes: number }[];

/** A dtype as a safetensors header writes it. */
export type StoredDType = (typeof TYPES)[number]["stored"];

/** All dtypes that can be read and written. */
export const STORED_DTYPES: readonly StoredDType[] = TYPES.map((type) => type.stored);

/** True for a dtype that can be read and written. */
export const isStoredDType = (name: string): name is StoredDType =>
  (STORED_DTYPES as readonly string[]).includes(name);

const byStored = new Map<StoredDType, (typeof TYPES)[number]>(TYPES.map((type) => [type.stored, type]));
const byDType = new Map<DType, (typeof TYPES)[number]>(TYPES.map((type) => [type.dtype, type]));

const supported = <T>(value: T | undefined, name: string): T => {
  if (value === undefined) throw new TypeError(`no safetensors dtype ${name}`);
  return value;
};

/** Bytes of one element. */
export const storedBytes = (stored: StoredDType): number => supported(byStored.get(stored), stored).bytes;

/** libtorch's name of a stored dtype: `BF16` is `bfloat16`. */
export const toDType = (stored: StoredDType): DType => supported(byStored.get(stored), stored).dtype;

/** The format's name of a dtype: `bfloat16` is `BF16`. */
export const toStored = (dtype: DType): StoredDType => supported(byDType.get(dtype), dtype).stored;

/** Place of a dtype in a file: tensors are sorted by it, so that every one of them lies at a multiple of its width. */
export const storedRank = (stored: StoredDType): number => STORED_DTYPES.indexOf(stored);
