/**
 * The first file of the engine's thread: loads what the thread runs, from the TypeScript sources in a clone and from what
 * was built of them in an installed package.
 */
import { workerData } from "node:worker_threads";

/** @type {{ body: string }} */
const { body } = workerData;
if (body.endsWith(".ts")) {
  const { register } = await import("tsx/esm/api");
  register();
}
await import(body);
