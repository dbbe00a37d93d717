/** A server over a tiny model for tests, and requests to it as they go over the wire. */
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { layOutModel } from "../../cli/testing/run.ts";
import { type LanguageModel, loadModel } from "../../model/folder/load.ts";
import { saveRewardModel } from "../../model/reward/reward-model.ts";
import { tinyRewardModel } from "../../rollout/testing/reward-model.ts";
import type { ServeOptions } from "../options.ts";
import { type ServerHandle, serve } from "../serve.ts";

/** A server, the folder of its model, and how to be rid of both. */
export type TestServer = ServerHandle & { folder: string; model: string; stop(): Promise<void> };

/** Saves a tiny reward model that scores accuracy and engagement; gives its folder. */
export const layOutRewards = async (folder: string): Promise<string> => {
  const to = join(folder, "rewards");
  const model = await tinyRewardModel("tiny-llama", [
    { name: "accuracy", kind: "hard" },
    { name: "engagement", kind: "hard" },
  ]);
  try {
    await saveRewardModel(model, to);
  } finally {
    model.dispose();
  }
  return to;
};

/** Starts a server on a free port; its model `tiny` has the objectives accuracy and engagement. */
export const startServer = async (
  options: ServeOptions = {},
  { guided = false }: { guided?: boolean } = {},
): Promise<TestServer> => {
  const folder = await mkdtemp(join(tmpdir(), "mahalo-serve-"));
  const model = await layOutModel(folder);
  const guides = guided ? [await layOutRewards(folder), "asks=judge:{kind: rule, asksQuestion: true}"] : [];
  const server = await serve([{ id: "tiny", source: model }], {
    port: 0,
    log: "silent",
    compute: "float32",
    guides,
    ...options,
  });
  const stop = async (): Promise<void> => {
    await server.close();
    await rm(folder, { recursive: true });
  };
  return { ...server, folder, model, stop };
};

/** A server with OpenAI's client for it, and its model as the library has it; all is gone after `stop`. */
export const startClient = async (
  ...args: Parameters<typeof startServer>
): Promise<{ server: TestServer; client: OpenAI; model: LanguageModel; stop(): Promise<void> }> => {
  const server = await startServer(...args);
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const model = await loadModel(server.model);
  const stop = (): Promise<void> => {
    model.dispose();
    return server.stop();
  };
  return { server, client, model, stop };
};

/** A chat request's body; `more` replaces or adds fields. */
export const chatBody = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  model: "tiny",
  messages: [{ role: "user", content: "Hi there" }],
  max_tokens: 4,
  ...more,
});

/** Posts JSON, or text as it is. */
export const post = (
  { url }: Pick<ServerHandle, "url">,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? new Blob([body]) : JSON.stringify(body),
  });

/** Sends bytes as they are on a connection of their own; gives what comes back until the server closes, or `wait` ms have passed. */
export const raw = ({ url }: Pick<ServerHandle, "url">, text: string, wait = 5_000): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let got = "";
    const timer = setTimeout(() => socket.destroy(), wait);
    socket.on("data", (data) => {
      got += String(data);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(got);
    });
    socket.write(text);
  });

/** The data of server-sent events. */
export const eventsOf = (text: string): string[] =>
  text.split("\n\n").flatMap((block) => (block.startsWith("data: ") ? [block.slice(6)] : []));
