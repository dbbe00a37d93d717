/** Stages that runs share: a finished stage's folder appears in another run by hard links, so that it is fresh there. */
import { cp, link, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { ensureDir, errorCode, fileError } from "../../packages/mahalo/src/core/files.ts";
import { readStageManifest } from "../../packages/mahalo/src/recipe/engine/stage-manifest.ts";
import type { Method } from "./plan.ts";

/** Stages that come before a method does anything of its own. */
export const sharedStages = ["data", "sft", "rollout", "relabel", "pairs", "reward"] as const;

/** The stages that a method's run takes over from the run of MAH-DPO; the unified reward model takes the rows, and trains again. */
export const takenOver = (method: Method): string[] =>
  method === "mah-dpo" ? [] : sharedStages.filter((stage) => method !== "unified" || stage !== "reward");

/** A second name for a file; a copy where the file system has no such thing. */
const linkFile = async (from: string, to: string): Promise<void> => {
  try {
    await link(from, to);
  } catch (error) {
    if (!["EXDEV", "EPERM", "EMLINK", "ENOTSUP"].includes(errorCode(error) ?? ""))
      throw fileError("E_FILE_WRITE", `link it to ${to}`, from, error);
    await cp(from, to);
  }
};

const linkFolder = async (from: string, to: string): Promise<void> => {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  await ensureDir(to);
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const target = join(to, relative(from, path));
    await ensureDir(dirname(target));
    await linkFile(path, target);
  }
};

/**
 * Gives a run the stages that another one has finished, and its cache of reference log-probabilities.
 *
 * A stage that the run has already, made of the same inputs, is let be. A stage is whole or not there: it is linked beside
 * its place and takes it by a rename. Nobody writes into the files of a finished stage, so links are safe.
 *
 * @returns names of the stages that were linked now
 */
export const shareStages = async (from: string, to: string, stages: readonly string[]): Promise<string[]> => {
  const linked: string[] = [];
  for (const stage of stages) {
    const stamp = await readStageManifest(join(from, stage));
    if (stamp?.status !== "done") continue;
    const [target, beside] = [join(to, stage), join(to, `.${stage}.linking`)];
    const manifest = await readStageManifest(target);
    if (manifest?.key === stamp.key && manifest.status === "done") continue;
    await rm(beside, { recursive: true, force: true });
    await linkFolder(join(from, stage), beside);
    await rm(target, { recursive: true, force: true });
    await rename(beside, target);
    linked.push(stage);
  }
  const names = await readdir(join(from, "cache")).catch((): string[] => []);
  for (const name of names.filter((name) => /^reference-\w+\.safetensors$/.test(name))) {
    await ensureDir(join(to, "cache"));
    await linkFile(join(from, "cache", name), join(to, "cache", name)).catch((error: unknown) => {
      if (!(error instanceof Error) || errorCode(error.cause) !== "EEXIST") throw error;
    });
  }
  return linked;
};
