/** Makes a model end its turns where its chat template does: in memory, and in the files that are saved beside it. */
import { z } from "zod";
import { parseJson } from "../../core/json.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { turnEndId } from "../../data/tokens/turn-end.ts";
import type { ModelSource } from "../folder/model-source.ts";

const endFields = z.looseObject({ eos_token_id: z.union([z.int(), z.array(z.int())]).nullish() });

/** A text file of a model with some of its fields changed; undefined where the model has no such file. */
function changedJson(
  { files, origin }: ModelSource,
  name: string,
  change: (fields: z.infer<typeof endFields>) => Record<string, unknown>,
): [string, string][] {
  const text = files.get(name);
  if (text === undefined) return [];
  const fields = parseJson(text, endFields, `${origin}: ${name}`);
  const changes = change(fields);
  if (Object.keys(changes).length === 0) return [];
  return [[name, `${JSON.stringify({ ...fields, ...changes }, null, 2)}\n`]];
}

/** Every token that ends an answer: those of the tokenizer, and one more. */
function endingWith(tokenizer: Tokenizer, id: number): Tokenizer {
  return {
    encode: (text, options) => tokenizer.encode(text, options),
    decode: (ids, options) => tokenizer.decode(ids, options),
    specialIds: tokenizer.specialIds,
    eosIds: [...tokenizer.eosIds, id],
    vocabSize: tokenizer.vocabSize,
  };
}

/**
 * A source whose answers end where its template ends an assistant's turn.
 *
 * Base models that come with a chat template often name the end of a text alone. Without this they would be trained to
 * write an end that nothing stops at, and the saved folder would pass that on to other tools. The token is added to the
 * tokenizer's ends, to config.json and generation_config.json, and becomes the tokenizer's `eos_token` where no file names it
 * as an end and the template does not write `eos_token` for something else.
 */
export function withTurnEnd(source: ModelSource): ModelSource {
  const { tokenizer, config, template, files } = source;
  const id = turnEndId(tokenizer, template);
  if (id === undefined) return source;
  const unnamed = !tokenizer.eosIds.includes(id);
  const changed = [
    ...changedJson(source, "generation_config.json", ({ eos_token_id: eos }) => {
      const listed = eos === undefined || eos === null ? config.eosIds : [eos].flat();
      return listed.includes(id) && eos !== undefined && eos !== null
        ? {}
        : { eos_token_id: [...new Set([...listed, id])] };
    }),
    ...(unnamed && !template.text.includes("eos_token")
      ? changedJson(source, "tokenizer_config.json", () => ({ eos_token: tokenizer.decode([id]) }))
      : []),
  ];
  return {
    ...source,
    tokenizer: unnamed ? endingWith(tokenizer, id) : tokenizer,
    config: config.eosIds.includes(id) ? config : { ...config, eosIds: [...config.eosIds, id] },
    files: changed.length === 0 ? files : new Map([...files, ...changed]),
  };
}
