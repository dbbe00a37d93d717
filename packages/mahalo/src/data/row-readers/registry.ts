/** The row readers by name; a reader is a file beside this one and a line here. */
import { aspectRatings } from "./aspect-ratings.ts";
import { mathShepherd } from "./math-shepherd.ts";
import { prm800k } from "./prm800k.ts";
import type { RowReader } from "./types.ts";

export type { RowReader } from "./types.ts";

const readers = {
  prm800k,
  "math-shepherd": mathShepherd,
  "aspect-ratings": aspectRatings,
} satisfies Record<string, RowReader>;

/** Name of a reader. */
export type RowReaderName = keyof typeof readers;

/** All readers by name. */
export const rowReaders: Readonly<Record<RowReaderName, RowReader>> = readers;

/** Names of all readers. */
export const rowReaderNames = Object.keys(readers) as RowReaderName[];
