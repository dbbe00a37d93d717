/**
 * Serving bench: requests and tokens a second and the time to a first token at several numbers of clients, each with a mix of
 * its own, against llama.cpp's server and transformers' own, which get one model without mixes.
 *
 *   npx tsx bench/serve.ts --clients 1,8,32 --llama build/bench/llama.cpp/build/bin/llama-server
 *
 * All servers are there from the start and are asked in turn, round by round, so that a disturbance meets all of them; one JSON
 * line a comparison goes to stdout.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { findProcessor } from "../packages/mahalo/src/core/machine.ts";
import { type WeightsName, weightsNames } from "../packages/mahalo/src/model/transformer/precision.ts";
import { objectives } from "./decode/tasks.ts";
import { type BenchLine, benchLine, print, say } from "./lines.ts";
import { count, names } from "./options.ts";
import { figuresOf, type Load, runLoad } from "./serve/load.ts";
import { generateWordProblems } from "./serve/prompts.ts";
import {
  type BenchServer,
  type ServerName,
  type ServerSettings,
  serverNames,
  startServer,
} from "./serve/servers.ts";
import { growthOf, soak } from "./serve/soak.ts";

const usage = `Usage: npx tsx bench/serve.ts [options]
  --clients LIST        numbers of clients (default 1,8,32)
  --requests N          requests of each client in a round (default 2)
  --new-tokens N        tokens of each answer (default 64)
  --mixes N             different mixes of our clients (default 8)
  --rounds N            times that each server is asked, in turn (default 4)
  --threads N           threads of every server (default: all processors)
  --weights W           how our weights are held: ${weightsNames.join(", ")} (default int8; llama.cpp has 4 bits)
  --peers LIST          of llama.cpp, transformers, or none (default: both)
  --llama PATH          llama.cpp's server (default: llama-server)
  --soak SECONDS        instead: our server's memory while 64 clients come and leave for so long
`;

const main = async (args: string[]): Promise<void> => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: {
      ...{ clients: text, requests: text, "new-tokens": text, mixes: text, rounds: text, threads: text },
      ...{ weights: text, peers: text, llama: text, soak: text, help: { type: "boolean" } },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const peers: ServerName[] =
    values.peers === "none" ? [] : names("peers", values.peers ?? "llama.cpp,transformers", serverNames);
  const [weights = "int8"] = names<WeightsName>("weights", values.weights ?? "int8", weightsNames);
  const rounds = count("rounds", values.rounds ?? "4");
  const requests = count("requests", values.requests ?? "2");
  const newTokens = count("new-tokens", values["new-tokens"] ?? "64");
  const mixes = count("mixes", values.mixes ?? "8");
  const threads = count("threads", values.threads ?? String(availableParallelism()));
  const settings: Omit<ServerSettings, "clients"> = {
    ...{ threads, weights, llama: values.llama ?? "llama-server" },
    peerDtype: findProcessor().bf16 ? "bfloat16" : "float32",
  };
  const mixOf = (client: number) => {
    const share = mixes === 1 ? 1 : (client % mixes) / (mixes - 1);
    return { [objectives[0]]: share, [objectives[1]]: 1 - share };
  };
  if (values.soak !== undefined) {
    const seconds = count("soak", values.soak, 3);
    const prompts = generateWordProblems(64);
    const server = await startServer("ours", { ...settings, clients: 16 });
    try {
      const soaked = await soak({ server, clients: 64, seconds, newTokens, prompts, mixOf });
      process.stdout.write(
        `${JSON.stringify({ bench: "soak", seconds, ...soaked, growth: growthOf(soaked) })}\n`,
      );
    } finally {
      await server.stop();
    }
    return;
  }
  for (const clients of (values.clients ?? "1,8,32").split(",").map((given) => count("clients", given))) {
    const prompts = generateWordProblems(clients * requests);
    const ask = { clients, newTokens, prompts };
    const loads = new Map<ServerName, Load[]>();
    const servers: [ServerName, BenchServer][] = [];
    try {
      for (const name of ["ours" as const, ...peers])
        servers.push([name, await startServer(name, { ...settings, clients })]);
      const run = (name: ServerName, server: BenchServer, requests: number): Promise<Load> =>
        runLoad(server, { ...ask, requests, mixOf: name === "ours" ? mixOf : undefined });
      for (const [name, server] of servers) await run(name, server, Math.max(2, Math.ceil(8 / clients)));
      for (let round = 0; round < rounds; round++)
        for (const [name, server] of servers) {
          const load = await run(name, server, requests);
          say(`${clients} clients, ${name}: ${JSON.stringify(figuresOf(load))}`);
          loads.set(name, [...(loads.get(name) ?? []), load]);
        }
    } finally {
      for (const [, server] of servers) await server.stop();
    }
    const figures = (name: ServerName) => {
      const all = loads.get(name) ?? [];
      return figuresOf({
        seen: all.flatMap(({ seen }) => seen),
        seconds: all.reduce((sum, { seconds }) => sum + seconds, 0),
      });
    };
    const mine = figures("ours");
    const how = `${clients} clients, ${Math.min(mixes, clients)} mixes of ours, ${requests} requests of ${newTokens} tokens each, ${rounds} rounds, ${threads} threads`;
    print(
      peers.flatMap((against): BenchLine[] => {
        const theirs = figures(against);
        const setting = { data: `${clients} clients`, dtype: weights, against, how };
        return [
          benchLine("serve", setting, [mine.tokens, theirs.tokens], "tokens/s"),
          benchLine("serve", setting, [mine.requests, theirs.requests], "requests/s"),
          benchLine("serve", setting, [mine.first, theirs.first], "s to a first token"),
        ];
      }),
    );
  }
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/serve: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
