/** Types of index.mjs. */
export { ADDON, CLONE, SET_UP_COMMAND } from "./paths.mjs";
export function setUp(first?: () => Promise<void>): Promise<boolean>;
