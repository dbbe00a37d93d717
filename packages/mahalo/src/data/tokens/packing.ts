/** Packs prompts and their completions into token batches without padding: a pair's prompt is stored and computed once. */
import { MahaloError } from "@mahalo/torch";
import { element } from "../../core/need.ts";

/** One response inside a batch: `length` tokens from offset `start` of the batch's tokens. */
export type CompletionSpan = { start: number; length: number };

/** One packed row: `prompt` tokens from offset `start` of the batch's tokens, then its completions, back to back. */
export type PackedRow = { start: number; prompt: number; completions: CompletionSpan[] };

/**
 * Rows laid end to end.
 *
 * `ids` and `positions` hold one entry a token. Positions count from 0 inside a row's prompt, and every completion
 * starts again right after the prompt, so that it sees the same positions as it would alone.
 */
export type PackedBatch = { ids: Int32Array; positions: Int32Array; rows: PackedRow[] };

/** A row before packing: token ids of its prompt and of each of its completions (chosen and rejected of a pair). */
export type UnpackedRow = { prompt: readonly number[]; completions: readonly (readonly number[])[] };

/** Number of tokens that a row takes in a batch. */
export const rowLength = (row: PackedRow): number =>
  row.completions.reduce((total, completion) => total + completion.length, row.prompt);

/**
 * Packs rows to a token budget, first-fit in the given order.
 *
 * Each row goes to the first batch that still has room; a row longer than the budget gets a batch of its own.
 * The result depends on nothing but the arguments.
 *
 * @param tokenBudget most tokens of one batch, at least 1
 * @returns batches in the order of their first row; `members[i]` is the input index of the batch's row `i`
 * @throws MahaloError E_PACK_BUDGET if the budget is no positive integer, E_PACK_ROW if a row has an empty
 *   prompt (nothing would predict the first response token), no completion, or an empty completion
 */
export const packRows = (
  rows: readonly UnpackedRow[],
  tokenBudget: number,
): { batch: PackedBatch; members: number[] }[] => {
  if (!Number.isSafeInteger(tokenBudget) || tokenBudget < 1) {
    throw new MahaloError("E_PACK_BUDGET", `token budget ${tokenBudget} is not a positive integer`);
  }
  const bins: { members: number[]; tokens: number }[] = [];
  for (const [index, row] of rows.entries()) {
    checkRow(row, index);
    const tokens = tokenCount(row);
    const bin = bins.find((candidate) => candidate.tokens + tokens <= tokenBudget);
    if (bin === undefined) bins.push({ members: [index], tokens });
    else {
      bin.members.push(index);
      bin.tokens += tokens;
    }
  }
  return bins.map(({ members, tokens }) => ({
    batch: layOut(
      members.map((member) => element(rows, member, "row")),
      tokens,
    ),
    members,
  }));
};

/**
 * Attention mask of one row, T x T in row-major order: 1 where the query (first index) may attend the key.
 *
 * Causal inside the prompt and inside each completion; a completion sees the whole prompt; completions do not see each other.
 * Indices count from the row's own start.
 */
export const completionMask = (row: PackedRow): Uint8Array => {
  const length = rowLength(row);
  const mask = new Uint8Array(length * length);
  for (let query = 0; query < row.prompt; query++) mask.fill(1, query * length, query * length + query + 1);
  for (const completion of row.completions) {
    const from = completion.start - row.start;
    for (let query = from; query < from + completion.length; query++) {
      mask.fill(1, query * length, query * length + row.prompt);
      mask.fill(1, query * length + from, query * length + query + 1);
    }
  }
  return mask;
};

/**
 * Offsets, into the batch's tokens, of the hidden states that predict a completion's tokens.
 *
 * Token t is predicted by the token before it; the first one by the prompt's last token.
 */
export const predictors = (row: PackedRow, completion: CompletionSpan): Int32Array => {
  const offsets = new Int32Array(completion.length);
  for (let token = 0; token < completion.length; token++) offsets[token] = completion.start + token - 1;
  offsets[0] = row.start + row.prompt - 1;
  return offsets;
};

/** Token ids of a completion, a view into the batch's ids. */
export const completionIds = (batch: PackedBatch, completion: CompletionSpan): Int32Array =>
  batch.ids.subarray(completion.start, completion.start + completion.length);

const tokenCount = (row: UnpackedRow): number =>
  row.completions.reduce((total, completion) => total + completion.length, row.prompt.length);

const checkRow = (row: UnpackedRow, index: number): void => {
  const fault =
    row.prompt.length === 0
      ? "has an empty prompt, so nothing predicts its first response token"
      : row.completions.length === 0
        ? "has no completion"
        : row.completions.some((completion) => completion.length === 0)
          ? "has an empty completion"
          : undefined;
  if (fault !== undefined) throw new MahaloError("E_PACK_ROW", `row ${index} to pack ${fault}`);
};

const layOut = (rows: readonly UnpackedRow[], tokens: number): PackedBatch => {
  const ids = new Int32Array(tokens);
  const positions = new Int32Array(tokens);
  let offset = 0;
  const place = (source: readonly number[], firstPosition: number): number => {
    const start = offset;
    for (const [index, id] of source.entries()) {
      ids[offset] = id;
      positions[offset] = firstPosition + index;
      offset++;
    }
    return start;
  };
  const packed = rows.map((row): PackedRow => {
    const start = place(row.prompt, 0);
    const completions = row.completions.map((completion) => ({
      start: place(completion, row.prompt.length),
      length: completion.length,
    }));
    return { start, prompt: row.prompt.length, completions };
  });
  return { ids, positions, rows: packed };
};
