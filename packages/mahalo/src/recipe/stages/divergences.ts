/** How far each policy of the evaluation lies from the model that align began with, along its own answers. */
import { z } from "zod";
import { resumes, throwIfAborted } from "../../core/interrupt.ts";
import { element, zip } from "../../core/need.ts";
import { encodeExample } from "../../data/tokens/encode.ts";
import type { SweepMix } from "../../evaluate/mixes.ts";
import type { SweepPrompt } from "../../evaluate/sweep.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { answerKl, type EncodedAnswer, statesOf } from "../../train/analysis/divergence.ts";
import type { StageContext } from "../engine/stage.ts";
import type { Recipe } from "../schema/schema.ts";
import { type Merged, withMerged } from "./merged-policies.ts";
import { cachedAnswers, withModel } from "./prompts.ts";

/** A policy that answered: what it is called, its mix, the name of its kept file, and its answers. */
export type Answered = {
  label: string;
  mix: SweepMix | undefined;
  name: string;
  responses: readonly string[];
};

/** What {@link divergences} needs beside the stage's context. */
export type DivergenceOptions = {
  /** The model that the policies are mixes of, unless they are merged. */
  model: LanguageModel;
  /** The model that align began with. */
  baseline: string;
  merged: Merged | undefined;
  prompts: readonly SweepPrompt[];
  policies: readonly Answered[];
};

const encoded = (
  model: LanguageModel,
  prompts: readonly SweepPrompt[],
  responses: readonly string[],
  { chat, maxPromptTokens }: Recipe["data"],
): (EncodedAnswer | undefined)[] => {
  const options = { tokenizer: model.tokenizer, template: model.template, chat, maxPromptTokens };
  return zip(prompts, responses).map(([{ prompt: asked }, response]) => {
    if (response.trim() === "") return undefined;
    const { prompt, response: ids } = encodeExample(asked, response, options);
    return ids.length === 0 ? undefined : { prompt, response: ids };
  });
};

/** KL of one policy's answers; an answer without a token is 0 from anything. */
const along = (
  policy: LanguageModel,
  mix: SweepMix | undefined,
  reference: LanguageModel,
  answers: readonly (EncodedAnswer | undefined)[],
  label: string,
): number[] => {
  const some = answers.flatMap((answer) => answer ?? []);
  if (some.length === 0) return answers.map(() => 0);
  const head_VD = mix === undefined ? policy.heads.base.value : policy.heads.mix(mix);
  const states = statesOf(policy, some, head_VD, { label: `evaluate ${label}, divergence`, mix });
  const before = { label: `evaluate ${label}, divergence from the model before align` };
  const kls = answerKl(states, statesOf(reference, some, reference.heads.base.value, before));
  let next = 0;
  return answers.map((answer) => (answer === undefined ? 0 : element(kls, next++)));
};

/**
 * KL from the model that align began with, in nats an answer, by policy: exact over the vocabulary at each position of the
 * policy's own answers (see `answerKl`). Greedy answers tell of the states that greedy decoding visits.
 *
 * Policies of several models' logits (mod) have no hidden states of their own and are left out. What was measured is kept
 * in the stage's folder, so a run that was cut short does not measure it again.
 */
export const divergences = async (
  context: StageContext<Recipe>,
  { model, baseline, merged, prompts, policies }: DivergenceOptions,
): Promise<Map<string, number[]>> => {
  const { recipe, signal } = context;
  const divergences = new Map<string, number[]>();
  if (merged?.merges === "logits" || policies.length === 0) return divergences;
  await withModel(baseline, context, async (reference) => {
    for (const { label, mix, name, responses } of policies) {
      throwIfAborted(signal, "evaluating", resumes);
      const kept = await cachedAnswers(context, `kl-${name}`, z.array(z.number()), async () => {
        const answers = encoded(reference, prompts, responses, recipe.data);
        return merged === undefined || mix === undefined
          ? along(model, mix, reference, answers, label)
          : withMerged(merged, mix, async (policy, share) => along(policy, share, reference, answers, label));
      });
      divergences.set(label, kept);
    }
  });
  return divergences;
};
