/** From hidden states to next tokens: every row under its own mix and sampling, rows of one mix through one head. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import type { LanguageModel } from "../model/load.ts";
import type { Answer } from "./request.ts";

// Shapes: R rows, N rows of one mix, D hidden, V vocabulary.

/** What became of one row: its next token, or why there is none. */
export type Choice = { id: number; logprob?: number } | { error: unknown };

/** Rows that share a head, by their indices. */
const byMix = (answers: readonly Answer[]): { answer: Answer; rows: number[] }[] => {
  const groups = new Map<string, { answer: Answer; rows: number[] }>();
  for (const [row, answer] of answers.entries()) {
    const group = groups.get(answer.mixKey);
    if (group === undefined) groups.set(answer.mixKey, { answer, rows: [row] });
    else group.rows.push(row);
  }
  return [...groups.values()];
};

/** The head of a mix, [V, D]; kept by the model. */
const headOf = ({ heads }: LanguageModel, { mix }: Answer): Tensor =>
  mix === undefined ? heads.base.value : heads.mix(mix);

/** Log-probabilities of one token of each row, whatever sampling made of the others. */
const logprobsOf = (logits_NV: Tensor, ids: readonly number[]): Float32Array => {
  const ids_N = tensor(Int32Array.from(ids), { dtype: "int64", device: logits_NV.device });
  if (logits_NV.device === "cpu") return ops.tokenLogProbs(logits_NV, ids_N)[0].toFloat32Array();
  const all_NV = logits_NV.to("float32").logSoftmax(-1);
  return ops.gather(all_NV, 1, ids_N.unsqueeze(1)).squeeze(1).toFloat32Array();
};

const choose = (logits_NV: Tensor, answers: readonly Answer[]): Choice[] => {
  const width = logits_NV.size(1);
  // Rows that take the likeliest token need no logits here; the others' are read one after the other.
  const likeliest = answers.some(({ greedy }) => greedy)
    ? Array.from(logits_NV.argmax(-1).toTypedArray(), Number)
    : [];
  const values = answers.every(({ greedy }) => greedy) ? undefined : logits_NV.toFloat32Array();
  const choices = answers.map((answer, row): Choice => {
    if (answer.greedy) return { id: likeliest[row] ?? 0 };
    try {
      return {
        id: answer.choose((values ?? new Float32Array(0)).subarray(row * width, (row + 1) * width)),
      };
    } catch (error) {
      // A row's trouble is its own.
      return { error };
    }
  });
  if (!answers.some(({ wantsLogprobs }) => wantsLogprobs)) return choices;
  const logprobs = logprobsOf(
    logits_NV,
    choices.map((choice) => ("id" in choice ? choice.id : 0)),
  );
  return choices.map((choice, row) =>
    "id" in choice && answers[row]?.wantsLogprobs
      ? { ...choice, logprob: logprobs[row] ?? Number.NaN }
      : choice,
  );
};

/**
 * The next token of every row.
 *
 * @param hidden_RD final hidden states, row r being `answers[r]`'s
 */
export const nextTokens = (model: LanguageModel, hidden_RD: Tensor, answers: readonly Answer[]): Choice[] => {
  const choices: Choice[] = new Array(answers.length).fill({ id: 0 });
  const groups = byMix(answers);
  for (const { answer, rows } of groups) {
    const chosen = noGrad(() =>
      scope(() => {
        const hidden_ND =
          groups.length === 1
            ? hidden_RD
            : hidden_RD.indexSelect(
                0,
                tensor(Int32Array.from(rows), { dtype: "int64", device: hidden_RD.device }),
              );
        const own = rows.flatMap((row) => answers[row] ?? []);
        return choose(ops.linear(hidden_ND, headOf(model, answer)), own);
      }),
    );
    for (const [index, row] of rows.entries()) choices[row] = chosen[index] ?? { id: 0 };
  }
  return choices;
};
