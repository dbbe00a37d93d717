/** What a stage is, and how each stage of a recipe stands: fresh, stale, cut short, or never run. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { extensionsOf } from "../../core/extensions.ts";
import { HashCache, hashSource, type SourceFiles } from "./source-files.ts";
import {
  type DamageOptions,
  damagedOutput,
  differences,
  type Ingredients,
  keyOf,
  readStageManifest,
  type StageManifest,
} from "./stage-manifest.ts";

/** What a stage's body gets. */
export type StageContext<R> = {
  recipe: R;
  /** The stage's own folder; when `resumed`, with all that the sitting before left in it. */
  folder: string;
  resumed: boolean;
  /** Folder of a finished stage among the dependencies, or undefined where the recipe leaves that stage out. */
  folderOf: (stage: string) => string | undefined;
  /** Folder of things that several recipes may share, each under its content hash; stays when stages become stale. */
  cache: string;
  /** What decides the outputs: keys of the stages before it, hashes of its source files. */
  ingredients: Ingredients;
  /** Aborted on Ctrl-C: stop at the next safe point by throwing {@link StageContext.signal}'s reason. */
  signal: AbortSignal;
  /** Prints a line for people. */
  log: (line: string) => void;
};

/** One stage of a pipeline. */
export type Stage<R> = {
  /** Name, also of its folder. */
  name: string;
  /** Version of its code: raise it when equal inputs would give other outputs. */
  version: string;
  /** Names of stages it reads from; they stand before it. Those that the recipe leaves out are passed over. */
  dependencies: readonly string[];
  /** Whether the recipe leaves this stage out. Default: never. */
  skipped?: (recipe: R) => boolean;
  /** The part of the recipe that its outputs depend on; anything that JSON can hold. */
  inputs: (recipe: R) => unknown;
  /** Files from outside that it reads. Default: none. */
  sources?: (recipe: R) => readonly SourceFiles[];
  run: (context: StageContext<R>) => Promise<void>;
};

/** How a stage stands. `resumable`: begun with these very inputs and not ended. */
export type StageState = {
  name: string;
  state: "fresh" | "stale" | "resumable" | "new";
  /** Why it is not fresh; empty when it is. */
  reasons: string[];
  /** Content hash; undefined while files it reads are not on this machine. */
  key: string | undefined;
  ingredients: Ingredients | undefined;
  /** StageManifest of what its folder holds now. */
  manifest: StageManifest | undefined;
};

/** Options of {@link inspectStages}. */
export type InspectOptions = {
  /** The run's folder. */
  folder: string;
  seed: number;
  /** Fetch files that are not here; otherwise a stage that reads them has no key yet. Default false. */
  fetch?: boolean;
  /** Read every file anew, outputs too; otherwise those whose size or time of change is another one. Default false. */
  verify?: boolean;
};

const chain = <R>(stages: readonly Stage<R>[], recipe: R): Stage<R>[] =>
  stages.filter((stage) => stage.skipped?.(recipe) !== true);

/** Names of the stages a recipe goes through, in order. */
export const stageNames = <R>(stages: readonly Stage<R>[], recipe: R): string[] =>
  chain(stages, recipe).map(({ name }) => name);

/** A value as a manifest holds it: fields that are undefined are left out. */
const toJson = (value: unknown): Ingredients["recipe"] => z.json().parse(JSON.parse(JSON.stringify(value)));

const describe = async (
  folder: string,
  name: string,
  ingredients: Ingredients | undefined,
  pending: readonly string[],
  damage: DamageOptions,
): Promise<StageState> => {
  const manifest = await readStageManifest(folder);
  const key = ingredients === undefined ? undefined : keyOf(ingredients);
  const common = { name, key, ingredients, manifest };
  if (ingredients === undefined)
    return { ...common, state: manifest === undefined ? "new" : "stale", reasons: [...pending] };
  if (manifest === undefined) return { ...common, state: "new", reasons: ["it was never run"] };
  if (manifest.key !== key)
    return { ...common, state: "stale", reasons: differences(manifest.ingredients, ingredients) };
  if (manifest.status === "started")
    return { ...common, state: "resumable", reasons: ["it was interrupted"] };
  const damaged = await damagedOutput(folder, manifest, damage);
  if (damaged !== undefined)
    return { ...common, state: "stale", reasons: [`its file ${damaged} is missing or was changed`] };
  return { ...common, state: "fresh", reasons: [] };
};

/**
 * How each stage of a recipe stands, in order; changes nothing but the cache of file hashes.
 *
 * @throws MahaloError what {@link SourceFiles.locate} throws, for example for a file that is missing.
 */
export const inspectStages = async <R>(
  stages: readonly Stage<R>[],
  recipe: R,
  options: InspectOptions,
): Promise<StageState[]> => {
  const { folder, seed, fetch = false, verify = false } = options;
  const cache = new HashCache(folder, verify);
  const states = new Map<string, StageState>();
  for (const stage of chain(stages, recipe)) {
    const pending: string[] = [];
    const sources: Record<string, string> = {};
    for (const source of stage.sources?.(recipe) ?? []) {
      const hash = await hashSource(source, cache, fetch);
      if (hash === undefined) pending.push(`the files of ${source.label} are not here yet`);
      else sources[source.label] = hash;
    }
    const inputs = toJson(stage.inputs(recipe));
    for (const [file, hash] of extensionsOf(stage.name, inputs)) sources[`--extend ${file}`] = hash;
    const dependencies: Record<string, string> = {};
    for (const name of stage.dependencies) {
      const state = states.get(name);
      if (state?.key !== undefined) dependencies[name] = state.key;
      else if (state !== undefined) pending.push(`${name} is not known yet`);
    }
    const ingredients: Ingredients = {
      stage: stage.name,
      version: stage.version,
      seed,
      recipe: inputs,
      dependencies,
      sources,
    };
    states.set(
      stage.name,
      await describe(
        join(folder, stage.name),
        stage.name,
        pending.length > 0 ? undefined : ingredients,
        pending,
        { verify, hash: (path) => cache.hash(path) },
      ),
    );
  }
  await cache.save();
  return [...states.values()];
};

/**
 * The folder of a stage that must have run before.
 *
 * @throws MahaloError E_RUN_STAGE when the recipe leaves it out
 */
export const needFolder = (
  stage: string,
  dependency: string,
  folderOf: (stage: string) => string | undefined,
): string => {
  const folder = folderOf(dependency);
  if (folder !== undefined) return folder;
  throw new MahaloError("E_RUN_STAGE", `${stage} needs the stage ${dependency}, which the recipe leaves out`);
};
