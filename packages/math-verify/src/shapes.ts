/** The signs that shape an expression: relations, brackets and named sets. */
import type { RelationOp } from "./tree.ts";

const relations: ReadonlySet<string> = new Set(["=", "<", ">", "≤", "≥", "≠", "∈", "≈"]);
/** Whether a sign relates two sides. */
export const isRelation = (text: string): text is RelationOp | "≈" => relations.has(text);
/** What may close each opening bracket. */
export const closings: Readonly<Record<string, readonly string[]>> = {
  "(": [")", "]"],
  "[": ["]", ")"],
  "⦃": ["⦄"],
  "{": ["}"],
  "⟨": ["⟩"],
};
/** Sets that have a sign of their own. */
export const namedSets = {
  "∅": "empty",
  ℝ: "reals",
  ℤ: "integers",
  ℕ: "naturals",
  ℚ: "rationals",
  ℂ: "complex",
} as const;
/** Whether a sign names a set. */
export const setName = (text: string): text is keyof typeof namedSets => text in namedSets;
/** Signs that an expression may begin with. */
export const starts = new Set(["(", "[", "⦃", "{", "⟨", "⌊", "⌈", "∞", ...Object.keys(namedSets)]);
