/** A small OpenAI-compatible server with the faults that tests ask for, one for each request in turn. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { z } from "zod";
import { parseJson } from "../../core/json.ts";

const requestSchema = z.looseObject({
  model: z.string(),
  /** Of a chat completion; none for a completion of tokens. */
  messages: z.array(z.object({ role: z.string(), content: z.string() })).default([]),
  prompt: z.array(z.int()).optional(),
  n: z.int().optional(),
  seed: z.int().optional(),
});

/** A request as the server saw it. */
export type SeenCall = {
  path: string;
  headers: IncomingHttpHeaders;
  body: z.infer<typeof requestSchema>;
};

/** How the server answers one request. */
export type Behaviour = (response: ServerResponse, call: SeenCall) => void | Promise<void>;

/** The body of a chat completion. */
export const completion = (text: string | null, fields: object = {}): object => ({
  id: "1",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
  usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
  ...fields,
});

/** Any status, body and headers. */
export const sends =
  (status: number, body: unknown, headers: Record<string, string> = {}): Behaviour =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };

/** A chat completion of this text. */
export const says = (text: string | null, fields?: object): Behaviour => sends(200, completion(text, fields));

/** One answer of {@link answers}. */
export type TestAnswer = { text: string | null; finish_reason?: string | null; stop_reason?: unknown };

/**
 * Completions in the form that the request's path asks for, of chat or of text, with as many choices as `n` says.
 *
 * @param write the text of a choice, or all that stands in it
 * @param count how many choices come; default: as many as asked
 */
export const answers =
  (
    write: (call: SeenCall, choice: number) => string | TestAnswer,
    count: (call: SeenCall) => number = ({ body }) => body.n ?? 1,
  ): Behaviour =>
  (response, call) => {
    const chat = call.path.endsWith("/chat/completions");
    const choices = Array.from({ length: count(call) }, (_, index) => {
      const written = write(call, index);
      const { text, ...end } = typeof written === "string" ? { text: written } : written;
      const content = chat ? { message: { role: "assistant", content: text } } : { text };
      return { index, finish_reason: "stop", ...end, ...content };
    });
    const usage = { prompt_tokens: 7, completion_tokens: 3 * choices.length, total_tokens: 10 };
    sends(200, { id: "1", object: chat ? "chat.completion" : "text_completion", choices, usage })(
      response,
      call,
    );
  };

/** The connection is cut in the middle of the body. */
export const cutInTheMiddle: Behaviour = (response) => {
  const whole = JSON.stringify(completion("yes"));
  response.writeHead(200, { "content-type": "application/json", "content-length": whole.length });
  response.write(whole.slice(0, whole.length / 2), () => response.destroy());
};

/** The connection is cut before anything is sent. */
export const cutAtOnce: Behaviour = (response) => {
  response.destroy();
};

/** No answer, ever. */
export const silence: Behaviour = () => undefined;

/** A body that comes drop by drop and never ends. */
export const drips: Behaviour = async (response) => {
  response.writeHead(200, { "content-type": "application/json" });
  while (!response.destroyed) {
    response.write(" ");
    await sleep(10);
  }
};

/** A body without end, as fast as it is taken. */
export const floods: Behaviour = async (response) => {
  response.writeHead(200, { "content-type": "application/json" });
  const piece = " ".repeat(256 * 1024);
  while (!response.destroyed) {
    if (!response.write(piece)) {
      await Promise.race([
        new Promise((resolve) => response.once("drain", resolve)),
        new Promise((resolve) => response.once("close", resolve)),
      ]);
    }
  }
};

/** A small body that is a large one when it is unpacked. */
export const unpacksTo = (bytes: number): Behaviour => {
  const packed = gzipSync(Buffer.alloc(bytes, " "));
  return (response) => {
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
    response.end(packed);
  };
};

/** A running server. */
export type TestEndpoint = {
  baseUrl: string;
  /** Behaviours for the next requests, in turn; `usually` afterwards. */
  next: Behaviour[];
  usually: Behaviour;
  seen: SeenCall[];
  /** Requests being answered, and the most there ever were at a time. */
  running: number;
  mostRunning: number;
  close(): Promise<void>;
};

/** Starts a server on a free port of this machine. */
export const startEndpoint = async (usually: Behaviour = says("yes")): Promise<TestEndpoint> => {
  const server = createServer((request, response) => {
    endpoint.running += 1;
    endpoint.mostRunning = Math.max(endpoint.mostRunning, endpoint.running);
    response.once("close", () => {
      endpoint.running -= 1;
    });
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const body = parseJson(Buffer.concat(pieces).toString(), requestSchema, "the test's request");
      const call: SeenCall = { path: request.url ?? "", headers: request.headers, body };
      endpoint.seen.push(call);
      void (endpoint.next.shift() ?? endpoint.usually)(response, call);
    });
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
  const endpoint: TestEndpoint = {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    next: [],
    usually,
    seen: [],
    running: 0,
    mostRunning: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return endpoint;
};
