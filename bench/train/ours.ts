/** One setting of our MAH-DPO with two heads, through the trainer itself; prints one line of JSON. Started by ../train.ts. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setThreads } from "@mahalo/torch";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { silenceProgress } from "../../packages/mahalo/src/core/progress.ts";
import { loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import type { TrainOptions } from "../../packages/mahalo/src/train/options.ts";
import { preferenceTask } from "../../packages/mahalo/src/train/preference.ts";
import { computeReference } from "../../packages/mahalo/src/train/reference.ts";
import { setTrainable, train } from "../../packages/mahalo/src/train/trainer.ts";
import { measureRates, modelProducts, trainingFlops } from "../gemm.ts";
import { dtypeNames, dtypes, names } from "../options.ts";
import { benchModel } from "../peer-model.ts";
import { objectives, pairsOf, readRows, sequenceTokens } from "../rows.ts";
import { cpuSeconds, peakMemory, resetPeakMemory } from "../usage.ts";
import type { OursResult } from "./results.ts";

const lossSchema = z.looseObject({ loss: z.number() });
const timingSchema = z.looseObject({ seconds: z.number().positive() });

/** A checked number of every step after the one that warms up, out of a file of the trainer. */
const perStep = <T>(path: string, schema: z.ZodType<T>, of: (line: T) => number): number[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line, index) => of(parseJson(line, schema, `${path}:${index + 1}`)))
    .slice(1);

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const main = async (): Promise<OursResult> => {
  const { values } = parseArgs({
    options: {
      rows: { type: "string" },
      dtype: { type: "string" },
      batch: { type: "string" },
      threads: { type: "string" },
      "max-tokens-per-microbatch": { type: "string" },
    },
  });
  const [dtype = "f32"] = names("dtype", values.dtype ?? "f32", dtypeNames);
  const compute = dtypes[dtype];
  const [batch, threads] = [Number(values.batch), Number(values.threads)];
  const maxTokensPerMicrobatch = Number(values["max-tokens-per-microbatch"]);
  silenceProgress(true);
  setThreads(threads);
  const rows = readRows(values.rows ?? "");
  const pairs = pairsOf(rows);
  // The longest rows warm up, as at the peers, but half of each objective; nothing has to grow after that.
  const longest = objectives.flatMap((name) =>
    [...rows.entries()]
      .filter(([, row]) => row.objective === name)
      .sort(([, a], [, b]) => sequenceTokens(b) - sequenceTokens(a))
      .slice(0, batch / objectives.length)
      .map(([index]) => index),
  );
  const order = [...longest, ...rows.keys()];
  const steps = order.length / batch;

  const model = await loadModel(benchModel, { compute, training: true });
  const loaded = resetPeakMemory();
  const referenceBegan = performance.now();
  const reference = computeReference(model, pairs, { maxTokensPerMicrobatch });
  const referenceSeconds = (performance.now() - referenceBegan) / 1000;
  model.heads.addNoisyCopies(objectives, { seed: 0, compute });
  const options: TrainOptions = {
    learningRate: 1e-6,
    optimizer: "rmsprop",
    weightDecay: 0,
    schedule: "constant",
    warmup: 0,
    maxTokensPerMicrobatch,
    maxGradNorm: 10,
    train: "full",
    checkpointing: false,
    evaluateEvery: 0,
    saveEvery: Number.MAX_SAFE_INTEGER,
  };
  const trained = setTrainable(model, "full", model.heads.parameters(), 0);
  const task = preferenceTask({
    pairs,
    reference,
    heldOut: [],
    heldOutReference: undefined,
    steps,
    batch: (step) => order.slice(step * batch, (step + 1) * batch),
  });
  const folder = mkdtempSync(join(tmpdir(), "mahalo-bench-"));
  try {
    const [began, cpuBegan] = [performance.now(), cpuSeconds()];
    await train(model, task, options, trained, { folder, seed: 0 });
    const share = (cpuSeconds() - cpuBegan) / (threads * ((performance.now() - began) / 1000));
    const peak = peakMemory();
    const losses = perStep(join(folder, "metrics.jsonl"), lossSchema, ({ loss }) => loss);
    const seconds = sum(perStep(join(folder, "timings.jsonl"), timingSchema, (line) => line.seconds));
    const tokens = sum(
      rows.map((row) => row.prompt_ids.length + row.chosen_ids.length + row.rejected_ids.length),
    );
    const responses = sum(rows.map((row) => row.chosen_ids.length + row.rejected_ids.length));
    const { config } = model;
    const pass = Math.min(tokens, maxTokensPerMicrobatch);
    const inPass = { tokens: pass, responses: Math.max(1, Math.round((pass * responses) / tokens)) };
    const rates = measureRates(modelProducts(config, inPass), compute);
    return {
      pairs_per_second: rows.length / seconds,
      seconds,
      pairs: rows.length,
      tokens_per_pair: sum(rows.map(sequenceTokens)) / rows.length,
      packed_tokens_per_pair: tokens / rows.length,
      response_tokens_per_pair: responses / rows.length,
      reference_seconds: referenceSeconds,
      peak_memory_bytes: peak,
      loaded_memory_bytes: loaded,
      cpu_share: share,
      loss: sum(losses) / losses.length,
      flops_per_pair: trainingFlops(modelProducts(config, { tokens, responses })) / rows.length,
      gemm_cube: rates.cube * 1e9,
      gemm_model: rates.model * 1e9,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

process.stdout.write(`${JSON.stringify(await main())}\n`);
