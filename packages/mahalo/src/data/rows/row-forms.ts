/** Names rows that are well-formed, but of another of TRL's forms than the one that is wanted. */

const has = (row: object, name: string): boolean => {
  const value: unknown = Reflect.get(row, name);
  return value !== undefined && value !== null;
};

const asObject = (value: unknown): object | undefined =>
  typeof value === "object" && value !== null ? value : undefined;

const steps = "one of labelled steps, which belongs under an objective's `steps`";

/** What a row without chosen and rejected is, where that can be told; undefined for pairs. */
export function formBesidePairs(value: unknown): string | undefined {
  const row = asObject(value);
  if (row === undefined || has(row, "chosen") || has(row, "rejected")) return undefined;
  if (has(row, "completions")) return has(row, "labels") ? steps : undefined;
  if (!has(row, "completion") && !has(row, "response") && !has(row, "messages")) return undefined;
  return has(row, "label")
    ? "TRL's unpaired form (KTO): one completion with a label. A pair is two completions of one prompt in one row, chosen the one labelled true and rejected the one labelled false"
    : "one to fine-tune on, with a single response, which belongs under `sft.from`";
}

/** What a row without a response is, where that can be told. */
export function formBesideExamples(value: unknown): string | undefined {
  const row = asObject(value);
  if (row === undefined) return undefined;
  if (has(row, "chosen"))
    return "a pair; to learn from its chosen side, map it in `columns`: { prompt: prompt, completion: chosen }";
  return has(row, "completions") && has(row, "labels") ? steps : undefined;
}
