/** All methods of alignment; a new one is a file beside this one and a line here, or is added by a program. */
import { Registry } from "../../core/registry.ts";
import { addHead } from "./add-head.ts";
import { dpo } from "./dpo.ts";
import { dpoMixed } from "./dpo-mixed.ts";
import { dpoScalarized } from "./dpo-scalarized.ts";
import { mahDpo } from "./mah-dpo.ts";
import type { AlignMethodSpec } from "./method.ts";
import { mod } from "./mod.ts";
import { modpoMethod } from "./modpo.ts";
import { soup } from "./soup.ts";

/** Methods by name. */
export const alignMethods = new Registry<AlignMethodSpec>("align method", {
  "mah-dpo": mahDpo,
  dpo,
  "dpo-mixed": dpoMixed,
  "dpo-scalarized": dpoScalarized,
  modpo: modpoMethod,
  soup,
  mod,
  "add-head": addHead,
});
