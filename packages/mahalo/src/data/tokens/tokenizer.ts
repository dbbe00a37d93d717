/** The one interface through which every room turns text into token ids and back. */

/** Options of {@link Tokenizer.encode}. */
export type EncodeTextOptions = {
  /**
   * Add what the tokenizer puts around a text of its own accord (a begin token, for most models that have one).
   * Default false, since chat templates write such tokens themselves.
   */
  special?: boolean;
};

/** Options of {@link Tokenizer.decode}. */
export type DecodeTextOptions = {
  /** Leave special tokens such as `<|im_end|>` out of the text. Default false. */
  skipSpecial?: boolean;
};

/** Text to token ids and back, as the model's own tokenizer does it. */
export interface Tokenizer {
  /**
   * Token ids of a text. Names of special tokens inside the text (`<|im_start|>`) become those tokens, as in
   * transformers. The empty text has no ids (but those that `special` adds).
   */
  encode(text: string, options?: EncodeTextOptions): number[];
  /** Text of token ids; ids that the tokenizer has no token for give no text. Bytes that are no UTF-8 become U+FFFD. */
  decode(ids: readonly number[], options?: DecodeTextOptions): string;
  /** Ids of the special tokens: never part of a text's content. */
  readonly specialIds: ReadonlySet<number>;
  /** Ids that end an answer, the model's main one first. */
  readonly eosIds: readonly number[];
  /** Number of rows of the model's vocabulary; every id lies below it. */
  readonly vocabSize: number;
}
