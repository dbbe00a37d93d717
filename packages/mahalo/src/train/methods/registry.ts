/** All methods of alignment; a new one is a file beside this one and a line here. */
import { addHead } from "./add-head.ts";
import { dpo } from "./dpo.ts";
import { dpoMixed } from "./dpo-mixed.ts";
import { dpoScalarized } from "./dpo-scalarized.ts";
import { mahDpo } from "./mah-dpo.ts";
import type { AlignMethodSpec } from "./method.ts";
import { mod } from "./mod.ts";
import { modpoMethod } from "./modpo.ts";
import { soup } from "./soup.ts";

const methods = {
  "mah-dpo": mahDpo,
  dpo,
  "dpo-mixed": dpoMixed,
  "dpo-scalarized": dpoScalarized,
  modpo: modpoMethod,
  soup,
  mod,
  "add-head": addHead,
} satisfies Record<string, AlignMethodSpec>;

/** Name of a method. */
export type AlignMethod = keyof typeof methods;

/** Names of all methods. */
export const alignMethods = Object.keys(methods) as [AlignMethod, ...AlignMethod[]];

/** A method by its name. */
export const alignMethod = (name: AlignMethod): AlignMethodSpec => methods[name];
