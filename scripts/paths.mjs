/** Where this clone lies. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of this clone. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
