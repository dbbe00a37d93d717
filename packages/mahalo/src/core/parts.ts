/** Checks what a program adds for the parts that it must have, when it adds it. */
import type { Registry } from "./registry.ts";

/** Type of a part; one with a question mark may be left out. */
export type Part = `${"function" | "string" | "number" | "boolean" | "list" | "object"}${"" | "?"}`;

const typeOf = (value: unknown): string => {
  if (value === undefined || value === null) return "missing";
  return Array.isArray(value) ? "list" : typeof value;
};

/**
 * Checks the parts of a thing that is to be registered, as far as types that TypeScript would check go.
 *
 * @throws MahaloError E_REGISTRY naming thing and part
 */
export const checkParts = (
  registry: Registry<unknown>,
  name: string,
  item: unknown,
  parts: Readonly<Record<string, Part>>,
): void => {
  if (typeOf(item) !== "object") registry.refuse(name, `must be an object, not ${typeOf(item)}`);
  for (const [part, type] of Object.entries(parts)) {
    const found = typeOf(Reflect.get(Object(item), part));
    const wanted = type.replace("?", "");
    if (found === wanted || (found === "missing" && type.endsWith("?"))) continue;
    registry.refuse(
      name,
      found === "missing" ? `${part} is missing` : `${part} must be a ${wanted}, not a ${found}`,
    );
  }
};
