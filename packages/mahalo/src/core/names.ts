/** Names that users choose and that become keys: none may be one that every object of JavaScript has already. */
import { z } from "zod";
import type { FieldPath } from "./issues.ts";

/** Whether a name is free to be a key: `constructor`, `toString` and `__proto__` are not. */
export const isFreeName = (name: string): boolean => !(name in Object.prototype);

/** A name of at least one character, for example an objective's. */
export const freeName = z
  .string()
  .min(1)
  .refine(isFreeName, { error: "is a name reserved by JavaScript; choose another" });

/**
 * Paths of all keys `__proto__` inside a value. Schemas drop them without a word, so what is written there would be lost.
 */
export const protoKeys = (value: unknown, path: FieldPath = []): FieldPath[] => {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const place = [...path, Array.isArray(value) ? Number(key) : key];
    return key === "__proto__" ? [place] : protoKeys(inner, place);
  });
};
