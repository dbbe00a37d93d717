/** The folder of a recipe's run. */
import { resolve } from "node:path";
import type { Recipe } from "./schema/schema.ts";

/** The folder of a recipe's run. */
export const runFolder = ({ out, name }: Recipe): string => resolve(out, name);
