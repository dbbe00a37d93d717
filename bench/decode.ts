/**
 * Decoding bench: tokens a second of one stream, of mixes side by side and of step search, against transformers and
 * llama.cpp; what a mix costs beside one head; and the share of what memory allows.
 *
 *   npx tsx bench/decode.ts --part one-stream,mixes --prompts 4 --new-tokens 128
 *
 * Each setting runs in a process of its own, ours and a peer's alternating; one JSON line a comparison goes to stdout.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { findProcessor } from "../packages/mahalo/src/core/machine.ts";
import { checkPython, ours, peer, runForResult } from "./child.ts";
import {
  bandwidthSchema,
  compareAnswers,
  compareBandwidth,
  compareHeads,
  compareSearches,
  pairSchema,
  pool,
  type Side,
  sideSchema,
} from "./decode/results.ts";
import {
  adaptersFolder,
  headsFolder,
  mixes,
  mixFolders,
  writePrompts,
  writePromptsByMix,
} from "./decode/tasks.ts";
import { type BenchLine, print, say } from "./lines.ts";
import { count, type DType, dtypeNames, names } from "./options.ts";
import { peerModel } from "./peer-model.ts";
import { rewardModelFolder } from "./reward/tasks.ts";
import { limits } from "./rows.ts";

const partNames = ["one-stream", "fastest", "mixes", "heads", "adapters", "search", "bandwidth"] as const;

const usage = `Usage: npx tsx bench/decode.ts [options]
  --part LIST             ${partNames.join(",")} (default: all)
  --prompts N             prompts of GSM8K, each alone (default 4)
  --rows N                rows side by side of the part mixes (default 16)
  --new-tokens N          tokens that each prompt gets, at least 2 (default 128)
  --candidates N          candidates of a step of the part search (default 5)
  --steps N               steps of a search (default 6)
  --step-tokens N         maximum length of a step in tokens (default 48)
  --rounds N              times that each pair of sides runs (default 1)
  --threads N             threads of both sides (default: all processors)
  --weights f32|bf16      how our weights are held but in the part fastest (default bf16; products add up in float32 where
                          the processor has none of bf16)
  --peer-dtype f32|bf16   dtype of transformers (default: bf16 where the processor has products of it, else f32)
  --no-peers              our side alone
`;

type PartName = (typeof partNames)[number];

type Settings = Record<
  "prompts" | "rows" | "newTokens" | "candidates" | "steps" | "stepTokens" | "rounds" | "threads",
  number
> & { parts: PartName[]; weights: DType; peerDtype: DType; withPeers: boolean };

const dtypeOf = (option: string, given: string): DType => {
  const [dtype] = names(option, given, dtypeNames);
  return dtype ?? "f32";
};

/** The dtypes of both sides, as lines call them. */
const sidesIn = ({ weights, peerDtype }: Settings): string =>
  weights === peerDtype ? weights : `${weights}, peer ${peerDtype}`;

/** Reads the options; undefined when help was asked for. */
const settingsOf = (args: string[]): Settings | undefined => {
  const text = { type: "string" } as const;
  const flag = { type: "boolean" } as const;
  const options = {
    ...{ part: text, prompts: text, rows: text, "new-tokens": text, candidates: text, steps: text },
    ...{ "step-tokens": text, rounds: text, threads: text },
    ...{ weights: text, "peer-dtype": text, "no-peers": flag, help: flag },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return undefined;
  return {
    parts: names("part", values.part ?? partNames.join(","), partNames),
    prompts: count("prompts", values.prompts ?? "4"),
    rows: count("rows", values.rows ?? "16", mixes.length),
    newTokens: count("new-tokens", values["new-tokens"] ?? "128", 2),
    candidates: count("candidates", values.candidates ?? "5"),
    steps: count("steps", values.steps ?? "6"),
    stepTokens: count("step-tokens", values["step-tokens"] ?? "48", 2),
    rounds: count("rounds", values.rounds ?? "1"),
    threads: count("threads", values.threads ?? String(availableParallelism())),
    weights: dtypeOf("weights", values.weights ?? "bf16"),
    peerDtype: dtypeOf("peer-dtype", values["peer-dtype"] ?? (findProcessor().bf16 ? "bf16" : "f32")),
    withPeers: values["no-peers"] !== true,
  };
};

const timedSchema = z.looseObject({
  tokens: z.int().positive(),
  seconds: z.number().positive(),
  prompt_seconds: z.number().positive(),
  cpu_share: z.number().positive(),
});

/** What peers/generate.py says: each prompt alone, or all in one batch. */
const generatedSchema = z
  .looseObject({
    single: timedSchema.optional(),
    batched: timedSchema.optional(),
    prompts: z.int().positive(),
    prompt_tokens: z.number().positive(),
    first_ids: z.array(z.int().nonnegative()).min(1),
  })
  .transform(({ single, batched, prompts, prompt_tokens, first_ids }, context): Side => {
    const timed = single ?? batched;
    if (timed === undefined) {
      context.addIssue("neither single nor batched");
      return z.NEVER;
    }
    const { tokens, seconds, prompt_seconds, cpu_share } = timed;
    const all = Math.round(prompt_tokens * prompts);
    return { tokens, seconds, prompt_seconds, cpu_share, prompts, prompt_tokens: all, first_ids };
  });

const told = <T>(name: string, result: T): T => {
  say(`${name}: ${JSON.stringify(result)}`);
  return result;
};

/** Runs two sides alternately. */
const byTurns = async <A, B>(
  { rounds, withPeers }: Settings,
  ours: () => Promise<A>,
  other: () => Promise<B>,
): Promise<{ ours: A[]; peer: B[] }> => {
  const sides = { ours: [] as A[], peer: [] as B[] };
  for (let round = 0; round < rounds; round += 1) {
    sides.ours.push(told("ours", await ours()));
    if (withPeers) sides.peer.push(told("peer", await other()));
  }
  return sides;
};

const runOurs = <T>(
  settings: Settings,
  way: string,
  more: readonly string[],
  schema: z.ZodType<T>,
): Promise<T> => {
  const { newTokens, threads } = settings;
  const sizes = ["--new-tokens", String(newTokens), "--threads", String(threads)];
  return runForResult(ours("decode/ours.ts", ["--way", way, ...sizes, ...more]), schema);
};

const generated = (
  settings: Settings,
  rows: string,
  model: string,
  more: readonly string[],
): Promise<Side> => {
  const { newTokens, threads } = settings;
  const sizes = ["--new-tokens", String(newTokens), "--threads", String(threads)];
  const cut = ["--max-prompt-tokens", String(limits.maxPromptTokens)];
  return runForResult(
    peer("generate.py", [
      "--rows",
      rows,
      "--model",
      model,
      "--dtype",
      settings.peerDtype,
      ...sizes,
      ...cut,
      ...more,
    ]),
    generatedSchema,
  );
};

/** Each part of the bench: its lines. */
const parts: Record<PartName, (settings: Settings, how: string) => Promise<BenchLine[]>> = {
  "one-stream": async (settings, how) => {
    const rows = await writePrompts(settings.prompts);
    const model = await peerModel();
    const sides = await byTurns(
      settings,
      () => runOurs(settings, "stream", ["--rows", rows, "--weights", settings.weights], sideSchema),
      () => generated(settings, rows, model, ["--pairs", String(settings.prompts), "--batch", "1"]),
    );
    if (sides.peer.length === 0) return [];
    const setting = { data: "gsm8k, one stream", dtype: sidesIn(settings), against: "transformers", how };
    return compareAnswers(setting, sides.ours, sides.peer);
  },
  fastest: async (settings, how) => {
    const rows = await writePrompts(settings.prompts);
    const sizes = ["--new-tokens", String(settings.newTokens), "--threads", String(settings.threads)];
    const sides = await byTurns(
      settings,
      () => runOurs(settings, "stream", ["--rows", rows, "--weights", "int8"], sideSchema),
      () => runForResult(ours("decode/llama.ts", ["--rows", rows, ...sizes]), sideSchema),
    );
    if (sides.peer.length === 0) return [];
    const setting = { data: "gsm8k, one stream", dtype: "int8", against: "llama.cpp Q4_1", how };
    return compareAnswers(setting, sides.ours, sides.peer);
  },
  mixes: async (settings, how) => {
    const every = Math.floor(settings.rows / mixes.length);
    const total = every * mixes.length;
    const rows = await writePrompts(total);
    const files = await writePromptsByMix(total);
    const [model, folders] = [await headsFolder(), await mixFolders()];
    const sides = await byTurns(
      settings,
      () =>
        runOurs(
          settings,
          "mixes",
          ["--rows", rows, "--model", model, "--weights", settings.weights],
          sideSchema,
        ),
      async () => {
        const sizes = ["--pairs", String(every), "--batch", String(every), "--only-batched"];
        const runs: Side[] = [];
        for (const [index, folder] of folders.entries()) {
          runs.push(await generated(settings, files[index] ?? "", folder, sizes));
        }
        return pool(runs);
      },
    );
    if (sides.peer.length === 0) return [];
    const data = `gsm8k, ${total} rows, ${mixes.length} mixes`;
    return compareAnswers(
      { data, dtype: sidesIn(settings), against: "transformers, a batch a mix", how },
      sides.ours,
      sides.peer,
    );
  },
  heads: async (settings, how) => {
    const rows = await writePrompts(settings.prompts);
    const model = await headsFolder();
    const runs = [];
    for (let round = 0; round < settings.rounds; round += 1) {
      runs.push(
        told(
          "ours",
          await runOurs(
            settings,
            "heads",
            ["--rows", rows, "--model", model, "--weights", settings.weights],
            pairSchema,
          ),
        ),
      );
    }
    return compareHeads(
      { data: "gsm8k, a mix of 3 heads", dtype: settings.weights, against: "one head", how },
      runs,
    );
  },
  adapters: async (settings, how) => {
    const rows = await writePrompts(settings.prompts);
    // Both models are written before either is timed.
    await adaptersFolder();
    const args = ["--rows", rows, "--weights", settings.weights];
    const runs = [];
    for (let round = 0; round < settings.rounds; round += 1)
      runs.push(told("ours", await runOurs(settings, "adapters", args, pairSchema)));
    return compareHeads(
      {
        data: "gsm8k, a mix of 3 heads with adapters",
        dtype: settings.weights,
        against: "the heads alone",
        how,
      },
      runs,
    );
  },
  search: async (settings) => {
    const { prompts, candidates, steps, stepTokens, rounds, threads } = settings;
    const rows = await writePrompts(prompts);
    const [model, reward] = [await peerModel(), await rewardModelFolder()];
    const sizes = [
      ...["--candidates", String(candidates), "--steps", String(steps), "--step-tokens", String(stepTokens)],
      ...["--reward", reward, "--rows", rows],
    ];
    const sides = await byTurns(
      settings,
      () => runOurs(settings, "search", [...sizes, "--weights", settings.weights], sideSchema),
      () => {
        const args = [
          "--model",
          model,
          "--dtype",
          settings.peerDtype,
          "--pairs",
          String(prompts),
          "--threads",
          String(threads),
        ];
        return runForResult(peer("step_search.py", [...sizes, ...args]), sideSchema);
      },
    );
    if (sides.peer.length === 0) return [];
    const how = `temperature 1, ${prompts} prompts, ${candidates} candidates, ${steps} steps of a line or ${stepTokens} tokens, ${rounds} alternating rounds, ${threads} threads`;
    const setting = { data: "gsm8k, step search", dtype: sidesIn(settings), against: "transformers", how };
    return compareSearches(setting, sides.ours, sides.peer);
  },
  bandwidth: async (settings, how) => {
    const rows = await writePrompts(settings.prompts);
    const lines: BenchLine[] = [];
    for (const weights of ["bf16", "int8"] as const) {
      const runs = [];
      for (let round = 0; round < settings.rounds; round += 1) {
        const result = await runOurs(
          settings,
          "bandwidth",
          ["--rows", rows, "--weights", weights],
          bandwidthSchema,
        );
        runs.push(told("ours", result));
      }
      const setting = { data: "gsm8k, one stream", dtype: weights, against: "memory reads", how };
      lines.push(...compareBandwidth(setting, runs));
    }
    return lines;
  },
};

const main = async (args: string[]): Promise<void> => {
  const settings = settingsOf(args);
  if (settings === undefined) {
    process.stdout.write(usage);
    return;
  }
  const { parts: chosen, prompts, newTokens, rounds, threads, withPeers } = settings;
  const python = chosen.some((part) => part === "one-stream" || part === "mixes" || part === "search");
  if (withPeers && python) checkPython("psutil, torch, transformers");
  const how = `greedy, ${newTokens} new tokens each, ${rounds} alternating rounds, ${threads} threads`;
  for (const part of chosen) {
    const answered = part === "mixes" ? how : `${prompts} prompts, ${how}`;
    print(await parts[part](settings, answered));
  }
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/decode: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
