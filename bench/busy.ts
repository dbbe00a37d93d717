/**
 * Busy-machine bench: what one busy neighbour costs a training step and a decode step, and what our way of waiting costs
 * where there is none.
 *
 *   npx tsx bench/busy.ts --part decode,train --rounds 3
 *
 * Quiet and busy, with our settings and with the thread library's own, alternating; one JSON line a comparison goes to stdout.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { openModelSource } from "../packages/mahalo/src/model/folder/source.ts";
import { ours, runForResult } from "./child.ts";
import { type BenchLine, benchLine, print, say } from "./lines.ts";
import { count, names } from "./options.ts";
import { benchFolder, benchModel } from "./peer-model.ts";
import { buildRows, writeRows } from "./rows.ts";

const partNames = ["decode", "train"] as const;

type Part = (typeof partNames)[number];

const usage = `Usage: npx tsx bench/busy.ts [options]
  --part LIST             ${partNames.join(",")} (default: both)
  --neighbours N          busy processes beside ours (default 1)
  --rounds N              times that each setting runs (default 3)
  --threads N             our threads (default: all processors)
`;

const resultSchema = z.strictObject({ seconds: z.number().positive() });

/** How threads wait: as we set them, or as the thread library does where nothing is said (spinning for long). */
const waits = { ours: {}, library: { GOMP_SPINCOUNT: "300000" } } as const;

type Wait = keyof typeof waits;

/** Runs the body beside busy processes. */
const beside = async <T>(neighbours: number, body: () => Promise<T>): Promise<T> => {
  const busy = Array.from(
    { length: neighbours },
    (): ChildProcess => spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
  );
  try {
    return await body();
  } finally {
    for (const child of busy) child.kill("SIGKILL");
  }
};

const median = (values: readonly number[]): number => {
  const value = values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  if (value === undefined) throw new MahaloError("E_INTERNAL", "no rounds were measured", { exitStatus: 1 });
  return value;
};

const measure = async (
  part: Part,
  {
    rows,
    threads,
    neighbours,
    rounds,
  }: { rows: string; threads: number; neighbours: number; rounds: number },
): Promise<BenchLine[]> => {
  const seconds: Record<Wait, { quiet: number[]; busy: number[] }> = {
    ours: { quiet: [], busy: [] },
    library: { quiet: [], busy: [] },
  };
  const args = ["--part", part, "--rows", rows, "--threads", String(threads)];
  for (let round = 0; round < rounds; round += 1) {
    for (const wait of ["ours", "library"] as const) {
      const run = async (): Promise<number> =>
        (await runForResult({ ...ours("busy/ours.ts", args), env: waits[wait] }, resultSchema)).seconds;
      seconds[wait].quiet.push(await run());
      seconds[wait].busy.push(await beside(neighbours, run));
    }
  }
  say(`${part}: ${JSON.stringify(seconds)}`);
  const of = (wait: Wait, how: "quiet" | "busy"): number => median(seconds[wait][how]);
  const how = `median of ${rounds} alternating rounds, ${threads} threads, ${neighbours} busy neighbour${neighbours === 1 ? "" : "s"}`;
  const line = (against: string, pair: readonly [number, number]): BenchLine =>
    benchLine("busy", { data: `${part} step`, dtype: "default", against, how }, pair, "seconds a step");
  return [
    line("busy, of its quiet time", [of("ours", "busy"), of("ours", "quiet")]),
    line("quiet, of the thread library's own waiting", [of("ours", "quiet"), of("library", "quiet")]),
    line("the thread library's own waiting, busy, of its quiet time", [
      of("library", "busy"),
      of("library", "quiet"),
    ]),
  ];
};

const main = async (args: string[]): Promise<void> => {
  const text = { type: "string" } as const;
  const options = {
    part: text,
    neighbours: text,
    rounds: text,
    threads: text,
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const rows = join(benchFolder, "busy.jsonl");
  await writeRows(rows, await buildRows("gsm8k", await openModelSource(benchModel), 8));
  for (const part of names("part", values.part ?? partNames.join(","), partNames)) {
    print(
      await measure(part, {
        rows,
        threads: count("threads", values.threads ?? String(availableParallelism())),
        neighbours: count("neighbours", values.neighbours ?? "1"),
        rounds: count("rounds", values.rounds ?? "3"),
      }),
    );
  }
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/busy: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
