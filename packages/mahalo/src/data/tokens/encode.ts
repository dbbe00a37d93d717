/** Rows into token ids: the chat template's own text, split so that only response tokens are ever trained on. */
import { breathe } from "../../core/interrupt.ts";
import { element } from "../../core/need.ts";
import { lateProgress } from "../../core/progress.ts";
import { type Origin, Problems, RowProblem } from "../rows/problems.ts";
import type { ExampleRow, PreferenceRow, Prompt } from "../rows/rows.ts";
import type { StepRow } from "../rows/step-rows.ts";
import { defaultMaxTokens, type EncodeOptions, Encoder } from "./encoder.ts";
import { stepEndsOf } from "./steps.ts";

export type { EncodeOptions } from "./encoder.ts";

/** A preference pair as token ids; the model is asked `prompt` and learns from the two responses. */
export type EncodedPair = {
  objective: string;
  prompt: number[];
  chosen: number[];
  rejected: number[];
  origin: Origin;
};

/** A fine-tuning example as token ids; only the response is learnt. */
export type EncodedExample = { objective: string; prompt: number[]; response: number[]; origin: Origin };

/** A response with labelled steps as token ids. */
export type EncodedSteps = {
  objective: string;
  prompt: number[];
  response: number[];
  /** For every step the index in `response` behind its last token, ascending; the last one is the response's length. */
  ends: number[];
  /** One for each step; null for a step that has none. */
  labels: (number | null)[];
  origin: Origin;
};

/** Encoded rows, and how many of them were cut. */
export type Encoded<Row> = { rows: Row[]; cutPrompts: number; cutResponses: number };

/** The encoding of rows in pieces: between them it says how many rows are encoded; at the end it returns all of them. */
export type Encoding<Result> = Generator<number, Result, undefined>;

const atOnce = <Result>(encoding: Encoding<Result>): Result => {
  for (;;) {
    const next = encoding.next();
    if (next.done) return next.value;
  }
};

/**
 * Encodes with pauses in which the process can be told to stop, and with progress where it takes long.
 *
 * @throws MahaloError E_INTERRUPTED once `signal` is aborted or the process is to stop, and what the encoding throws
 *
 * @example const { rows } = await encodeWatched(pairEncoding(pairs, options, problems), { total: pairs.length, signal });
 */
export async function encodeWatched<Result>(
  encoding: Encoding<Result>,
  { total, signal }: { total: number; signal?: AbortSignal | undefined },
): Promise<Result> {
  const bar = lateProgress({ label: "encode", total, unit: "rows" });
  for (;;) {
    const next = encoding.next();
    if (next.done) {
      bar.done(total);
      return next.value;
    }
    await breathe(signal, "encoding rows");
    bar.update(next.value);
  }
}

/**
 * Encodes preference rows; rows that cannot be used are kept in `problems` with their reason.
 *
 * Prompt and response ids are by construction the template's text: the prompt is the conversation rendered with the
 * opening of the assistant's turn, the response is what the whole conversation has after it, up to and with the end of
 * the turn. Generation gives the model exactly the same prompt ids.
 *
 * @param problems Default: a new collector with its default share. Checked at the end.
 * @throws MahaloError E_DATA_TOO_MANY_BAD, E_DATA_LIMITS, and what a broken template throws
 */
export const encodePairs = (
  rows: readonly PreferenceRow[],
  options: EncodeOptions,
  problems: Problems = new Problems(),
): Encoded<EncodedPair> => atOnce(pairEncoding(rows, options, problems));

/** {@link encodePairs} as work that can be stopped; see {@link encodeWatched}. */
export const pairEncoding = (
  rows: readonly PreferenceRow[],
  options: EncodeOptions,
  problems: Problems,
): Encoding<Encoded<EncodedPair>> =>
  encodeRows(rows, options, problems, (row, encoder) => {
    const { prompt, responses } = encoder.encode(row.prompt, [
      ["chosen", row.turns?.chosen ?? row.chosen],
      ["rejected", row.turns?.rejected ?? row.rejected],
    ]);
    const [chosen, rejected] = [element(responses, 0, "response"), element(responses, 1, "response")];
    if (sameIds(chosen, rejected)) {
      throw new RowProblem(
        "identical-pair",
        `chosen and rejected are the same ${chosen.length} tokens after cutting`,
      );
    }
    return { objective: row.objective, prompt, chosen, rejected, origin: row.origin };
  });

/** Encodes fine-tuning examples, as {@link encodePairs} does pairs. */
export const encodeExamples = (
  rows: readonly ExampleRow[],
  options: EncodeOptions,
  problems: Problems = new Problems(),
): Encoded<EncodedExample> => atOnce(exampleEncoding(rows, options, problems));

/** {@link encodeExamples} as work that can be stopped; see {@link encodeWatched}. */
export const exampleEncoding = (
  rows: readonly ExampleRow[],
  options: EncodeOptions,
  problems: Problems,
): Encoding<Encoded<EncodedExample>> =>
  encodeRows(rows, options, problems, (row, encoder) => {
    const { prompt, responses } = encoder.encode(row.prompt, [["response", row.turn ?? row.response]]);
    const response = element(responses, 0, "response");
    return { objective: row.objective, prompt, response, origin: row.origin };
  });

/**
 * Encodes one prompt and response that stand in no file, as {@link encodeExamples} does rows.
 *
 * @throws RowProblem for one that cannot be encoded
 */
export const encodeExample = (
  prompt: Prompt,
  response: string,
  options: EncodeOptions,
): Pick<EncodedExample, "prompt" | "response"> => {
  const problems = new Problems({ maxBadShare: 1 });
  const row = { objective: "", prompt, response, origin: { file: "", line: 0 } };
  const [encoded] = encodeExamples([row], options, problems).rows;
  if (encoded !== undefined) return encoded;
  const [bad] = problems.step("encoding").bad;
  throw new RowProblem(bad?.reason ?? "invalid-row", bad?.detail ?? "cannot be encoded");
};

/**
 * Encodes rows of labelled steps, as {@link encodePairs} does pairs. A step ends with the token that holds its last
 * letter; the end of the turn belongs to the last step.
 *
 * Nothing of a response is ever cut, since labels would be lost: a row longer than `maxTokens` is left out and counted.
 */
export const encodeSteps = (
  rows: readonly StepRow[],
  options: EncodeOptions,
  problems: Problems = new Problems(),
): EncodedSteps[] => atOnce(stepEncoding(rows, options, problems));

/** {@link encodeSteps} as work that can be stopped; see {@link encodeWatched}. */
export function* stepEncoding(
  rows: readonly StepRow[],
  options: EncodeOptions,
  problems: Problems,
): Encoding<EncodedSteps[]> {
  const { maxTokens = defaultMaxTokens, tokenizer } = options;
  const uncut = { ...options, maxTokens: Number.MAX_SAFE_INTEGER };
  const encoded = yield* encodeRows(
    rows,
    uncut,
    problems,
    ({ objective, labels, origin, ...row }, encoder) => {
      const { prompt, responses } = encoder.encode(row.prompt, [["completions", row.steps.join("")]]);
      const response = element(responses, 0, "response");
      const ends = stepEndsOf(tokenizer, response, row.steps);
      return { objective, prompt, response, ends, labels, origin };
    },
  );
  const fitting = encoded.rows.filter(({ prompt, response }) => prompt.length + response.length <= maxTokens);
  const long = encoded.rows.length - fitting.length;
  if (long > 0) problems.step("encoding").skip("their labelled steps are longer than data.maxTokens", long);
  return fitting;
}

/**
 * Ids of a prompt as the model gets it before it answers: the very ids that training used.
 *
 * @throws RowProblem `empty-prompt`, `unknown-role`, `template-error`
 */
export const encodePrompt = (prompt: Prompt, options: EncodeOptions): number[] =>
  new Encoder(options).prompt(prompt);

/** Rows encoded between two pauses. */
const rowsBetweenPauses = 128;

function* encodeRows<In extends { origin: Origin }, Out>(
  rows: readonly In[],
  options: EncodeOptions,
  problems: Problems,
  encode: (row: In, encoder: Encoder) => Out,
): Encoding<Encoded<Out>> {
  const encoder = new Encoder(options);
  const encoded: Encoded<Out> = { rows: [], cutPrompts: 0, cutResponses: 0 };
  const step = problems.step("encoding");
  for (const [index, row] of rows.entries()) {
    if (index > 0 && index % rowsBetweenPauses === 0) yield index;
    step.see(row);
    const result = step.guard(row.origin, () => encode(row, encoder));
    const cuts = encoder.takeCuts();
    if (result === undefined) continue;
    for (const note of cuts.notes) step.note(note);
    if (cuts.prompt) step.note("the beginning of their prompt is cut off (data.maxPromptTokens)", 1);
    if (cuts.changed) step.note("the tokenizer normalises their text", 1);
    if (cuts.response) step.note("the end of a response is cut off (data.maxTokens)", 1);
    encoded.rows.push(result);
    encoded.cutPrompts += Number(cuts.prompt);
    encoded.cutResponses += Number(cuts.response);
  }
  step.check();
  return encoded;
}

const sameIds = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((id, index) => id === b[index]);
