/** MAH-DPO: pairs of each objective train that objective's head and the shared backbone. */
import { MahaloError } from "@mahalo/torch";
import { need } from "../core/need.ts";
import type { EncodedPair } from "../data/tokens/encode.ts";
import type { Mix } from "../model/heads/heads.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import type { MixOfStep } from "./interior-mixes.ts";
import { defaultLoss, type PairLoss, type PairLossOptions, pairLoss, pairLosses } from "./losses.ts";
import { type PairRecord, preferenceMetrics } from "./metrics.ts";
import type { Task, TaskRow } from "./task.ts";

/** Log-probabilities of a pair's responses under the reference policy, in nats. */
export type ReferencePair = { chosen: number; rejected: number };

/** Rows, their order and the loss. */
export type PreferenceTaskOptions = PairLossOptions & {
  pairs: readonly EncodedPair[];
  /** One for each pair; undefined leaves the reference out of the loss. */
  reference: readonly ReferencePair[] | undefined;
  heldOut: readonly EncodedPair[];
  /** One for each held-out pair where `reference` is given. */
  heldOutReference: readonly ReferencePair[] | undefined;
  steps: number;
  /** Indices of the pairs of a step; every objective has at least one. */
  batch(step: number): readonly number[];
  loss?: string;
  /** A loss for each pair, and for each held-out pair, in place of `loss`: what MODPO needs. */
  losses?: { pairs: readonly PairLoss[]; heldOut: readonly PairLoss[] } | undefined;
  /** Who reads a pair's log-probabilities. Default: its objective's own head. */
  headOf?: Task<PairRecord>["headOf"];
  /** The mix that reads a step's rows of an objective, which {@link interiorMixes} draws. Default: its objective alone. */
  mixOf?: MixOfStep | undefined;
  /** Weight of each objective's mean loss; default 1 each. */
  objectiveWeights?: Readonly<Record<string, number>>;
};

/** A pair whose reference were missing would be trained as if it had none. */
const checkReference = (
  name: string,
  reference: readonly ReferencePair[] | undefined,
  pairs: readonly EncodedPair[],
): void => {
  if (reference?.length === pairs.length) return;
  throw new MahaloError(
    "E_REFERENCE",
    `${name}: ${reference?.length ?? 0} reference log-probabilities for ${pairs.length} pairs`,
    { exitStatus: 1 },
  );
};

const sum = (values: Float32Array): number => values.reduce((total, value) => total + value, 0);

/**
 * The batch loss is the weighted mean, over the objectives present, of each one's mean pair loss; with DPO's loss of the
 * margin m:
 *
 *   L = sum_k (w_k / sum_j w_j) (1 / n_k) sum_{i in k} loss(m_i),
 *   m = (log π_k(y+) - log π_k(y-)) - (log π_ref(y+) - log π_ref(y-)),
 *
 * Under a mix a pair counts K g_k times, g_k being the mix's weight of its objective among K, which is once on average.
 * Log-probabilities are summed over response tokens; other losses see these sums and the responses' lengths. An
 * objective's share of the batch does not matter.
 *
 * Source: method, section 2.
 *
 * @throws MahaloError E_LOSS_OPTION, E_OBJECTIVE_WEIGHT, E_REFERENCE; of `rows`, E_BATCH_OBJECTIVE_MISSING
 */
export const preferenceTask = (options: PreferenceTaskOptions): Task<PairRecord> => {
  const { pairs, reference, heldOut, heldOutReference, losses, loss: lossName = defaultLoss } = options;
  const commonLoss = pairLoss(lossName, options);
  const { beta = pairLosses.get(lossName).beta } = options;
  const weightOf = (objective: string): number => options.objectiveWeights?.[objective] ?? 1;
  const objectives = [...new Set(pairs.map(({ objective }) => objective))].sort();
  for (const [name, weight] of Object.entries(options.objectiveWeights ?? {})) {
    if (!(weight > 0 && Number.isFinite(weight))) {
      throw new MahaloError("E_OBJECTIVE_WEIGHT", `objectives.${name}.weight: ${weight} is not above 0`);
    }
  }
  if (reference !== undefined) {
    checkReference("pairs", reference, pairs);
    checkReference("held-out pairs", heldOut.length === 0 ? [] : heldOutReference, heldOut);
  }
  /** What the task knows of each row beside its tokens. */
  const told = new WeakMap<TaskRow, { reference: ReferencePair | undefined; loss: PairLoss }>();
  const row = (
    pair: EncodedPair,
    index: number,
    ofReference: ReferencePair | undefined,
    ownLoss: PairLoss | undefined,
  ): TaskRow => {
    const taskRow = {
      prompt: pair.prompt,
      completions: [pair.chosen, pair.rejected],
      objective: pair.objective,
      index,
    };
    told.set(taskRow, { reference: ofReference, loss: ownLoss ?? commonLoss });
    return taskRow;
  };
  const rows = pairs.map((pair, index) => row(pair, index, reference?.[index], losses?.pairs[index]));
  const heldOutRows = heldOut.map((pair, index) =>
    row(pair, index, heldOutReference?.[index], losses?.heldOut[index]),
  );

  const under = (row: TaskRow, mix: Mix | undefined): TaskRow => {
    if (mix === undefined) return row;
    const mixed = { ...row, mix };
    told.set(mixed, need(told.get(row), "a pair of the task"));
    return mixed;
  };

  const loss: Task<PairRecord>["loss"] = (pairRow, [chosen, rejected], step) => {
    if (chosen === undefined || rejected === undefined || pairRow.objective === undefined) {
      throw new MahaloError("E_INTERNAL", "a preference row needs two completions and an objective", {
        exitStatus: 1,
      });
    }
    const { reference: ref = { chosen: 0, rejected: 0 }, loss: ofPair } = need(
      told.get(pairRow),
      "a pair of the task",
    );
    const logpChosen = sum(chosen);
    const logpRejected = sum(rejected);
    const pair = ofPair({
      chosen: logpChosen,
      rejected: logpRejected,
      refChosen: ref.chosen,
      refRejected: ref.rejected,
      chosenLength: chosen.length,
      rejectedLength: rejected.length,
    });
    const rewards = pair.rewards ?? {
      chosen: beta * (logpChosen - ref.chosen),
      rejected: beta * (logpRejected - ref.rejected),
    };
    const present = [...new Set(step.map(({ objective }) => objective ?? ""))];
    const total = present.reduce((all, name) => all + weightOf(name), 0);
    const count = step.filter(({ objective }) => objective === pairRow.objective).length;
    // Drawn mixes give each objective 1 / K on average.
    const gain = pairRow.mix === undefined ? 1 : objectives.length * weightIn(pairRow.mix, pairRow.objective);
    const share = (gain * weightOf(pairRow.objective)) / total / count;
    return {
      gradients: [share * pair.dChosen, share * pair.dRejected],
      record: {
        objective: pairRow.objective,
        loss: pair.loss,
        logpChosen,
        logpRejected,
        rewardChosen: rewards.chosen,
        rewardRejected: rewards.rejected,
      },
    };
  };

  return {
    name: "align",
    ...(options.headOf === undefined ? {} : { headOf: options.headOf }),
    steps: options.steps,
    rows: (step) => {
      const chosen = options.batch(step).map((index) => {
        const row = rows[index];
        if (row === undefined) throw new MahaloError("E_INTERNAL", `no pair ${index}`, { exitStatus: 1 });
        return row;
      });
      const missing = objectives.find((name) => !chosen.some(({ objective }) => objective === name));
      if (missing !== undefined) {
        throw new MahaloError(
          "E_BATCH_OBJECTIVE_MISSING",
          `step ${step}: no pair of objective "${missing}" in the batch`,
          {
            hint: "raise batchSize to at least the number of objectives",
          },
        );
      }
      return chosen.map((row) => under(row, options.mixOf?.(step, row.objective ?? "")));
    },
    loss,
    metrics: (records) => preferenceMetrics(records, { ...options.objectiveWeights }),
    heldOut: heldOutRows,
  };
};
