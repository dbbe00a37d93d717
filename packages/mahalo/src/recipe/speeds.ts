/** This machine's speeds for a model's shape: measured once, kept in the user's cache, measured again on request. */
import { join } from "node:path";
import { cacheFolder, getThreads, MahaloError } from "@mahalo/torch";
import { isBusy, watchOthers } from "../core/busy.ts";
import { hashBytes, writeJsonFile } from "../core/files.ts";
import { canonicalJson, readJsonFile } from "../core/json.ts";
import { computeIdentity } from "../core/machine.ts";
import { note } from "../core/progress.ts";
import type { ModelConfig } from "../model/folder/model-config.ts";
import type { ModelSource } from "../model/folder/model-source.ts";
import { type Measurement, type MeasureOptions, measureSpeeds } from "./measure.ts";
import { type Speeds, speedsSchema } from "./work.ts";

/** Version of the measurement: raise it when equal machines would give other numbers. */
const version = 1;

/** Repeats that lie so far above the fastest one were disturbed, whoever did it. */
const largestSpread = 1.3;

/** Speeds, and the moment they are of. */
export type MachineSpeeds = { speeds: Speeds; of: "quiet" | "busy" };

/** What tells a plan how fast the machine is. */
export type Machine = {
  /** Undefined where the parts of the model that are measured do not fit into memory. */
  speeds(source: ModelSource, options: MeasureOptions): Promise<MachineSpeeds | undefined>;
  /** Whether other programs take its processors now. */
  busy(): Promise<boolean>;
};

/** What decides speeds, and so where they are kept: processor, threads, instructions, libraries, precision, shape. */
export const speedsKey = (config: ModelConfig, { compute }: Pick<MeasureOptions, "compute">): string => {
  const { family, vocabSize, hiddenSize, intermediateSize, heads, kvHeads, headDim } = config;
  return hashBytes(
    canonicalJson({
      version,
      ...computeIdentity(),
      compute,
      shape: [family, vocabSize, hiddenSize, intermediateSize, heads, kvHeads, headDim],
    }),
  );
};

const readKept = async (path: string): Promise<Speeds | undefined> => {
  try {
    return await readJsonFile(path, speedsSchema);
  } catch (error) {
    // What is not there, or of another version's form, is measured.
    if (error instanceof MahaloError) return undefined;
    throw error;
  }
};

/** Options of {@link thisMachine}. */
export type MachineOptions = {
  /** Measure again what is kept. Default false. */
  again?: boolean | undefined;
  /** Folder that measurements are kept in. Default: in the user's cache. */
  folder?: string;
  /** What measures. */
  measure?: (source: ModelSource, options: MeasureOptions) => Promise<Measurement | undefined>;
  /** Begins to watch what other programs do; see {@link watchOthers}. */
  watch?: typeof watchOthers;
};

/** This machine, watched from now on. A measurement that others disturbed is used this once and not kept. */
export function thisMachine({
  again = false,
  folder = join(cacheFolder(), "speeds"),
  measure = measureSpeeds,
  watch = watchOthers,
}: MachineOptions = {}): Machine {
  const sinceBegin = watch(getThreads());
  return {
    busy: async () => isBusy(await sinceBegin()),
    speeds: async (source, options) => {
      const path = join(folder, `${speedsKey(source.config, options)}.json`);
      const kept = again ? undefined : await readKept(path);
      if (kept !== undefined && !(options.lora && kept.lora === undefined))
        return { speeds: kept, of: "quiet" };
      note("measuring how fast this machine runs the model's layers, once for this shape");
      const others = watch(getThreads());
      const measured = await measure(source, options);
      if (measured === undefined) return undefined;
      const { speeds, spread } = measured;
      if (spread > largestSpread || isBusy(await others())) return { speeds, of: "busy" };
      // A cache that cannot be written costs the next plan its seconds, no more.
      await writeJsonFile(path, speeds).catch(() => {});
      return { speeds, of: "quiet" };
    },
  };
}
