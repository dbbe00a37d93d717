/** Our greedy answers as benches time them: every prompt gets the same number of tokens, so that all sides do the same work. */
import type { Tokenizer } from "../packages/mahalo/src/data/tokens/tokenizer.ts";
import { generateAll } from "../packages/mahalo/src/decode/generate.ts";
import type { LanguageModel } from "../packages/mahalo/src/model/folder/load.ts";
import type { Mix } from "../packages/mahalo/src/model/heads/heads.ts";
import { cpuSeconds } from "./usage.ts";

/** A tokenizer without end tokens. */
const endlessTokenizer = (tokenizer: Tokenizer): Tokenizer => ({
  encode: (text, options) => tokenizer.encode(text, options),
  decode: (ids, options) => tokenizer.decode(ids, options),
  specialIds: tokenizer.specialIds,
  vocabSize: tokenizer.vocabSize,
  eosIds: [],
});

/** A model whose answers never end by themselves. */
export const endless = (model: LanguageModel): LanguageModel => ({
  ...model,
  tokenizer: endlessTokenizer(model.tokenizer),
});

/** A prompt's tokens, and the mix that answers it (default: the base head). */
export type TimedPrompt = { ids: readonly number[]; mix?: Mix | undefined };

/** What answering took. */
export type Answered = {
  ids: (readonly number[])[];
  seconds: number;
  /** Processor time of all threads. */
  cpu: number;
};

/** Answers prompts side by side with so many tokens each. */
export const answer = async (
  model: LanguageModel,
  prompts: readonly TimedPrompt[],
  maxNewTokens: number,
): Promise<Answered> => {
  const [began, cpuBegan] = [performance.now(), cpuSeconds()];
  const answers = await generateAll(
    model,
    prompts.map(({ ids, mix }) => ({ ids, maxNewTokens, ...(mix === undefined ? {} : { mix }) })),
    { batchSize: prompts.length },
  );
  const seconds = (performance.now() - began) / 1000;
  const ids = answers.map((answer) => answer.ids);
  const wrong = ids.find(({ length }) => length !== maxNewTokens);
  if (wrong !== undefined) throw new Error(`generated ${wrong.length} tokens instead of ${maxNewTokens}`);
  return { ids, seconds, cpu: cpuSeconds() - cpuBegan };
};
