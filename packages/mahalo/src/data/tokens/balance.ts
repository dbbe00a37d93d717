/** Balanced batches: every objective in every optimiser step, in an order that seed, epoch and step alone decide. */
import { MahaloError } from "@mahalo/torch";
import { element, zip } from "../../core/need.ts";
import { rng } from "../../core/random.ts";

/** Rows of one objective in a batch, as indices into that objective's own list of rows. */
export type BatchPart = { objective: string; rows: number[] };

/** Options of {@link balancedBatches}. */
export type BalanceOptions = {
  /** Number of rows of each objective; the order of the keys is the order of parts in a batch. */
  counts: Readonly<Record<string, number>>;
  /** Rows of one optimiser step, at least one for each objective. */
  batchSize: number;
  seed: number;
};

/** The batches of a training run, to be asked for in any order. */
export type Balance = {
  readonly stepsPerEpoch: number;
  /** The batch of a step, both counted from 0; a pure function, so a run can resume anywhere. */
  batch(epoch: number, step: number): BatchPart[];
};

/**
 * Plans batches in which every objective has its share.
 *
 * Shares are equal: of B rows and K objectives each step gives B/K to each objective, the remainder going to those that
 * are furthest behind (largest remainder), so that shares even out over the steps.
 *
 * An epoch ends when the largest objective has been seen exactly once; its last batch may hold fewer of its rows. Each
 * objective runs through a sequence of its own, one freshly shuffled pass over its rows after the other. Smaller
 * objectives therefore repeat within an epoch, and go on in the next one where they stopped, so that all their rows are
 * seen equally often.
 *
 * @throws MahaloError E_BATCH_SIZE if the batch has no room for every objective, E_BATCH_EMPTY if an objective has no
 *   rows
 *
 * @example balancedBatches({ counts: { accuracy: 900, engagement: 300 }, batchSize: 8, seed: 0 }).batch(0, 0)
 */
export const balancedBatches = ({ counts, batchSize, seed }: BalanceOptions): Balance => {
  const objectives = Object.entries(counts);
  check(objectives, batchSize);
  const largest = Math.max(...objectives.map(([, count]) => count));
  const { steps, offsets } = planEpoch(
    objectives.map(([, count]) => count),
    batchSize,
    largest,
  );
  const order = passes(seed);
  return {
    stepsPerEpoch: steps,
    batch(epoch, step) {
      if (
        !(
          Number.isSafeInteger(epoch) &&
          epoch >= 0 &&
          Number.isSafeInteger(step) &&
          step >= 0 &&
          step < steps
        )
      ) {
        throw new MahaloError(
          "E_BATCH_STEP",
          `there is no step ${step} in epoch ${epoch}: an epoch has ${steps} steps`,
        );
      }
      return objectives.map(([objective, count], k) => {
        const usedBefore = (step: number): number => element(element(offsets, step, "step"), k);
        const perEpoch = usedBefore(steps);
        const from = epoch * perEpoch + usedBefore(step);
        const to = epoch * perEpoch + usedBefore(step + 1);
        const rows: number[] = [];
        for (let position = from; position < to; position++) {
          rows.push(element(order(objective, count, Math.floor(position / count)), position % count));
        }
        return { objective, rows };
      });
    },
  };
};

const check = (objectives: [string, number][], batchSize: number): void => {
  if (!Number.isSafeInteger(batchSize) || batchSize < Math.max(objectives.length, 1)) {
    throw new MahaloError(
      "E_BATCH_SIZE",
      `a batch of ${batchSize} rows has no room for each of ${objectives.length} objectives`,
      { hint: "raise batchSize to at least the number of objectives" },
    );
  }
  const empty = objectives.find(([, count]) => !(Number.isSafeInteger(count) && count > 0));
  if (empty !== undefined || objectives.length === 0) {
    throw new MahaloError("E_BATCH_EMPTY", `objective ${empty?.[0] ?? "(none)"} has no rows to train on`, {
      hint: "every objective must be in every batch; give it rows or remove it from the recipe",
    });
  }
};

/** How many rows of each objective were used before each step of an epoch; one entry more than there are steps. */
const planEpoch = (
  counts: readonly number[],
  batchSize: number,
  largest: number,
): { steps: number; offsets: number[][] } => {
  const share = batchSize / counts.length;
  const base = Math.floor(share);
  const offsets: number[][] = [];
  let used = counts.map(() => 0);
  for (let step = 0; ; step++) {
    offsets.push(used);
    if (zip(counts, used).every(([count, rows]) => count < largest || rows >= largest))
      return { steps: step, offsets };
    // Integers only: rows due are (step + 1) * batchSize / K, compared after multiplying by K.
    const behind = used
      .map((rows, k) => ({ k, due: (step + 1) * batchSize - (rows + base) * counts.length }))
      .sort((a, b) => b.due - a.due || a.k - b.k)
      .slice(0, batchSize - base * counts.length);
    const favoured = new Set(behind.map(({ k }) => k));
    used = used.map((rows, k) => {
      const next = rows + base + Number(favoured.has(k));
      // The largest stops at its end, so that an epoch sees it exactly once.
      return counts[k] === largest && rows < largest ? Math.min(next, largest) : next;
    });
  }
};

/** Shuffled passes over an objective's rows; the last two of each objective are kept, as a batch may span two. */
const passes = (seed: number): ((objective: string, count: number, pass: number) => readonly number[]) => {
  const kept = new Map<string, Map<number, number[]>>();
  return (objective, count, pass) => {
    const mine = kept.get(objective) ?? new Map<number, number[]>();
    kept.set(objective, mine);
    const cached = mine.get(pass);
    if (cached !== undefined) return cached;
    const shuffled = rng(seed, "train", "order", objective, String(pass)).shuffle([...Array(count).keys()]);
    for (const old of mine.keys()) if (Math.abs(old - pass) > 1) mine.delete(old);
    mine.set(pass, shuffled);
    return shuffled;
  };
};
