/** Checkpoints of a training run: weights, moments and step in one folder that is whole or not there. */
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  MahaloError,
  noGrad,
  type Optimizer,
  openSafetensors,
  ops,
  scope,
  sweepTemporaries,
  type TensorStore,
  temporaryFolder,
  writeSafetensors,
} from "@mahalo/torch";
import { z } from "zod";
import { ensureDir, fileError, writeJsonFile } from "../core/files.ts";
import { readJsonFile } from "../core/json.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import type { TaskState } from "./task.ts";

const stateSchema = z.strictObject({
  format: z.literal(1),
  /** Steps done. */
  step: z.int().nonnegative(),
  /** Steps of the whole run, since the schedule depends on it. */
  steps: z.int().positive(),
  /** What the task has learnt so far, where it has a state. */
  task: z.unknown().optional(),
});

const NAME = /^checkpoint-(\d+)$/;

/** Newest whole checkpoint of a folder, if any. */
export const latestCheckpoint = (folder: string): { path: string; step: number } | undefined =>
  (existsSync(folder) ? readdirSync(folder) : [])
    .flatMap((name) => {
      const step = NAME.exec(name)?.[1];
      return step === undefined ? [] : [{ path: join(folder, name), step: Number(step) }];
    })
    .sort((a, b) => b.step - a.step)[0];

/** Removes checkpoints, and what an interrupted write left. */
export const clearCheckpoints = (folder: string, except?: string): void => {
  sweepTemporaries(folder);
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    // Earlier versions wrote under names that begin with `checkpoint.`.
    if ((NAME.test(name) || name.startsWith("checkpoint.")) && join(folder, name) !== except) {
      rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
};

/**
 * Writes `checkpoint-STEP` and then removes the one before: at any moment one whole checkpoint is there.
 *
 * Data order and schedule are functions of seed and step, so these need no state of their own.
 */
export const saveCheckpoint = async (
  folder: string,
  { step, steps, parameters, optimizer, task }: CheckpointedRun & { step: number },
): Promise<void> => {
  const path = join(folder, `checkpoint-${step}`);
  try {
    await ensureDir(folder);
    sweepTemporaries(folder);
    const temporary = temporaryFolder(folder);
    try {
      writeSafetensors(
        join(temporary.path, "weights.safetensors"),
        new Map(parameters.map((parameter) => [parameter.name, parameter.float()])),
      );
      scope(() => writeSafetensors(join(temporary.path, "optimizer.safetensors"), optimizer.state()));
      await writeJsonFile(join(temporary.path, "state.json"), {
        format: 1,
        step,
        steps,
        ...(task === undefined ? {} : { task: task.save() }),
      });
      rmSync(path, { recursive: true, force: true });
      renameSync(temporary.path, path);
      temporary.release();
    } catch (error) {
      temporary.remove();
      throw error;
    }
    clearCheckpoints(folder, path);
  } catch (error) {
    throw fileError("E_FILE_WRITE", "write the checkpoint", path, error);
  }
};

const removal = "remove the checkpoint: the same command then starts this training at its first step";

/** Refuses weights that are not exactly those of the parameters; copying would spread a smaller shape over a larger one. */
const checkWeights = (path: string, weights: TensorStore, parameters: readonly Parameter[]): void => {
  const refuse = (what: string): never => {
    throw new MahaloError("E_CHECKPOINT", `${path}: ${what}`, {
      hint: `${removal}; or continue with the options it was made with`,
    });
  };
  for (const { name, value } of parameters) {
    if (!weights.names.includes(name)) refuse(`holds no ${name}, which this run trains`);
    const { shape } = weights.entry(name);
    if (shape.join() !== value.shape.join()) {
      refuse(`${name} has shape [${shape}], in this run it has [${value.shape}]`);
    }
  }
  const names = new Set(parameters.map(({ name }) => name));
  const stray = weights.names.find((name) => !names.has(name));
  if (stray !== undefined) refuse(`holds ${stray}, which this run does not train`);
};

/** What is wrong with a checkpoint whose files cannot be read, as an error that says what to do with it. */
const damaged = (path: string, error: unknown): unknown => {
  if (!(error instanceof MahaloError)) return error;
  if (!/^E_(JSON|FILE_READ|SAFETENSORS|OPTIM_STATE)/.test(error.code)) return error;
  const message = error.message.includes(path) ? error.message : `${path}: ${error.message}`;
  return new MahaloError(error.code, message, { hint: removal, cause: error });
};

/**
 * Puts a checkpoint's weights and moments back; returns the steps done. What is refused changes nothing.
 *
 * @throws MahaloError E_CHECKPOINT when it belongs to a run of another length or of other parameters, E_OPTIM_STATE when
 *   to one of another optimizer; E_JSON..., E_FILE_READ, E_SAFETENSORS... naming the file when it is damaged; the hint
 *   says what to do
 */
export const loadCheckpoint = async (path: string, run: CheckpointedRun): Promise<number> => {
  try {
    return await readCheckpoint(path, run);
  } catch (error) {
    throw damaged(path, error);
  }
};

/** What a checkpoint is put back into. */
type CheckpointedRun = {
  steps: number;
  parameters: readonly Parameter[];
  optimizer: Optimizer;
  task?: TaskState | undefined;
};

const readCheckpoint = async (
  path: string,
  { steps, parameters, optimizer, task }: CheckpointedRun,
): Promise<number> => {
  const state = await readJsonFile(join(path, "state.json"), stateSchema);
  if (state.steps !== steps) {
    throw new MahaloError(
      "E_CHECKPOINT",
      `${path}: made for a run of ${state.steps} steps, this one has ${steps}`,
      {
        hint: `${removal}; or continue with the options it was made with`,
      },
    );
  }
  if ((state.task === undefined) !== (task === undefined)) {
    const what = state.task === undefined ? "holds no state of the task" : "holds the state of another task";
    throw new MahaloError("E_CHECKPOINT", `${path}: ${what}`, { hint: removal });
  }
  const masters = parameters.map((parameter) => {
    const { name, master } = parameter;
    if (master === undefined) throw new MahaloError("E_MODEL_NOT_TRAINABLE", `${name} has no master weights`);
    return { parameter, master };
  });
  const weights = openSafetensors(join(path, "weights.safetensors"));
  checkWeights(path, weights, parameters);
  scope(() => {
    const moments = openSafetensors(join(path, "optimizer.safetensors"));
    optimizer.loadState(new Map(moments.names.map((name) => [name, moments.tensor(name)])));
    moments.close();
  });
  task?.load(state.task);
  noGrad(() => {
    for (const { parameter, master } of masters) {
      scope(() => ops.copy_(master.detach(), weights.tensor(parameter.name)));
      parameter.syncFromMaster();
    }
  });
  weights.close();
  return state.step;
};
