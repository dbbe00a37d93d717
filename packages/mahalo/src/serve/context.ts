/** What all routes work with. */
import type { HttpBindings } from "@hono/node-server";
import type { Context, Hono } from "hono";
import type { Logger } from "pino";
import type { EngineClient } from "./engine/client.ts";
import type { Metrics } from "./metrics.ts";
import type { CheckedServeOptions } from "./options.ts";

/** What hono knows of a request. */
export type ServeEnv = { Bindings: HttpBindings };

/** The app, to which routes add themselves. */
export type ServeApp = Hono<ServeEnv>;

/** A request as its handler gets it. */
export type ServeRequest = Context<ServeEnv>;

/** What routes work with. */
export type ServeContext = {
  engine: EngineClient;
  options: CheckedServeOptions;
  metrics: Metrics;
  log: Logger;
  /** A signal that ends with the request: its client is gone, or the server stops waiting. */
  signalOf(request: ServeRequest): AbortSignal;
  /** Whether new work is taken. */
  accepting(): boolean;
};

/** Adds a part of the interface to the app. */
export type Route = (app: ServeApp, context: ServeContext) => void;
