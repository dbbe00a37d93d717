/** mahalo/serve: models over HTTP, as a program starts and stops it. */
export type { ModelEntry, ModelInfo } from "../serve/engine/protocol.ts";
export { guidesOfRun, modelEntry } from "../serve/model-entry.ts";
export type { Bounds, ServeOptions } from "../serve/options.ts";
export { type ServerHandle, serve } from "../serve/serve.ts";
