/** The public surface of @mahalo/math-verify. */
export { hasBoxed, lastBoxed } from "./boxed.ts";
export { type CompareOptions, sameAnswer } from "./compare.ts";
export { type Extracted, extractAnswer } from "./extract.ts";
export { maxAnswer, maxReply } from "./limits.ts";
