/** Typed look-ups in a GGUF file's metadata, with errors that name file and key. */
import { MahaloError } from "@mahalo/torch";
import type { GgufArray, GgufHeader } from "./header.ts";

const wrong = (header: GgufHeader, key: string, what: string): MahaloError =>
  new MahaloError("E_GGUF_METADATA", `${header.path}: metadata "${key}" ${what}`, {
    hint: "convert the model again with a current converter",
  });

/** What `metadata` holds under `key`, or an error that it is missing. */
const required = <T>(header: GgufHeader, key: string, value: T | undefined): T => {
  if (value === undefined) throw wrong(header, key, "is missing");
  return value;
};

/** A number, or undefined where the key is missing. @throws MahaloError E_GGUF_METADATA */
export const numberAt = (header: GgufHeader, key: string): number | undefined => {
  const value = header.metadata.get(key);
  if (value === undefined || (typeof value === "number" && Number.isFinite(value))) return value;
  throw wrong(header, key, "must be a number");
};

/** A number that must be there. @throws MahaloError E_GGUF_METADATA */
export const needNumber = (header: GgufHeader, key: string): number =>
  required(header, key, numberAt(header, key));

/** A text, or undefined where the key is missing. @throws MahaloError E_GGUF_METADATA */
export const textAt = (header: GgufHeader, key: string): string | undefined => {
  const value = header.metadata.get(key);
  if (value === undefined || typeof value === "string") return value;
  throw wrong(header, key, "must be text");
};

/** A text that must be there. @throws MahaloError E_GGUF_METADATA */
export const needText = (header: GgufHeader, key: string): string =>
  required(header, key, textAt(header, key));

/** A truth value, or undefined where the key is missing. @throws MahaloError E_GGUF_METADATA */
export const booleanAt = (header: GgufHeader, key: string): boolean | undefined => {
  const value = header.metadata.get(key);
  if (value === undefined || typeof value === "boolean") return value;
  throw wrong(header, key, "must be true or false");
};

const arrayAt = (header: GgufHeader, key: string): GgufArray | undefined => {
  const value = header.metadata.get(key);
  if (value === undefined || Array.isArray(value)) return value;
  throw wrong(header, key, "must be a list");
};

/** A list of texts that must be there. @throws MahaloError E_GGUF_METADATA */
export const needTexts = (header: GgufHeader, key: string): string[] =>
  required(header, key, arrayAt(header, key)).map((value) => {
    if (typeof value !== "string") throw wrong(header, key, "must be a list of texts");
    return value;
  });

/** A list of numbers, or undefined where the key is missing. @throws MahaloError E_GGUF_METADATA */
export const numbersAt = (header: GgufHeader, key: string): number[] | undefined =>
  arrayAt(header, key)?.map((value) => {
    if (typeof value !== "number") throw wrong(header, key, "must be a list of numbers");
    return value;
  });

/**
 * The shortest decimal that gives the same 32-bit float: 9.999999747378752e-6 was written as 1e-5, and every other
 * tool's config says so.
 */
export const shortest = (value: number): number => {
  for (let digits = 1; digits <= 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
};
