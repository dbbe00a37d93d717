/**
 * Where the time of one decoded token goes: each part of a step timed from JavaScript, and the rate at which it reads weights.
 *
 *   npx tsx bench/decode-profile.ts --weights bf16,int8
 *
 * Native calls return when they are done, so the clock around a call measures it. One JSON line a part.
 */
import { parseArgs } from "node:util";
import { describeError, MahaloError, ops, scope, setThreads } from "@mahalo/torch";
import { type LanguageModel, loadModel } from "../packages/mahalo/src/model/folder/load.ts";
import type { Kernels, RowwiseKernels } from "../packages/mahalo/src/model/transformer/kernels.ts";
import {
  computeUnder,
  type WeightsName,
  weightsNames,
} from "../packages/mahalo/src/model/transformer/precision.ts";
import { writePrompts } from "./decode/tasks.ts";
import { answer, endless } from "./endless.ts";
import { say } from "./lines.ts";
import { count, names } from "./options.ts";
import { benchModel } from "./peer-model.ts";
import { readRows } from "./rows.ts";
import { cpuSeconds } from "./usage.ts";

const usage = `Usage: npx tsx bench/decode-profile.ts [options]
  --weights LIST   of ${weightsNames.join(", ")} (default bf16,int8)
  --prompts N      prompts of GSM8K, each alone (default 4)
  --new-tokens N   tokens of each answer (default 128)
  --threads N      (default 2)
`;

const parts = ["front", "attention", "back", "norm", "head", "rest"] as const;
type Part = (typeof parts)[number];

/** Times parts of a step; what lies between a layer's front and its back is its attention. */
class Clock {
  readonly seconds: Record<Part, number> = { front: 0, attention: 0, back: 0, norm: 0, head: 0, rest: 0 };
  #frontEnded = 0;

  #time<T>(part: Part, run: () => T): T {
    const began = performance.now();
    const result = run();
    const ended = performance.now();
    this.seconds[part] += (ended - began) / 1000;
    if (part === "front") this.#frontEnded = ended;
    return result;
  }

  /** The same kernels, timed. */
  around(kernels: Kernels, rowwise: RowwiseKernels): Kernels {
    return {
      ...kernels,
      // A prompt's pass has norms, too; a step of one stream has one row.
      rmsNorm: (x, ...given) =>
        x.size(0) === 1
          ? this.#time("norm", () => kernels.rmsNorm(x, ...given))
          : kernels.rmsNorm(x, ...given),
      rowwise: {
        front: (...given) => this.#time("front", () => rowwise.front(...given)),
        back: (...given) => {
          this.seconds.attention += (performance.now() - this.#frontEnded) / 1000;
          return this.#time("back", () => rowwise.back(...given));
        },
        linear: (...given) => this.#time("head", () => rowwise.linear(...given)),
      },
    };
  }
}

/** Bytes of the weights that each part reads for a token. */
const bytesOf = ({ backbone, heads }: LanguageModel, weights: WeightsName): Partial<Record<Part, number>> => {
  const width = { f32: 4, bf16: 2, int8: 1 }[weights];
  const { layers } = backbone.weights;
  const sum = (values: readonly number[]): number =>
    values.reduce((total, value) => total + value, 0) * width;
  return {
    front: sum(layers.map(({ qkv }) => qkv.weight.value.numel)),
    back: sum(
      layers.flatMap(({ attentionOut, gateUp, down }) =>
        [attentionOut, gateUp, down].map(({ weight }) => weight.value.numel),
      ),
    ),
    head: heads.base.value.numel * width,
  };
};

/** Bytes a second that sums over 256 MiB read: the most that memory gives. */
const memoryRate = (): number =>
  scope(() => {
    const memory = ops.ones([2 ** 26]);
    let best = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 20; round++) {
      const began = performance.now();
      scope(() => memory.sum().item());
      best = Math.min(best, performance.now() - began);
    }
    return 2 ** 28 / (best / 1000);
  });

const round = (value: number): number => Number(value.toPrecision(4));

const profile = async (
  weights: WeightsName,
  { prompts, newTokens, threads }: { prompts: number; newTokens: number; threads: number },
): Promise<void> => {
  const model = endless(await loadModel(benchModel, { compute: computeUnder(weights, "bfloat16"), weights }));
  const rows = readRows(await writePrompts(prompts)).map(({ prompt_ids: ids }) => ({ ids }));
  const { kernels } = model.backbone;
  const { rowwise } = kernels;
  if (rowwise === undefined)
    throw new MahaloError("E_BENCH_OPTION", "this device has no kernels for few rows");
  for (const row of rows) await answer(model, [row], 8);
  // One token each: prompt and first token, which are taken off below.
  let first = 0;
  for (const row of rows) first += (await answer(model, [row], 1)).seconds;
  const clock = new Clock();
  const clocked = clock.around(kernels, rowwise);
  let [seconds, cpu] = [0, cpuSeconds()];
  for (const row of rows) {
    model.backbone.kernels = clocked;
    seconds += (await answer(model, [row], newTokens)).seconds;
    model.backbone.kernels = kernels;
  }
  cpu = cpuSeconds() - cpu;
  const tokens = prompts * (newTokens - 1);
  const whole = seconds - first;
  const measured = parts.reduce((total, part) => total + clock.seconds[part], 0);
  clock.seconds.rest = whole - measured;
  const bytes = bytesOf(model, weights);
  const memory = memoryRate();
  const how = `${prompts} prompts of GSM8K alone, ${newTokens} tokens each, ${threads} threads, cpu_share ${(cpu / (threads * seconds)).toFixed(2)}`;
  const line = (part: string, spent: number, read: number | undefined): void => {
    const rate = read === undefined ? {} : { gigabytes_per_second: round(read / (spent / tokens) / 1e9) };
    process.stdout.write(
      `${JSON.stringify({ bench: "decode-profile", dtype: weights, part, ms_per_token: round((1000 * spent) / tokens), share: round(spent / whole), ...rate, how })}\n`,
    );
  };
  for (const part of parts) line(part, clock.seconds[part], bytes[part]);
  const all = Object.values(bytes).reduce((total, value) => total + value, 0);
  line("whole", whole, all);
  line("at memory's rate", (all / memory) * tokens, all);
};

const main = async (args: string[]): Promise<void> => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: { weights: text, prompts: text, "new-tokens": text, threads: text, help: { type: "boolean" } },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const threads = count("threads", values.threads ?? "2");
  setThreads(threads);
  for (const weights of names("weights", values.weights ?? "bf16,int8", weightsNames))
    await profile(weights, {
      prompts: count("prompts", values.prompts ?? "4"),
      newTokens: count("new-tokens", values["new-tokens"] ?? "128", 2),
      threads,
    });
};

try {
  await main(process.argv.slice(2));
} catch (error) {
  say(`bench/decode-profile: ${describeError(error)}`);
  process.exitCode = error instanceof MahaloError ? error.exitStatus : 1;
}
