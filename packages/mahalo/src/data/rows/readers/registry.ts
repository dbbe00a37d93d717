/** The row readers by name; a reader is a file beside this one and a line here, or is added by a program. */
import { Registry } from "../../../core/registry.ts";
import { aspectRatings } from "./aspect-ratings.ts";
import { mathShepherd } from "./math-shepherd.ts";
import { prm800k } from "./prm800k.ts";
import type { RowReader } from "./types.ts";

export type { RowReader } from "./types.ts";

/** All readers by name. */
export const rowReaders = new Registry<RowReader>("row reader", {
  prm800k,
  "math-shepherd": mathShepherd,
  "aspect-ratings": aspectRatings,
});
