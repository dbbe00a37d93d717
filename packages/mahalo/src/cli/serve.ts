/** mahalo serve: models over HTTP, for any client of OpenAI's, each request under a mix of its own. */
import { MahaloError } from "@mahalo/torch";
import { type Command, InvalidArgumentError, Option } from "commander";
import { readText } from "../core/read-file.ts";
import {
  computeDType,
  type Precision,
  type WeightsName,
  weightsNames,
} from "../model/transformer/precision.ts";
import { guidesOfRun, modelEntry } from "../serve/model-entry.ts";
import type { ServeOptions } from "../serve/options.ts";
import type { ServerHandle } from "../serve/serve.ts";
import { type CommonOptions, collect, command, type Io, outputOf } from "./command.ts";
import { precisionOption, wholeAboveZero } from "./sampling-options.ts";

type ServeFlags = CommonOptions & {
  host: string;
  port: number;
  apiKeyFile?: string;
  allowHost: string[];
  guide: string[];
  parallel?: number;
  maxTokens?: number;
  precision: Precision;
  weights?: WeightsName;
  logLevel: "silent" | "error" | "warn" | "info" | "debug";
};

const port = (text: string): number => {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a number from 0 to 65535.");
};

/** Keys of a file, one a line; blank lines and those that begin with # are left out. */
const keysOf = async (path: string | undefined): Promise<string[]> => {
  if (path === undefined) return [];
  const lines = (await readText(path)).split(/\r?\n/).map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length > 0) return keys;
  throw new MahaloError("E_SERVE_OPTION", `${path}: holds no key`, { hint: "write one key a line" });
};

const describe = ({ url, models }: ServerHandle): string => {
  const [first] = models;
  const lines = models.map(({ id, objectives }) => `  ${id}  ${objectives.join(", ") || "no objectives"}`);
  const [objective] = first?.objectives ?? [];
  const weights = objective === undefined ? "" : `,"objective_weights":{"${objective}":1}`;
  const body = `{"model":"${first?.id}","messages":[{"role":"user","content":"What is 12 + 7?"}]${weights}}`;
  return [
    `serving at ${url}/v1`,
    ...lines,
    `  curl ${url}/v1/chat/completions -H 'Content-Type: application/json' -d '${body}'`,
    "Ctrl-C finishes what runs and stops.",
    "",
  ].join("\n");
};

/** Serves until it is told to stop. */
export const serveCommand = (io: Io): Command =>
  command({
    name: "serve",
    summary: "Serve models to any OpenAI client, each request under its own mix.",
    examples: [
      ["mahalo serve runs/quickstart", "the run's model at http://127.0.0.1:8321/v1"],
      [
        "mahalo serve tutor=runs/tutoring base=smollm2-135m-instruct --port 9000",
        "two models, by names of your own",
      ],
      [
        "mahalo serve runs/quickstart --host 0.0.0.0 --api-key-file keys.txt",
        "for other machines, which need a key",
      ],
    ],
  })
    .argument(
      "<models...>",
      "run, model folder, .gguf file, packaged name or hub id; NAME=... to call it by another name",
    )
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <n>", "port to listen on; 0 takes a free one", port, 8321)
    .option("--api-key-file <file>", "file of keys, one a line, of which a client must send one")
    .option(
      "--allow-host <name>",
      "further name that clients call this server by; may be repeated",
      collect,
      [],
    )
    .option(
      "--guide <guide>",
      "reward model or judge that may guide searches and scores answers: NAME=RM, RM or judge:KIND; may be repeated; those of a run come with it",
      collect,
      [],
    )
    .option("--parallel <n>", "answers decoded side by side, per model; default: 16", wholeAboveZero)
    .option("--max-tokens <n>", "longest answer that a request may ask for; default: 512", wholeAboveZero)
    .addOption(precisionOption())
    .addOption(
      new Option("--weights <w>", "how decoding stores weights; default: as --precision").choices([
        ...weightsNames,
      ]),
    )
    .addOption(
      new Option("--log-level <level>", "what is written to standard error, as JSON lines")
        .choices(["silent", "error", "warn", "info", "debug"])
        .default("info"),
    )
    .action(async (names: string[], flags: ServeFlags) => {
      const output = outputOf(io, flags);
      const bounds = {
        ...(flags.parallel === undefined ? {} : { parallel: flags.parallel }),
        ...(flags.maxTokens === undefined ? {} : { maxTokens: flags.maxTokens }),
      };
      const options: ServeOptions = {
        host: flags.host,
        port: flags.port,
        keys: await keysOf(flags.apiKeyFile),
        allowedHosts: flags.allowHost,
        guides: [...names.flatMap(guidesOfRun), ...flags.guide],
        compute: computeDType(flags.precision),
        ...(flags.weights === undefined ? {} : { weights: flags.weights }),
        bounds,
        log: flags.logLevel,
      };
      // What speaks HTTP is loaded here: no other command needs it.
      const { serve } = await import("../serve/serve.ts");
      const server = await serve(names.map(modelEntry), options);
      const ids = server.models.map(({ id }) => id);
      output.result({ url: server.url, models: ids }, () => describe(server));
      const stop = (): void => void server.close();
      if (io.signal.aborted) stop();
      io.signal.addEventListener("abort", stop);
      await server.stopped;
      io.signal.removeEventListener("abort", stop);
    });
