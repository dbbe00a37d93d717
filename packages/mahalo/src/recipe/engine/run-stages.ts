/** The stage engine: runs a chain of stages, redoes only what is stale, and takes up what was cut short. */
import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { isUnwritable } from "../../core/file-error.ts";
import { ensureDir, errorCode, fileError } from "../../core/files.ts";
import { formatDuration } from "../../core/format.ts";
import { resumes, throwIfAborted } from "../../core/interrupt.ts";
import { sweepLeftovers } from "../../core/leftovers.ts";
import type { FileLock } from "../../core/lock.ts";
import { didYouMean } from "../../core/suggest.ts";
import { acquireLock } from "./lock.ts";
import { type Provenance, provenance } from "./provenance.ts";
import { inspectStages, type Stage, type StageContext, type StageState, stageNames } from "./stage.ts";
import {
  damagedOutput,
  listOutputs,
  readStageManifest,
  type StageManifest,
  writeStageManifest,
} from "./stage-manifest.ts";

const move = async (from: string, to: string): Promise<boolean> => {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw fileError("E_FILE_WRITE", `move it to ${to}`, from, error);
  }
};

/** Folder that outputs of a key are moved to, and looked for when that key is wanted again. */
const staleFolder = (folder: string, name: string, key: string): string =>
  join(folder, "stale", `${name}-${key.slice(0, 12)}`);

/** Takes a stage's folder out of the way: kept on the staleFolder under its key, or under a number if it has none. */
const moveAway = async (
  folder: string,
  name: string,
  manifest: StageManifest | undefined,
): Promise<string | undefined> => {
  const from = join(folder, name);
  const content = await readdir(from).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return [];
    throw fileError("E_FILE_READ", "list", from, error);
  });
  if (content.length === 0) return undefined;
  await ensureDir(join(folder, "stale"));
  const wanted = staleFolder(folder, name, manifest?.key ?? "unknown");
  for (let number = 1; ; number++) {
    const to = number === 1 ? wanted : `${wanted}-${number}`;
    const taken = await readdir(to).then(
      () => true,
      () => false,
    );
    if (taken) continue;
    await move(from, to);
    return to;
  }
};

/** Options of {@link runStages}. */
export type RunStagesOptions = {
  /** The run's folder; each stage has a folder of its name in it. */
  folder: string;
  seed: number;
  /** Ends the run at the next safe point when aborted. */
  signal?: AbortSignal;
  /** Prints a line for people. Default: nowhere. */
  log?: (line: string) => void;
  /** End after this stage. */
  until?: string | undefined;
  /** Make this stage and all after it anew, fresh or not. */
  redo?: string | undefined;
  /** Read every file anew, outputs too, to find damage that leaves size and time of change alone. Default false. */
  verify?: boolean | undefined;
  /** Called once the folder is locked, before the first stage; told whether every stage is fresh. */
  begin?: (fresh: boolean) => Promise<void>;
  /** Called before each stage that is made or resumed; what it throws ends the run before the stage has begun. */
  beforeStage?: (name: string) => Promise<void>;
};

/** What became of one stage. */
export type StageOutcome = {
  name: string;
  did: "kept" | "ran" | "resumed" | "restored";
  seconds: number;
  folder: string;
};

const positionOf = (names: readonly string[], name: string, option: string): number => {
  const position = names.indexOf(name);
  if (position >= 0) return position;
  throw new MahaloError("E_RUN_STAGE", `--${option} ${name}: this recipe has no such stage`, {
    hint: didYouMean(name, names),
  });
};

/** Makes a stage's folder ready: its content belongs to `state.key` afterwards, or it is empty. */
const prepare = async (
  folder: string,
  state: StageState,
  { redo, verify, log }: { redo: boolean; verify: boolean; log: (line: string) => void },
): Promise<StageManifest | undefined> => {
  if (state.state === "resumable" && !redo) return state.manifest;
  const away = await moveAway(folder, state.name, state.manifest);
  if (away !== undefined) log(`${state.name}: moved the previous outputs to ${away}`);
  if (redo || state.key === undefined) return undefined;
  const kept = staleFolder(folder, state.name, state.key);
  const manifest = away === kept ? undefined : await readStageManifest(kept);
  if (manifest?.key !== state.key || (await damagedOutput(kept, manifest, { verify })) !== undefined)
    return undefined;
  await move(kept, join(folder, state.name));
  return manifest;
};

/** Runs one stage; gives the seconds that this process worked on it, and those of all that did. */
const runOne = async <R>(
  stage: Stage<R>,
  state: StageState,
  context: Omit<StageContext<R>, "resumed" | "ingredients">,
  from: StageManifest | undefined,
  origin: Provenance,
): Promise<{ seconds: number; inAll: number }> => {
  const { ingredients, key } = state;
  if (ingredients === undefined || key === undefined) {
    throw new MahaloError("E_RUN_STAGE", `${stage.name}: ${state.reasons.join("; ")}`, { exitStatus: 1 });
  }
  const began = performance.now();
  const worked = (): number => (from?.seconds ?? 0) + (performance.now() - began) / 1000;
  const manifest: StageManifest = {
    format: 1,
    status: "started",
    key,
    ingredients,
    provenance: origin,
    startedAt: from?.startedAt ?? new Date().toISOString(),
    seconds: from?.seconds ?? 0,
    resumes: from === undefined ? 0 : from.resumes + 1,
    outputs: {},
  };
  await ensureDir(context.folder);
  await writeStageManifest(context.folder, manifest);
  try {
    await stage.run({ ...context, ingredients, resumed: from !== undefined });
  } catch (error) {
    // Only the time worked is lost where the disk is full; the first error is the one to tell.
    await writeStageManifest(context.folder, { ...manifest, seconds: worked() }).catch(() => undefined);
    throw error;
  }
  const outputs = await listOutputs(context.folder);
  const inAll = worked();
  await writeStageManifest(context.folder, {
    ...manifest,
    status: "done",
    finishedAt: new Date().toISOString(),
    seconds: inAll,
    outputs,
  });
  return { seconds: inAll - manifest.seconds, inAll };
};

/** What became of stages that are all fresh, in a folder that cannot be written to; undefined where one is not. */
const keptAsTheyAre = async <R>(
  stages: readonly Stage<R>[],
  recipe: R,
  options: RunStagesOptions,
  last: number,
): Promise<StageOutcome[] | undefined> => {
  const { folder, seed, verify = false } = options;
  const states = await inspectStages(stages, recipe, { folder, seed, verify }).catch(() => undefined);
  const wanted = states?.slice(0, last + 1);
  if (wanted === undefined || !wanted.every(({ state }) => state === "fresh")) return undefined;
  return wanted.map(({ name }) => ({ name, did: "kept", seconds: 0, folder: join(folder, name) }));
};

/**
 * Runs the stages of a recipe that are not fresh, in order, under the folder's lock.
 *
 * Outputs that are stale are moved to `stale/` and never mixed with new ones; they come back by themselves when their
 * inputs do. A stage that was cut short gets its own folder back with `resumed: true`. What a killed run left half
 * written is removed. A finished run in a folder that cannot be written to is kept as it is.
 *
 * @returns what became of each stage.
 * @throws MahaloError E_RUN_BUSY when another process works in the folder; E_RUN_STAGE for an unknown stage name;
 *   E_INTERRUPTED after an abort; and what the stages throw. The folder is good to go on from after each of them.
 */
export const runStages = async <R>(
  stages: readonly Stage<R>[],
  recipe: R,
  options: RunStagesOptions,
): Promise<StageOutcome[]> => {
  const { folder, log = () => undefined } = options;
  const names = stageNames(stages, recipe);
  const last = options.until === undefined ? names.length - 1 : positionOf(names, options.until, "until");
  const redoFrom = options.redo === undefined ? names.length : positionOf(names, options.redo, "redo");
  let lock: FileLock;
  try {
    lock = await acquireLock(folder);
  } catch (error) {
    if (!isUnwritable(error) || options.redo !== undefined) throw error;
    const kept = await keptAsTheyAre(stages, recipe, options, last);
    if (kept === undefined) throw error;
    log(`${folder}: cannot be written to, but nothing needs to change`);
    return kept;
  }
  if (!lock.kept) log(`${folder}: its file system has no locks, so make sure that no other run uses it`);
  try {
    sweepLeftovers(folder);
    return await runLocked(stages, recipe, options, { names, last, redoFrom });
  } finally {
    lock.release();
  }
};

/** As {@link runStages}, in a folder that is locked. */
const runLocked = async <R>(
  stages: readonly Stage<R>[],
  recipe: R,
  options: RunStagesOptions,
  { names, last, redoFrom }: { names: readonly string[]; last: number; redoFrom: number },
): Promise<StageOutcome[]> => {
  const { folder, seed, signal = new AbortController().signal, log = () => undefined } = options;
  const verify = options.verify === true;
  const states = await inspectStages(stages, recipe, { folder, seed, fetch: true, verify });
  const origin = await provenance();
  await options.begin?.(redoFrom >= names.length && states.every(({ state }) => state === "fresh"));
  const outcomes: StageOutcome[] = [];
  for (const [index, state] of states.entries()) {
    if (index > last) break;
    throwIfAborted(signal, "running the recipe", resumes);
    const stage = stages.find(({ name }) => name === state.name) as Stage<R>;
    const stageFolder = join(folder, state.name);
    const redo = index >= redoFrom;
    if (state.state === "fresh" && !redo) {
      log(`${state.name}: fresh, kept${verify ? " (every file read)" : ""}`);
      outcomes.push({ name: state.name, did: "kept", seconds: 0, folder: stageFolder });
      continue;
    }
    const from = await prepare(folder, state, { redo, verify, log });
    if (from?.status === "done") {
      log(`${state.name}: restored from an earlier run with these inputs`);
      outcomes.push({ name: state.name, did: "restored", seconds: 0, folder: stageFolder });
      continue;
    }
    await options.beforeStage?.(state.name);
    log(
      `${state.name}: ${from === undefined ? "begins" : "resumes"} (${redo ? "--redo" : state.reasons.join("; ")})`,
    );
    const folderOf = (name: string): string | undefined => {
      const position = names.indexOf(name);
      if (stage.dependencies.includes(name)) return position >= 0 ? join(folder, name) : undefined;
      throw new MahaloError(
        "E_RUN_STAGE",
        `${stage.name} reads from ${name} without naming it as a dependency`,
        {
          exitStatus: 1,
        },
      );
    };
    const { seconds, inAll } = await runOne(
      stage,
      state,
      { recipe, folder: stageFolder, folderOf, cache: join(folder, "cache"), signal, log },
      from,
      origin,
    );
    const whole = from === undefined ? "" : `, ${formatDuration(inAll)} in all`;
    log(`${state.name}: done in ${formatDuration(seconds)}${whole}`);
    outcomes.push({
      name: state.name,
      did: from === undefined ? "ran" : "resumed",
      seconds,
      folder: stageFolder,
    });
  }
  return outcomes;
};
