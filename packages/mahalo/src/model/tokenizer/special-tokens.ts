/** Which texts the special tokens of a folder have: by tokenizer_config.json, special_tokens_map.json, or config.json's ids. */
import { parseJson } from "../../core/json.ts";
import { type TokenizerConfig, tokenNamesSchema } from "./tokenizer.ts";

const names = ["bos_token", "eos_token", "unk_token", "pad_token"] as const;

/**
 * What tokenizer_config.json says, with the tokens that only special_tokens_map.json names.
 *
 * Where both name one, tokenizer_config.json is right, as in transformers.
 */
export function withMappedTokens(
  config: TokenizerConfig,
  mapText: string | undefined,
  where: string,
): TokenizerConfig {
  if (mapText === undefined) return config;
  const map = parseJson(mapText, tokenNamesSchema, where, { code: "E_TOKENIZER" });
  const mapped = names.flatMap((name) => (config[name] || !map[name] ? [] : [[name, map[name]]]));
  return { ...config, ...Object.fromEntries(mapped) };
}

/**
 * The same, with tokens that no file of the tokenizer speaks of by config.json's ids. A token that a file calls null is
 * meant to be none and stays so.
 *
 * @param textOf text of a token
 */
export function withConfiguredTokens(
  config: TokenizerConfig,
  ids: { bos_token: number | undefined; eos_token: number | undefined; pad_token: number | undefined },
  textOf: (id: number) => string,
): TokenizerConfig {
  const configured = Object.entries(ids).flatMap(([name, id]) => {
    const text = id === undefined || name in config ? "" : textOf(id);
    return text === "" ? [] : [[name, text]];
  });
  return { ...config, ...Object.fromEntries(configured) };
}
