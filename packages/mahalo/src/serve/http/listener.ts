/** The Node server around the app: doors first, ids and times on every response, bounds on slow and large requests. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import type { Hono } from "hono";
import type { Logger } from "pino";
import type { ServeEnv } from "../context.ts";
import { ApiError, notReady } from "./api-error.ts";
import type { Knock } from "./doors.ts";

/** What the listener works with. */
export type ListenerOptions = {
  /** Largest body in bytes. */
  maxBody: number;
  app: Hono<ServeEnv>;
  check(knock: Knock): ApiError | undefined;
  accepting(): boolean;
  log: Logger;
};

/**
 * Calls back once, when a response has ended or its client is gone. A response that waits for others on its connection hears
 * nothing of the connection's end by itself.
 */
export const onEnd = (incoming: IncomingMessage, outgoing: ServerResponse, then: () => void): void => {
  const { socket } = incoming;
  const end = (): void => {
    socket.off("close", end);
    outgoing.off("close", end);
    then();
  };
  socket.setMaxListeners(0);
  socket.once("close", end);
  outgoing.once("close", end);
};

/** Largest headers in bytes. */
const maxHeaderSize = 16 * 1024;

const refuse = (outgoing: ServerResponse, error: ApiError): void => {
  const text = JSON.stringify(error.body);
  outgoing.writeHead(error.status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    // A body that nobody reads would be taken for the next request.
    connection: "close",
    ...error.headers,
  });
  outgoing.end(text);
};

/** Statuses of requests that are no HTTP, or not in time. */
const brokenStatus = (code: string | undefined): 400 | 408 | 431 =>
  code === "HPE_HEADER_OVERFLOW" ? 431 : code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;

/** Answers what cannot be read as a request. */
const answerBroken = (error: NodeJS.ErrnoException, socket: Duplex): void => {
  if (!socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const status = brokenStatus(error.code);
  const reason =
    status === 431
      ? "the headers are too large"
      : status === 408
        ? "the request took too long"
        : "this is no HTTP request";
  const text = JSON.stringify(new ApiError(status, reason, { code: "bad_request" }).body);
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/json\r\nx-request-id: ${randomUUID()}\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
};

/** Makes the server; it does not listen yet. */
export const makeServer = ({ app, check, accepting, log, maxBody }: ListenerOptions): Server => {
  const listener = getRequestListener((request, env) => app.fetch(request, env), {
    autoCleanupIncoming: true,
  });
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const id = randomUUID();
    const begun = performance.now();
    const { method = "GET", url = "/", headers } = incoming;
    outgoing.setHeader("x-request-id", id);
    outgoing.setHeader("x-content-type-options", "nosniff");
    onEnd(incoming, outgoing, () => {
      const ms = Math.round(performance.now() - begun);
      const path = url.split("?", 1)[0]?.slice(0, 200);
      log.info(
        { id, method, path, status: outgoing.statusCode, ms, whole: outgoing.writableFinished },
        "request",
      );
    });
    const refused = check({ method, url, headers });
    if (refused !== undefined) refuse(outgoing, refused);
    else if (!accepting() && method === "POST") refuse(outgoing, notReady("the server is about to stop"));
    else void listener(incoming, outgoing);
  };
  const server = createServer(
    {
      maxHeaderSize,
      headersTimeout: 10_000,
      requestTimeout: 60_000,
      keepAliveTimeout: 15_000,
      connectionsCheckingInterval: 1_000,
    },
    handle,
  );
  server.on("clientError", answerBroken);
  // Nothing here speaks another protocol, and nobody is asked to go on with a body that will be refused.
  server.on("upgrade", (_incoming, socket) => socket.destroy());
  server.on("checkContinue", (incoming, outgoing) => {
    const { method = "GET", url = "/", headers } = incoming;
    const refused = check({ method, url, headers });
    const declared = headers["content-length"];
    const fits = declared === undefined || Number(declared) <= maxBody;
    if (refused === undefined && fits) outgoing.writeContinue();
    handle(incoming, outgoing);
  });
  return server;
};
