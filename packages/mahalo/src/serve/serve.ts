/** Serves models to OpenAI's clients, each request under a mix of its own. */
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { MahaloError } from "@mahalo/torch";
import pino from "pino";
import { computeDType } from "../model/transformer/precision.ts";
import { parseGuide } from "../search/scorers/guides.ts";
import type { ServeContext, ServeRequest } from "./context.ts";
import { EngineClient } from "./engine/client.ts";
import type { ModelEntry, ModelInfo } from "./engine/protocol.ts";
import { makeApp } from "./http/app.ts";
import { doors } from "./http/doors.ts";
import { makeServer, onEnd } from "./http/listener.ts";
import { Metrics } from "./metrics.ts";
import { type CheckedServeOptions, type ServeOptions, serveOptionsOf } from "./options.ts";

/** A server that listens. */
export type ServerHandle = {
  /** Where it listens, as in `http://127.0.0.1:8321`. */
  url: string;
  models: readonly ModelInfo[];
  /** Names of the scores that may guide a search. */
  guides: readonly string[];
  /** Resolves when the server has stopped, by {@link ServerHandle.close} or because its engine is gone. */
  stopped: Promise<void>;
  /** Takes nothing new, waits for what runs within `bounds.drainFor` seconds, cancels the rest, and frees the models. */
  close(): Promise<void>;
};

/** Addresses that only this machine reaches. */
const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);

const checkOptions = (options: CheckedServeOptions, models: readonly ModelEntry[]): void => {
  if (models.length === 0)
    throw new MahaloError("E_SERVE_OPTION", "no model to serve", {
      hint: "name a model's folder, or a run's",
    });
  const names = models.map(({ id }) => id);
  const twice = names.find((id, index) => names.indexOf(id) !== index);
  if (twice !== undefined)
    throw new MahaloError("E_SERVE_OPTION", `two models are called "${twice}"`, {
      hint: "give one another name: NAME=PATH",
    });
  if (!isLoopback(options.host) && options.keys.length === 0)
    throw new MahaloError(
      "E_SERVE_OPEN",
      `${options.host} is reached by other machines, and no key is asked for`,
      {
        hint: "name a file of keys with --api-key-file, or listen on 127.0.0.1",
      },
    );
};

const hostsOf = ({ host, allowedHosts }: CheckedServeOptions): string[] => [
  ...["127.0.0.1", "localhost", "[::1]"],
  host.includes(":") ? `[${host}]` : host,
  ...allowedHosts,
];

/**
 * Loads models and serves them until it is closed.
 *
 * The engine runs in a thread of its own, so that reading and writing of HTTP never waits for it.
 *
 * @throws MahaloError E_SERVE_OPTION, E_SERVE_OPEN (an open address without a key), E_SERVE_ADDRESS (cannot listen), and what
 *   loading the models throws
 *
 * @example
 * const server = await serve([{ id: "quickstart", source: "runs/quickstart/align/model" }], { port: 0 });
 * // const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none" });
 * await server.close();
 */
export const serve = async (
  models: readonly ModelEntry[],
  input: ServeOptions = {},
): Promise<ServerHandle> => {
  const options = serveOptionsOf(input);
  checkOptions(options, models);
  const { bounds } = options;
  const log = pino({ level: options.log, base: null }, pino.destination({ dest: 2, sync: true }));
  const engine = await EngineClient.open({
    models,
    guides: options.guides.map(parseGuide),
    searches: bounds.searches,
    compute: options.compute ?? computeDType("auto"),
    weights: options.weights,
    parallel: bounds.parallel,
    maxWaiting: bounds.maxWaiting,
    maxWaitingTokens: bounds.maxWaitingTokens,
    maxBytes: options.maxCacheBytes,
  });
  let draining = false;
  const open = new Set<AbortController>();
  const signalOf = ({ env: { incoming, outgoing } }: ServeRequest): AbortSignal => {
    const controller = new AbortController();
    open.add(controller);
    onEnd(incoming, outgoing, () => {
      open.delete(controller);
      controller.abort();
    });
    return controller.signal;
  };
  const accepting = (): boolean => !draining && engine.alive;
  const context: ServeContext = {
    engine,
    options,
    metrics: new Metrics(() => engine.stats),
    log,
    signalOf,
    accepting,
  };
  const check = doors({ keys: options.keys, hosts: hostsOf(options) });
  const server = makeServer({ app: makeApp(context, log), check, accepting, log, maxBody: bounds.maxBody });
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.host, resolve);
    });
  } catch (cause) {
    await engine.close();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new MahaloError("E_SERVE_ADDRESS", `cannot listen on ${options.host}:${options.port}: ${why}`, {
      hint: "is another server there? --port 0 takes a free port",
      cause,
    });
  }
  const { port } = server.address() as AddressInfo;
  let close: Promise<void> | undefined;
  let finished: () => void = () => undefined;
  const stopped = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const drain = async (): Promise<void> => {
    draining = true;
    const timer = setTimeout(() => {
      for (const controller of open) controller.abort();
      // What was cancelled still tells its client so; whoever does not read it is cut.
      setTimeout(() => server.closeAllConnections(), 2_000).unref();
    }, bounds.drainFor * 1000);
    // Until what runs has ended, who asks is told that the server is about to stop.
    while (open.size > 0 && engine.alive) await sleep(20);
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    // A connection whose answer has been read would stay open for the next.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    await ended;
    clearInterval(sweep);
    clearTimeout(timer);
    await engine.close();
    finished();
  };
  engine.onGone = (error) => {
    log.fatal({ err: error }, "the engine has stopped");
    close ??= drain();
  };
  return {
    url: `http://${options.host.includes(":") ? `[${options.host}]` : options.host}:${port}`,
    models: [...engine.models.values()],
    guides: engine.guides,
    stopped,
    close: () => {
      close ??= drain();
      return close;
    },
  };
};
