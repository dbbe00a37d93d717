/** Public surface of @mahalo/torch. */
export { describeError, MahaloError, type MahaloErrorOptions } from "./error.ts";
