/** Checkpoints of a training run: weights, moments and step in one folder that is whole or not there. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  MahaloError,
  noGrad,
  type Optimizer,
  openSafetensors,
  ops,
  scope,
  type TensorStore,
  writeSafetensors,
} from "@mahalo/torch";
import { z } from "zod";
import { writeJsonFile } from "../core/files.ts";
import { readJsonFile } from "../core/json.ts";
import type { Parameter } from "../model/parameters.ts";

const stateSchema = z.strictObject({
  format: z.literal(1),
  /** Steps done. */
  step: z.int().nonnegative(),
  /** Steps of the whole run, since the schedule depends on it. */
  steps: z.int().positive(),
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
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
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
  {
    step,
    steps,
    parameters,
    optimizer,
  }: { step: number; steps: number; parameters: readonly Parameter[]; optimizer: Optimizer },
): Promise<void> => {
  const temporary = join(folder, `checkpoint.${process.pid}.tmp`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  writeSafetensors(
    join(temporary, "weights.safetensors"),
    new Map(parameters.map((one) => [one.name, one.float()])),
  );
  scope(() => writeSafetensors(join(temporary, "optimizer.safetensors"), optimizer.state()));
  await writeJsonFile(join(temporary, "state.json"), { format: 1, step, steps });
  const path = join(folder, `checkpoint-${step}`);
  rmSync(path, { recursive: true, force: true });
  renameSync(temporary, path);
  clearCheckpoints(folder, path);
};

/** Refuses weights that are not exactly those of the parameters; copying would spread a smaller shape over a larger one. */
const checkWeights = (path: string, weights: TensorStore, parameters: readonly Parameter[]): void => {
  const refuse = (what: string): never => {
    throw new MahaloError("E_CHECKPOINT", `${path}: ${what}`, {
      hint: "remove the checkpoint, or go on with the options it was made with",
    });
  };
  for (const { name, value } of parameters) {
    if (!weights.names.includes(name)) refuse(`holds no ${name}, which this run trains`);
    const { shape } = weights.entry(name);
    if (shape.join() !== value.shape.join()) {
      refuse(`${name} has shape [${shape}], in this run it has [${value.shape}]`);
    }
  }
  const known = new Set(parameters.map(({ name }) => name));
  const stray = weights.names.find((name) => !known.has(name));
  if (stray !== undefined) refuse(`holds ${stray}, which this run does not train`);
};

/**
 * Puts a checkpoint's weights and moments back; returns the steps done. What is refused changes nothing.
 *
 * @throws MahaloError E_CHECKPOINT when it belongs to a run of another length or of other parameters, E_OPTIM_STATE when
 *   to one of another optimizer; E_JSON..., E_FILE_READ, E_SAFETENSORS... naming the file when it is damaged
 */
export const loadCheckpoint = async (
  path: string,
  { steps, parameters, optimizer }: { steps: number; parameters: readonly Parameter[]; optimizer: Optimizer },
): Promise<number> => {
  const state = await readJsonFile(join(path, "state.json"), stateSchema);
  if (state.steps !== steps) {
    throw new MahaloError(
      "E_CHECKPOINT",
      `${path}: made for a run of ${state.steps} steps, this one has ${steps}`,
      {
        hint: "remove the checkpoint, or go on with the options it was made with",
      },
    );
  }
  const masters = parameters.map((one) => {
    const { name, master } = one;
    if (master === undefined) throw new MahaloError("E_MODEL_NOT_TRAINABLE", `${name} has no master weights`);
    return { one, master };
  });
  const weights = openSafetensors(join(path, "weights.safetensors"));
  checkWeights(path, weights, parameters);
  scope(() => {
    const moments = openSafetensors(join(path, "optimizer.safetensors"));
    optimizer.loadState(new Map(moments.names.map((name) => [name, moments.tensor(name)])));
    moments.close();
  });
  noGrad(() => {
    for (const { one, master } of masters) {
      scope(() => ops.copy_(master.detach(), weights.tensor(one.name)));
      one.refresh();
    }
  });
  weights.close();
  return state.step;
};
