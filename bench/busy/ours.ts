/** One setting of the busy-machine bench: seconds of a decode step or of a training step; prints one line of JSON. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setThreads } from "@mahalo/torch";
import { silenceProgress } from "../../packages/mahalo/src/core/progress.ts";
import { loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import { computeDType } from "../../packages/mahalo/src/model/transformer/precision.ts";
import type { TrainOptions } from "../../packages/mahalo/src/train/options.ts";
import { preferenceTask } from "../../packages/mahalo/src/train/preference.ts";
import { computeReference } from "../../packages/mahalo/src/train/reference.ts";
import { setTrainable, train } from "../../packages/mahalo/src/train/trainer.ts";
import { answer, endless } from "../endless.ts";
import { count, names } from "../options.ts";
import { benchModel } from "../peer-model.ts";
import { type BenchRow, objectives, pairsOf, readRows } from "../rows.ts";

/** Tokens of a decode step's answers: half a second or more, so that a neighbour's turns even out. */
const NEW_TOKENS = 64;

const decode = async (rows: readonly BenchRow[]): Promise<number> => {
  const model = endless(await loadModel(benchModel, { weights: "bf16" }));
  const prompts = rows.slice(0, 4).map(({ prompt_ids }) => ({ ids: prompt_ids }));
  await answer(model, prompts, 8);
  const [first, all] = [await answer(model, prompts, 1), await answer(model, prompts, NEW_TOKENS)];
  return (all.seconds - first.seconds) / (NEW_TOKENS - 1);
};

const trainStep = async (rows: readonly BenchRow[]): Promise<number> => {
  const compute = computeDType("auto");
  const model = await loadModel(benchModel, { compute, training: true });
  const pairs = pairsOf(rows);
  const reference = computeReference(model, pairs, { maxTokensPerMicrobatch: 1024 });
  model.heads.addNoisyCopies(objectives, { seed: 0, compute });
  const options: TrainOptions = {
    ...{ learningRate: 1e-6, optimizer: "rmsprop", weightDecay: 0, schedule: "constant", warmup: 0 },
    ...{
      maxTokensPerMicrobatch: 1024,
      maxGradNorm: 10,
      train: "full",
      checkpointing: false,
      evaluateEvery: 0,
    },
    saveEvery: Number.MAX_SAFE_INTEGER,
  };
  const trained = setTrainable(model, "full", model.heads.parameters(), 0);
  const stepsOf = (steps: number) =>
    preferenceTask({
      ...{ pairs, reference, heldOut: [], heldOutReference: undefined, steps },
      batch: (step) => (step % 2 === 0 ? [0, 1, 2, 3] : [4, 5, 6, 7]),
    });
  const run = async (steps: number): Promise<number> => {
    const folder = mkdtempSync(join(tmpdir(), "mahalo-bench-"));
    try {
      const began = performance.now();
      await train(model, stepsOf(steps), options, trained, { folder, seed: 0 });
      return (performance.now() - began) / 1000;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
  await run(1);
  const [two, six] = [await run(2), await run(6)];
  return (six - two) / 4;
};

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { part: text, rows: text, threads: text } });
const [part] = names("part", values.part ?? "decode", ["decode", "train"]);
silenceProgress(true);
setThreads(count("threads", values.threads ?? "1"));
const rows = readRows(values.rows ?? "");
const seconds = part === "train" ? await trainStep(rows) : await decode(rows);
process.stdout.write(`${JSON.stringify({ seconds })}\n`);
