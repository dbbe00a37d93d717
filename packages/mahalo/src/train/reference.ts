/** Log-probabilities under the reference policy: constants of the data, computed once and kept on disk. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTick } from "node:timers/promises";
import { openSafetensors, scope, tensor, writeSafetensors } from "@mahalo/torch";
import { append } from "../core/append.ts";
import { ensureDir, hashBytes } from "../core/files.ts";
import { resumes, throwIfAborted } from "../core/interrupt.ts";
import { canonicalJson } from "../core/json.ts";
import { progress } from "../core/progress.ts";
import type { EncodedPair } from "../data/tokens/encode.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { logProbs, type PassOptions, type ReadOptions } from "./forward.ts";
import type { ReferencePair } from "./preference.ts";
import type { CompletionLogProbs } from "./task.ts";

/** Pairs between two looks at whether the run is to stop; a few passes. */
const slice = 32;

const referenceOf = (
  model: LanguageModel,
  pairs: readonly EncodedPair[],
  options: PassOptions & Pick<ReadOptions, "hidden" | "trunk"> & { onPass: (pairs: number) => void },
): ReferencePair[] => {
  const rows = pairs.map((pair, index) => ({
    prompt: pair.prompt,
    completions: [pair.chosen, pair.rejected],
    objective: undefined,
    index,
  }));
  const logps = logProbs(model, rows, options);
  const sum = (values: CompletionLogProbs | undefined): number => {
    let total = 0;
    for (const value of values ?? []) total += value;
    return total;
  };
  return logps.map(([chosen, rejected]) => ({ chosen: sum(chosen), rejected: sum(rejected) }));
};

const referenceBar = (total: number) => progress({ label: "reference", total, unit: "pairs" });

/** Summed log-probabilities of each pair's responses under the model's base head, in nats, without gradients. */
export const computeReference = (
  model: LanguageModel,
  pairs: readonly EncodedPair[],
  options: PassOptions,
): ReferencePair[] => {
  const bar = referenceBar(pairs.length);
  const reference = referenceOf(model, pairs, { ...options, onPass: bar.add });
  bar.done();
  return reference;
};

/**
 * {@link computeReference} through a cache: a file under the hash of the reference model's identity, the token ids and
 * the dtype computed in.
 *
 * @param policy identity of the reference weights: a content hash that changes when they do
 * @param hidden states of the backbone, where it is the policy's own frozen one: they are read once for both; so for `trunk`
 * @param signal stops between two slices of the pairs; nothing is kept then
 * @throws MahaloError E_INTERRUPTED
 */
export const cachedReference = async (
  model: LanguageModel,
  pairs: readonly EncodedPair[],
  options: PassOptions &
    Pick<ReadOptions, "hidden" | "trunk"> & {
      folder: string;
      policy: string;
      signal?: AbortSignal | undefined;
    },
): Promise<ReferencePair[]> => {
  const ids = pairs.map(({ prompt, chosen, rejected }) => [prompt, chosen, rejected]);
  const key = hashBytes(canonicalJson({ policy: options.policy, compute: model.backbone.compute, ids }));
  const path = join(options.folder, `reference-${key.slice(0, 16)}.safetensors`);
  if (existsSync(path)) {
    const flat = scope(() => openSafetensors(path).tensor("logps").toTypedArray());
    return pairs.map((_, i) => ({ chosen: Number(flat[2 * i]), rejected: Number(flat[2 * i + 1]) }));
  }
  const bar = referenceBar(pairs.length);
  const reference: ReferencePair[] = [];
  for (let start = 0; start < pairs.length; start += slice) {
    // Lets signals through; a pass itself never waits.
    await nextTick();
    if (start > 0) throwIfAborted(options.signal, "computing the reference", resumes);
    append(reference, referenceOf(model, pairs.slice(start, start + slice), { ...options, onPass: bar.add }));
  }
  bar.done();
  await ensureDir(options.folder);
  const flat = Float64Array.from(reference.flatMap(({ chosen, rejected }) => [chosen, rejected]));
  writeSafetensors(path, { logps: tensor(flat, { shape: [pairs.length, 2] }) }, { metadata: { key } });
  return reference;
};
