/** The servers that the serving bench asks: ours, llama.cpp's and transformers', each a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { MahaloError } from "@mahalo/torch";
import { need } from "../../packages/mahalo/src/core/need.ts";
import { packagedModel } from "../../packages/mahalo/src/model/folder/packaged.ts";
import type { WeightsName } from "../../packages/mahalo/src/model/transformer/precision.ts";
import { headsFolder } from "../decode/tasks.ts";
import { benchModel, peerModel } from "../peer-model.ts";

/** A server that answers. */
export type BenchServer = {
  url: string;
  /** What requests call its model. */
  model: string;
  pid: number;
  /** What makes an answer go on to its full length, in this server's words. */
  endless: Readonly<Record<string, unknown>>;
  stop(): Promise<void>;
};

/** Names of the servers. */
export const serverNames = ["ours", "llama.cpp", "transformers"] as const;

/** Name of a server. */
export type ServerName = (typeof serverNames)[number];

/** How servers are started. */
export type ServerSettings = {
  clients: number;
  threads: number;
  weights: WeightsName;
  /** Path of llama.cpp's server. */
  llama: string;
  /** Dtype of transformers, as it names them. */
  peerDtype: "float32" | "bfloat16";
};

const freePort = async (): Promise<number> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address !== null && typeof address === "object") return address.port;
  throw new MahaloError("E_BENCH_PORT", "no free port", { exitStatus: 1 });
};

const answers = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(1000) })).ok;
  } catch {
    return false;
  }
};

/** Starts a program and waits until `path` answers. @throws MahaloError E_BENCH_CHILD with the end of what it wrote */
const launch = async (
  name: ServerName,
  [command, ...args]: readonly [string, ...string[]],
  { port, path, env }: { port: number; path: string; env: Readonly<Record<string, string>> },
): Promise<{ url: string; pid: number; stop(): Promise<void> }> => {
  const child: ChildProcess = spawn(command, args, {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  let over = false;
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      over = true;
      resolve();
    };
    child.once("error", (error) => {
      log += error.message;
      end();
    });
    child.once("exit", end);
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (data) => {
      log = (log + String(data)).slice(-4000);
    });
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await Promise.race([ended, sleep(10_000)]);
    if (!over) child.kill("SIGKILL");
  };
  for (let second = 0; second < 180 && !over; second++) {
    if (await answers(`${url}${path}`))
      return { url, pid: need(child.pid, "a process that answers has a number"), stop };
    await sleep(1000);
  }
  await stop();
  throw new MahaloError("E_BENCH_CHILD", `${name}: its server does not answer\n${log.trim()}`, {
    exitStatus: 1,
  });
};

const starts: Readonly<Record<ServerName, (settings: ServerSettings) => Promise<BenchServer>>> = {
  ours: async ({ clients, threads, weights }) => {
    const port = await freePort();
    const command = fileURLToPath(new URL("../../scripts/mahalo.mjs", import.meta.url));
    const asked = ["serve", `bench=${await headsFolder()}`, "--port", String(port), "--log-level", "error"];
    const server = await launch(
      "ours",
      [process.execPath, command, ...asked, "--weights", weights, "--parallel", String(clients)],
      { port, path: "/ready", env: { OMP_NUM_THREADS: String(threads) } },
    );
    return { ...server, model: "bench", endless: { logit_bias: { 0: -100, 2: -100 } } };
  },
  "llama.cpp": async ({ clients, threads, llama }) => {
    const port = await freePort();
    const file = need(packagedModel(benchModel), "the packaged model's file");
    const slots = ["--parallel", String(clients), "--ctx-size", String(1024 * clients)];
    const server = await launch(
      "llama.cpp",
      [
        llama,
        "--model",
        file,
        "--port",
        String(port),
        ...slots,
        "--threads",
        String(threads),
        "--threads-http",
        "2",
      ],
      { port, path: "/health", env: {} },
    );
    return { ...server, model: "bench", endless: { ignore_eos: true } };
  },
  transformers: async ({ threads, peerDtype }) => {
    const port = await freePort();
    const model = await peerModel();
    const python = process.env.MAHALO_PYTHON || "python3";
    const asked = ["serve", model, "--port", String(port), "--device", "cpu", "--dtype", peerDtype];
    const server = await launch("transformers", [python, "-m", "transformers.cli.transformers", ...asked], {
      port,
      path: "/health",
      env: { OMP_NUM_THREADS: String(threads), HF_HUB_OFFLINE: "1" },
    });
    return { ...server, model, endless: {} };
  },
};

/** Starts a server. @throws MahaloError E_BENCH_CHILD */
export const startServer = (name: ServerName, settings: ServerSettings): Promise<BenchServer> =>
  starts[name](settings);
