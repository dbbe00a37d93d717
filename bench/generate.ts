/**
 * Generation bench: tokens/s of our greedy generation against transformers', one stream and a batch.
 *
 *   npx tsx bench/generate.ts --dtype f32,bf16 --prompts 4 --batch 4 --new-tokens 128
 *
 * Each setting runs in a process of its own, ours and a peer's alternating; one JSON line a comparison goes to stdout.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { openModelSource } from "../packages/mahalo/src/model/folder/source.ts";
import { checkPython, ours, peer, runForResult } from "./child.ts";
import { compare, type Side, sideSchema } from "./generate/results.ts";
import { type BenchLine, best, print, say } from "./lines.ts";
import { count, type DType, dtypeNames, names } from "./options.ts";
import { benchFolder, benchModel, peerModel } from "./peer-model.ts";
import { buildRows, limits, writeRows } from "./rows.ts";

/** Peers, and what they are told. */
const peers = {
  transformers: ["--cache", "dynamic"],
  "transformers+static-cache": ["--cache", "static"],
} as const;

type PeerName = keyof typeof peers;

const usage = `Usage: npx tsx bench/generate.ts [options]
  --dtype LIST            ${dtypeNames.join(",")} (default: both)
  --peers LIST            ${Object.keys(peers).join(",")}, or none (default: all)
  --prompts N             prompts of GSM8K (default 4)
  --batch N               prompts side by side, after each alone; 1 leaves that out (default 4)
  --new-tokens N          tokens that each prompt gets, at least 2 (default 128)
  --rounds N              times that each pair of sides runs (default 1)
  --threads N             threads of both sides (default: all processors)
`;

type Settings = {
  dtypes: DType[];
  peers: PeerName[];
  prompts: number;
  batch: number;
  newTokens: number;
  rounds: number;
  threads: number;
};

/** Reads the options; undefined when help was asked for. */
const settingsOf = (args: string[]): Settings | undefined => {
  const text = { type: "string" } as const;
  const options = {
    dtype: text,
    peers: text,
    prompts: text,
    batch: text,
    "new-tokens": text,
    rounds: text,
    threads: text,
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return undefined;
  const peerNames = Object.keys(peers) as PeerName[];
  return {
    dtypes: names("dtype", values.dtype ?? dtypeNames.join(","), dtypeNames),
    peers: values.peers === "none" ? [] : names("peers", values.peers ?? peerNames.join(","), peerNames),
    prompts: count("prompts", values.prompts ?? "4"),
    batch: count("batch", values.batch ?? "4"),
    newTokens: count("new-tokens", values["new-tokens"] ?? "128", 2),
    rounds: count("rounds", values.rounds ?? "1"),
    threads: count("threads", values.threads ?? String(availableParallelism())),
  };
};

/** Both sides in one dtype; returns the lines. */
const runSetting = async (
  { peers: chosen, prompts, batch, newTokens, rounds, threads }: Settings,
  { dtype, rows, model }: { dtype: DType; rows: string; model: string },
): Promise<BenchLine[]> => {
  const shared = [
    ...["--rows", rows, "--dtype", dtype, "--batch", String(batch)],
    ...["--new-tokens", String(newTokens), "--threads", String(threads)],
  ];
  const told = (name: string, result: Side): Side => {
    say(`${dtype} ${name}: ${JSON.stringify(result)}`);
    return result;
  };
  const runOurs = async (): Promise<Side> =>
    told("ours", await runForResult(ours("generate/ours.ts", shared), sideSchema));
  const runPeer = async (name: PeerName): Promise<Side> => {
    const sizes = ["--max-prompt-tokens", String(limits.maxPromptTokens), "--pairs", String(prompts)];
    const program = peer("generate.py", [...shared, ...sizes, "--model", model, ...peers[name]]);
    return told(name, await runForResult(program, sideSchema));
  };
  const how = `greedy, ${prompts} prompts, ${newTokens} new tokens each, ${rounds} alternating rounds, ${threads} threads`;
  const lines: BenchLine[] = [];
  for (const name of chosen) {
    const sides = { ours: [] as Side[], peer: [] as Side[] };
    for (let round = 0; round < rounds; round += 1) {
      sides.ours.push(await runOurs());
      sides.peer.push(await runPeer(name));
    }
    const compared = compare({ data: "gsm8k", dtype, against: name, how }, sides.ours, sides.peer);
    print(compared);
    lines.push(...compared);
  }
  if (chosen.length === 0) for (let round = 0; round < rounds; round += 1) await runOurs();
  return lines;
};

/** The best of each data set in each unit of speed. */
const bestOfEach = (lines: readonly BenchLine[]): BenchLine[] =>
  ["tokens/s", "decoded tokens/s"].flatMap((unit) => {
    const ofUnit = lines.filter((line) => line.unit === unit);
    const sets = [...new Set(ofUnit.map(({ data }) => data))];
    return sets.flatMap((data) => best(ofUnit.filter((line) => line.data === data)));
  });

const main = async (args: string[]): Promise<void> => {
  const settings = settingsOf(args);
  if (settings === undefined) {
    process.stdout.write(usage);
    return;
  }
  if (settings.peers.length > 0) checkPython();
  const model = settings.peers.length > 0 ? await peerModel() : "";
  const rows = join(benchFolder, `gsm8k-${settings.prompts}.jsonl`);
  await writeRows(rows, await buildRows("gsm8k", await openModelSource(benchModel), settings.prompts));
  const lines: BenchLine[] = [];
  for (const dtype of settings.dtypes) lines.push(...(await runSetting(settings, { dtype, rows, model })));
  print(bestOfEach(lines));
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/generate: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
