/** Bounds of a model's numbers, far beyond any model there is: what lies outside is damage, or means harm. */
import type { MahaloError } from "@mahalo/torch";
import type { ModelConfig, RopeScaling } from "./model-config.ts";

type Bounds = { least: number; most: number; whole: boolean };

const count = (most: number): Bounds => ({ least: 1, most, whole: true });
const positions = count(2 ** 31);

const bounds = {
  vocabSize: count(2 ** 24),
  hiddenSize: count(2 ** 20),
  intermediateSize: count(2 ** 22),
  layers: count(10_000),
  heads: count(2 ** 16),
  kvHeads: count(2 ** 16),
  headDim: count(2 ** 16),
  maxPositions: positions,
  ropeTheta: { least: 1, most: 1e12, whole: false },
  rmsNormEps: { least: 1e-30, most: 0.1, whole: false },
} as const satisfies Partial<Record<keyof ModelConfig, Bounds>>;

/** Numbers of a config that have bounds of their own. */
type Bounded = keyof typeof bounds;

const ropeBounds: Record<string, Bounds> = {
  factor: { least: 1, most: 1e6, whole: false },
  lowFreqFactor: { least: 1e-6, most: 1e6, whole: false },
  highFreqFactor: { least: 1e-6, most: 1e6, whole: false },
  originalMaxPositions: positions,
};

/** What is wrong with a number, or undefined. */
const fault = (value: number, { least, most, whole }: Bounds): string | undefined => {
  if (value >= least && value <= most && (!whole || Number.isInteger(value))) return undefined;
  return `must be a ${whole ? "whole number" : "number"} from ${least} to ${most}, not ${value}`;
};

const scalingFault = (scaling: RopeScaling | undefined): string | undefined =>
  Object.entries(scaling ?? {}).flatMap(([key, value]) => {
    const range = ropeBounds[key];
    const problem = range === undefined || typeof value !== "number" ? undefined : fault(value, range);
    return problem === undefined ? [] : [`${key} ${problem}`];
  })[0];

/**
 * Checks that every number of a config is one that a model can have, and that its special tokens are in the vocabulary.
 *
 * @param names what the file calls the fields.
 * @param refuse makes the error of a field.
 */
export function checkBounds(
  config: ModelConfig,
  names: Readonly<Record<Bounded | "ropeScaling" | "bosId" | "eosIds" | "padId", string>>,
  refuse: (field: string, what: string) => MahaloError,
): void {
  for (const key of Object.keys(bounds) as Bounded[]) {
    const problem = fault(config[key], bounds[key]);
    if (problem !== undefined) throw refuse(names[key], problem);
  }
  const scaling = scalingFault(config.ropeScaling);
  if (scaling !== undefined) throw refuse(names.ropeScaling, scaling);
  const { bosId, padId, vocabSize } = config;
  const special = { bosId: [bosId], eosIds: config.eosIds, padId: [padId] };
  for (const key of ["bosId", "eosIds", "padId"] as const) {
    for (const id of special[key]) {
      if (id === undefined || (Number.isInteger(id) && id >= 0 && id < vocabSize)) continue;
      throw refuse(names[key], `must be an id of the vocabulary, from 0 to ${vocabSize - 1}, not ${id}`);
    }
  }
}
