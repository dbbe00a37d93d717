/** How much each method of align computes: what it trains and reads, and what its policies take to be evaluated. */
import { mixGrid } from "../evaluate/mixes.ts";
import { sweepSize } from "../evaluate/refine.ts";
import { alignMethods } from "../train/methods/registry.ts";
import type { Counted } from "./counts.ts";
import type { AlignCounts, EvaluateCounts } from "./estimate.ts";
import { hasPairs } from "./schema/objective.ts";
import type { AlignOptions, Recipe } from "./schema/schema.ts";
import { addsHeads, freezesBackbone, readsReference, singleHead, weightsOf } from "./stages/align-methods.ts";
import { mergedOf } from "./stages/merged-policies.ts";

/** Objectives that bring pairs, or will have some made. */
const withPairs = ({ objectives }: Recipe): string[] =>
  Object.entries(objectives).flatMap(([name, objective]) => (hasPairs(objective) ? [name] : []));

/**
 * Passes without gradients over every pair: one of the reference, and one of each model whose reward has a weight. The
 * implicit reward needs the reference even where the loss has no use for it. Pairs that a method has turned round are
 * other pairs to what is kept of the reference, which then reads them once more.
 */
const readingsOf = (align: AlignOptions, objectives: readonly string[]): number => {
  const reference = Number(readsReference(align));
  if (align.rewards === undefined) return reference;
  const weights = weightsOf(align, objectives);
  const models = Object.keys(align.rewards).filter((name) => (weights.get(name) ?? 0) > 0).length;
  return 1 + models + (alignMethods.get(align.method).rank === undefined ? 0 : reference);
};

/**
 * What a method's training passes over. All methods have one budget of rows: as many as balanced batches of all
 * objectives' pairs take until the largest was seen once, whether heads, one head, or one objective learn from them.
 *
 * @param existing objectives that the recipe's model has heads for
 * @returns undefined where nothing is trained: align is left out, or merges models
 */
export const alignCounts = (
  recipe: Recipe,
  { pairsOf, heldOutOf }: Pick<Counted, "pairsOf" | "heldOutOf">,
  existing: readonly string[],
): AlignCounts | undefined => {
  const { align } = recipe;
  if (align === false || mergedOf(recipe) !== undefined) return undefined;
  const adds = addsHeads(align);
  const scheduled = withPairs(recipe).filter((name) => !adds || !existing.includes(name));
  const sizes = (names: readonly string[]): number[] => names.map((name) => pairsOf.get(name) ?? 0);
  const { objective } = align;
  const trained = objective === undefined ? scheduled : [objective];
  const single = singleHead(align);
  return {
    rows: Math.max(0, ...sizes(scheduled)) * scheduled.length,
    pairs: sizes(trained),
    heldOut:
      align.evaluateEvery === "never"
        ? 0
        : trained.reduce((sum, name) => sum + (heldOutOf.get(name) ?? 0), 0),
    heads: single ? 1 : scheduled.length,
    // The head that new ones are copied from, and those that are there.
    keptHeads: single ? 0 : 1 + (adds ? existing.length : 0),
    readings: readingsOf(align, withPairs(recipe)),
    frozen: freezesBackbone(align),
  };
};

/**
 * What the policies of an evaluation take: those of the sweep, one where the model has no heads, the one before align,
 * and a prompted one for every mix. Under mod each answer of the sweep is decoded by a model for every objective. What
 * judges take is not known, nor is the time to read models; without a judge nothing is answered.
 *
 * @param existing as in {@link alignCounts}
 */
export const evaluateCounts = (
  recipe: Recipe,
  { examples, exampleTokens }: Pick<Counted, "examples" | "exampleTokens">,
  existing: readonly string[],
): EvaluateCounts => {
  const { align, evaluate, objectives } = recipe;
  const { mixes } = evaluate;
  const merged = mergedOf(recipe);
  const members = merged === undefined ? 0 : Object.keys(merged.models).length;
  const added = align === false || singleHead(align) ? [] : withPairs(recipe);
  const heads = merged === undefined ? [...new Set([...existing, ...added])] : Object.keys(merged.models);
  const over = (ofNumber: (count: number) => number): number =>
    Array.isArray(mixes) ? mixes.length : ofNumber(mixes);
  const policies = heads.length === 0 ? 1 : over((count) => sweepSize(heads, count));
  const prompted = evaluate.prompted ? over((count) => mixGrid(Object.keys(objectives), count).length) : 0;
  const before = Number(align !== false);
  const side = merged?.merges === "logits" ? members : 1;
  const judged = Object.values(objectives).some(({ judge }) => judge !== undefined);
  const ranks = evaluate.pairAccuracy && merged?.merges !== "logits";
  // A soup is held in float32 beside the member that is added to it.
  const further = merged === undefined ? Math.min(1, before + prompted) : Math.max(2, side);
  const ownHeads = merged === undefined ? heads.length : 0;
  return {
    // A fine-tuned model answers about as long as its examples are; the base model, which prompts ask, as long as it may.
    answerTokens: examples > 0 && prompted === 0 ? exampleTokens.response : Number.POSITIVE_INFINITY,
    decodes: judged ? policies * side + (evaluate.baseline ? before : 0) + prompted : 0,
    sideBySide: side,
    models: 1 + further,
    heads: ownHeads,
    rankings: ranks ? 1 + before : 0,
    rankingHeads: ranks ? Math.max(1, ownHeads) + before : 0,
    divergences: judged && evaluate.kl && merged?.merges !== "logits" ? 2 * policies * before : 0,
  };
};
