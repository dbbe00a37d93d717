/**
 * Reward bench: scoring the steps of responses, and rollouts from their step boundaries, against transformers.
 *
 *   npx tsx bench/reward.ts --part score,rollouts --dtype f32,bf16
 *
 * Each setting runs in a process of its own, ours and a peer's alternating; one JSON line a comparison goes to stdout.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import type { z } from "zod";
import { checkPython, ours, type Program, peer, runForResult } from "./child.ts";
import { type BenchLine, best, print, say } from "./lines.ts";
import { count, type DType, dtypeNames, names } from "./options.ts";
import { peerModel } from "./peer-model.ts";
import { compareRolled, compareScored, rolledSchema, scoredSchema } from "./reward/results.ts";
import { rewardModelFolder, writeResponses } from "./reward/tasks.ts";

const parts = ["score", "rollouts"] as const;
type Part = (typeof parts)[number];

/** Peers of each part, and what they are told. */
const peers = {
  score: {
    prefixes: ["--how", "prefixes"],
    "prefixes+padded": ["--how", "padded"],
    "one-pass": ["--how", "one-pass"],
  },
  rollouts: { generate: ["--how", "prefix"], "generate+batched": ["--how", "batched"] },
} as const;

const usage = `Usage: npx tsx bench/reward.ts [options]
  --part LIST             ${parts.join(",")} (default: both)
  --dtype LIST            ${dtypeNames.join(",")} (default: both)
  --peers LIST            ${[...Object.keys(peers.score), ...Object.keys(peers.rollouts)].join(",")}, or none (default: all)
  --responses N           solutions of GSM8K whose steps are scored (default 64)
  --rollout-responses N   solutions that are gone on from at every line (default 4)
  --samples N             answers from each prefix (default 8)
  --new-tokens N          tokens of each answer, at least 2 (default 64)
  --batch N               answers side by side, ours and generate+batched (default 32); prefixes+padded: of 8
  --rounds N              times that each pair of sides runs (default 1)
  --threads N             threads of both sides (default: all processors)
`;

type Settings = {
  parts: Part[];
  dtypes: DType[];
  peers: string[];
  responses: number;
  rolled: number;
  samples: number;
  newTokens: number;
  batch: number;
  rounds: number;
  threads: number;
};

/** Reads the options; undefined when help was asked for. */
const settingsOf = (args: string[]): Settings | undefined => {
  const text = { type: "string" } as const;
  const options = {
    ...{ part: text, dtype: text, peers: text, responses: text, "rollout-responses": text },
    ...{ samples: text, "new-tokens": text, batch: text, rounds: text, threads: text },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return undefined;
  const peerNames = [...Object.keys(peers.score), ...Object.keys(peers.rollouts)];
  return {
    parts: names("part", values.part ?? parts.join(","), parts),
    dtypes: names("dtype", values.dtype ?? dtypeNames.join(","), dtypeNames),
    peers: values.peers === "none" ? [] : names("peers", values.peers ?? peerNames.join(","), peerNames),
    responses: count("responses", values.responses ?? "64"),
    rolled: count("rollout-responses", values["rollout-responses"] ?? "4"),
    samples: count("samples", values.samples ?? "8"),
    newTokens: count("new-tokens", values["new-tokens"] ?? "64", 2),
    batch: count("batch", values.batch ?? "32"),
    rounds: count("rounds", values.rounds ?? "1"),
    threads: count("threads", values.threads ?? String(availableParallelism())),
  };
};

/** One part in one dtype: how both sides are started and compared. */
type Setup<T> = {
  dtype: DType;
  data: string;
  how: string;
  schema: z.ZodType<T>;
  ours: Program;
  peers: Readonly<Record<string, Program>>;
  compare: (
    setting: { data: string; dtype: string; against: string; how: string },
    ourRuns: T[],
    peer: T[],
  ) => BenchLine[];
};

/** Runs a part; returns its lines. */
const runSetup = async <T>(
  { dtype, data, how, schema, ours: ourProgram, peers: others, compare }: Setup<T>,
  rounds: number,
) => {
  const told = async (name: string, program: Program): Promise<T> => {
    const result = await runForResult(program, schema);
    // Scores are many, and compared anyway.
    say(
      `${dtype} ${name}: ${JSON.stringify(result, (key, value: unknown) => (key === "scores" ? undefined : value))}`,
    );
    return result;
  };
  const lines: BenchLine[] = [];
  for (const [name, program] of Object.entries(others)) {
    const sides = { ours: [] as T[], peer: [] as T[] };
    for (let round = 0; round < rounds; round += 1) {
      sides.ours.push(await told("ours", ourProgram));
      sides.peer.push(await told(name, program));
    }
    const mine = compare({ data, dtype, against: name, how }, sides.ours, sides.peer);
    print(mine);
    lines.push(...mine);
  }
  if (Object.keys(others).length === 0)
    for (let round = 0; round < rounds; round += 1) await told("ours", ourProgram);
  return lines;
};

/** Programs of the chosen peers of a part. */
const programs = (
  part: Part,
  chosen: readonly string[],
  shared: readonly string[],
): Record<string, Program> =>
  Object.fromEntries(
    Object.entries<readonly string[]>(peers[part])
      .filter(([name]) => chosen.includes(name))
      .map(([name, told]) => [
        name,
        peer(part === "score" ? "score_steps.py" : "rollouts.py", [...shared, ...told]),
      ]),
  );

const runPart = async (settings: Settings, part: Part, dtype: DType): Promise<BenchLine[]> => {
  const { threads, rounds, samples, newTokens, batch } = settings;
  const common = ["--dtype", dtype, "--threads", String(threads)];
  if (part === "score") {
    const rows = await writeResponses(settings.responses);
    const told = [...common, "--rows", rows, "--model", await rewardModelFolder()];
    return runSetup(
      {
        dtype,
        data: `gsm8k, steps of ${settings.responses} solutions`,
        how: `lines as steps, ${rounds} alternating rounds, ${threads} threads`,
        schema: scoredSchema,
        ours: ours("reward/ours.ts", ["--part", "score", ...told]),
        peers: programs("score", settings.peers, told),
        compare: compareScored,
      },
      rounds,
    );
  }
  const rows = await writeResponses(settings.rolled);
  const sizes = ["--samples", String(samples), "--new-tokens", String(newTokens), "--batch", String(batch)];
  const told = [...common, "--rows", rows, ...sizes];
  const model = settings.peers.length > 0 ? await peerModel() : "";
  return runSetup(
    {
      dtype,
      data: `gsm8k, rollouts from the lines of ${settings.rolled} solutions`,
      how: `${samples} samples a prefix, ${newTokens} new tokens each, ${batch} side by side, ${rounds} alternating rounds, ${threads} threads`,
      schema: rolledSchema,
      ours: ours("reward/ours.ts", ["--part", "rollouts", ...told]),
      peers: programs("rollouts", settings.peers, [...told, "--model", model]),
      compare: compareRolled,
    },
    rounds,
  );
};

const main = async (args: string[]): Promise<void> => {
  const settings = settingsOf(args);
  if (settings === undefined) {
    process.stdout.write(usage);
    return;
  }
  if (settings.peers.length > 0) checkPython();
  for (const part of settings.parts) {
    const lines: BenchLine[] = [];
    for (const dtype of settings.dtypes) lines.push(...(await runPart(settings, part, dtype)));
    print(best(lines.filter(({ unit }) => unit !== "bytes")));
  }
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/reward: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
