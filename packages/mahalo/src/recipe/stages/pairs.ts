/** The pairs stage: preference pairs out of rollouts, as text with where they came from, and as tokens to train on. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { append } from "../../core/append.ts";
import { writeJsonLines } from "../../core/json-lines.ts";
import { Problems } from "../../data/rows/problems.ts";
import { type EncodeOptions, encodeWatched, pairEncoding } from "../../data/tokens/encode.ts";
import { openModelSource } from "../../model/folder/source.ts";
import { allRollouts } from "../../rollout/file.ts";
import { type MadePair, pairLine, pairsFromRollouts } from "../../rollout/pairs.ts";
import { needFolder, type Stage } from "../engine/stage.ts";
import { madePairs } from "../schema/objective.ts";
import type { MadePairsBlock } from "../schema/rollout.ts";
import type { Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";
import { writePairs } from "./data-files.ts";
import { rolloutFile, type Side, sides } from "./rollout.ts";

/** Objectives whose pairs are made of rollouts. */
const pairBlocks = ({ objectives }: Recipe): [name: string, block: MadePairsBlock][] =>
  Object.entries(objectives).flatMap(([name, objective]): [string, MadePairsBlock][] => {
    const block = madePairs(objective);
    return block === undefined ? [] : [[name, block]];
  });

/**
 * Makes pairs; the folder then holds them as text (`rows.jsonl`, `held-out-rows.jsonl`) and as tokens (`train.jsonl`,
 * `held-out.jsonl`).
 */
export const pairsStage: Stage<Recipe> = {
  name: "pairs",
  version: "2",
  dependencies: ["rollout"],
  skipped: (recipe) => pairBlocks(recipe).length === 0,
  inputs: (recipe) => {
    const { chat, maxPromptTokens, maxTokens, maxBadShare, maxHeldOut } = recipe.data;
    return {
      objectives: Object.fromEntries(pairBlocks(recipe)),
      data: { chat, maxPromptTokens, maxTokens, maxBadShare, maxHeldOut },
    };
  },
  sources: ({ model, revision }) => [modelFiles(model, revision)],
  run: async ({ recipe, folder, folderOf, signal, log }) => {
    const rollouts = needFolder("pairs", "rollout", folderOf);
    const { maxBadShare, maxPromptTokens, maxTokens, chat, maxHeldOut } = recipe.data;
    const { tokenizer, template } = await openModelSource(
      recipe.model,
      recipe.revision === undefined ? {} : { revision: recipe.revision },
    );
    const encoding: EncodeOptions = { tokenizer, template, chat, maxPromptTokens, maxTokens };
    const problems = new Problems({ maxBadShare });
    const rows: Record<Side, MadePair[]> = { train: [], "held-out": [] };
    for (const [name, { from: _, ...options }] of pairBlocks(recipe)) {
      for (const side of sides) {
        const pairs = pairsFromRollouts(await allRollouts(rolloutFile(rollouts, name, side)), options, {
          seed: recipe.seed,
          problems,
        });
        append(rows[side], side === "train" ? pairs : pairs.slice(0, maxHeldOut));
        log(`pairs: ${name}: ${pairs.length} pairs ${side === "train" ? "to train on" : "held out"}`);
        if (side === "train" && pairs.length === 0) {
          throw new MahaloError(
            "E_PAIRS",
            `objectives.${name}.pairs: the rollouts gave no pair\n${problems.summary()}`.trim(),
            {
              hint: "take more samples or a higher temperature, allow longer answers, or use cut answers with pairs.cut: true",
            },
          );
        }
      }
    }
    await writeJsonLines(join(folder, "rows.jsonl"), rows.train.map(pairLine));
    await writeJsonLines(join(folder, "held-out-rows.jsonl"), rows["held-out"].map(pairLine));
    const encode = async (side: Side) =>
      (
        await encodeWatched(pairEncoding(rows[side], encoding, problems), {
          total: rows[side].length,
          signal,
        })
      ).rows;
    const encoded = { train: await encode("train"), heldOut: await encode("held-out") };
    await writePairs(folder, encoded);
    if (problems.summary() !== "") log(problems.summary());
  },
};
