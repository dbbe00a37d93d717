/**
 * Training bench: pairs/s, peak memory and share of the machine's rate of our MAH-DPO against its peers.
 *
 *   npx tsx bench/train.ts --data gsm8k,tutoring --dtype f32,bf16 --pairs 4 --steps 4
 *
 * Each setting runs in a process of its own, ours and a peer's alternating; one JSON line a comparison goes to stdout.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { openModelSource } from "../packages/mahalo/src/model/folder/source.ts";
import { checkPython, ours, peer, runForResult } from "./child.ts";
import { type BenchLine, best, print, say } from "./lines.ts";
import { count, type DType, dtypeNames, names } from "./options.ts";
import { benchFolder, benchModel, peerModel } from "./peer-model.ts";
import { buildRows, type DataName, limits, objectives, sources, writeRows } from "./rows.ts";
import { compare, efficiency, oursSchema, peerSchema, pool } from "./train/results.ts";

/** Peers, and what they are told; `+bf16-weights` holds the weights themselves in bf16 and runs under bf16 only. */
const peers = {
  trl_dpo: ["trl_dpo.py"],
  two_head_dpo: ["two_head_dpo.py"],
  "trl_dpo+bf16-weights": ["trl_dpo.py", "--bf16-weights"],
  "two_head_dpo+bf16-weights": ["two_head_dpo.py", "--bf16-weights"],
} as const;

type PeerName = keyof typeof peers;

const usage = `Usage: npx tsx bench/train.ts [options]
  --data LIST             ${Object.keys(sources).join(",")} (default: all)
  --dtype LIST            ${dtypeNames.join(",")} (default: both)
  --peers LIST            ${Object.keys(peers).join(",")}, or none (default: all)
  --pairs N               pairs of an optimizer step, even (default 4)
  --steps N               timed steps; one more warms up (default 4)
  --rounds N              times that each pair of sides runs (default 1)
  --micro-batch N         pairs of a peer's forward pass (default: --pairs)
  --max-tokens-per-microbatch N     tokens of our forward pass (default 2048)
  --threads N             threads of both sides (default: all processors)
`;

type Settings = {
  data: DataName[];
  dtypes: DType[];
  peers: PeerName[];
  pairs: number;
  steps: number;
  rounds: number;
  microBatch: number;
  maxTokensPerMicrobatch: number;
  threads: number;
};

/** Reads the options; undefined when help was asked for. */
const settingsOf = (args: string[]): Settings | undefined => {
  const text = { type: "string" } as const;
  const options = {
    data: text,
    dtype: text,
    peers: text,
    pairs: text,
    steps: text,
    rounds: text,
    "micro-batch": text,
    "max-tokens-per-microbatch": text,
    threads: text,
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return undefined;
  const allowed = { data: Object.keys(sources) as DataName[], peers: Object.keys(peers) as PeerName[] };
  const pairs = count("pairs", values.pairs ?? "4");
  if (pairs % objectives.length !== 0) {
    throw new MahaloError(
      "E_BENCH_OPTION",
      `--pairs: ${pairs} is not even; each objective has half of a step`,
    );
  }
  const microBatch = count("micro-batch", values["micro-batch"] ?? String(pairs));
  if (pairs % microBatch !== 0) {
    throw new MahaloError("E_BENCH_OPTION", `--micro-batch: ${microBatch} does not divide ${pairs} pairs`);
  }
  return {
    data: names("data", values.data ?? allowed.data.join(","), allowed.data),
    dtypes: names("dtype", values.dtype ?? dtypeNames.join(","), dtypeNames),
    peers:
      values.peers === "none" ? [] : names("peers", values.peers ?? allowed.peers.join(","), allowed.peers),
    pairs,
    steps: count("steps", values.steps ?? "4"),
    rounds: count("rounds", values.rounds ?? "1"),
    microBatch,
    maxTokensPerMicrobatch: count("max-tokens-per-microbatch", values["max-tokens-per-microbatch"] ?? "2048"),
    threads: count("threads", values.threads ?? String(availableParallelism())),
  };
};

/** Both sides of one data set in one dtype; returns the lines on speed. */
const runSetting = async (
  settings: Settings,
  { data, dtype, rows, model }: { data: DataName; dtype: DType; rows: string; model: string },
): Promise<BenchLine[]> => {
  const { pairs, steps, rounds, microBatch, maxTokensPerMicrobatch, threads } = settings;
  const shared = ["--rows", rows, "--dtype", dtype, "--batch", String(pairs), "--threads", String(threads)];
  const runOurs = async () => {
    const result = await runForResult(
      ours("train/ours.ts", [...shared, "--max-tokens-per-microbatch", String(maxTokensPerMicrobatch)]),
      oursSchema,
    );
    say(`${data} ${dtype} ours: ${JSON.stringify(result)}`);
    return result;
  };
  const runPeer = async (name: PeerName) => {
    const [file, ...more] = peers[name];
    const sizes = [
      ...["--model", model, "--pairs", String(pairs * steps), "--micro-batch", String(microBatch)],
      ...["--max-prompt-tokens", String(limits.maxPromptTokens), "--max-tokens", String(limits.maxTokens)],
    ];
    const result = await runForResult(peer(file, [...shared, ...sizes, ...more]), peerSchema);
    say(`${data} ${dtype} ${name}: ${JSON.stringify(result)}`);
    return result;
  };
  const chosen = settings.peers.filter((name) => dtype === "bf16" || !name.endsWith("+bf16-weights"));
  const how = `${pairs} pairs a step, ${rounds} x ${steps} steps after 1 of warm-up, ${threads} threads, sides alternating`;
  const all = [];
  const speed: BenchLine[] = [];
  for (const name of chosen) {
    const sides = {
      ours: [] as Awaited<ReturnType<typeof runOurs>>[],
      peer: [] as Awaited<ReturnType<typeof runPeer>>[],
    };
    for (let round = 0; round < rounds; round += 1) {
      sides.ours.push(await runOurs());
      sides.peer.push(await runPeer(name));
    }
    all.push(...sides.ours);
    const lines = compare({ data, dtype, against: name, how }, pool(sides.ours), pool(sides.peer));
    print(lines);
    speed.push(...lines.filter(({ unit }) => unit === "pairs/s"));
  }
  if (chosen.length === 0) for (let round = 0; round < rounds; round += 1) all.push(await runOurs());
  print(efficiency(data, dtype, all));
  return speed;
};

const main = async (args: string[]): Promise<void> => {
  const settings = settingsOf(args);
  if (settings === undefined) {
    process.stdout.write(usage);
    return;
  }
  if (settings.peers.length > 0) checkPython();
  const model = settings.peers.length > 0 ? await peerModel() : "";
  const source = await openModelSource(benchModel);
  for (const data of settings.data) {
    const rows = join(benchFolder, `${data}-${settings.pairs * settings.steps}.jsonl`);
    await writeRows(rows, await buildRows(data, source, settings.pairs * settings.steps));
    const speed: BenchLine[] = [];
    for (const dtype of settings.dtypes) {
      speed.push(...(await runSetting(settings, { data, dtype, rows, model })));
    }
    print(best(speed));
  }
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/train: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
