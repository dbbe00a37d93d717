/** The file of rollouts: one JSON line a row with all that goes on from it, appended batch by batch, resumed by content. */
import { createReadStream } from "node:fs";
import { checkRegular, MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { errorCode, fileError } from "../core/files.ts";
import { parseJson } from "../core/json.ts";
import { JsonlWriter } from "../core/json-lines.ts";
import { element } from "../core/need.ts";
import { targetOf } from "../core/write-through.ts";
import { answerSchema } from "../data/rows/answers.ts";
import { textOrMessagesSchema } from "../data/rows/messages.ts";
import { originSchema } from "../data/rows/problems.ts";
import { finishes } from "../decode/request.ts";

/** One answer that goes on from a prefix of a row, as it was judged. */
export const rolloutSchema = z.strictObject({
  /** Steps of the prefix it goes on from; 0 is the prompt alone. */
  from: z.int().nonnegative(),
  /** Its number among those from the same prefix, counting from 0. */
  sample: z.int().nonnegative(),
  /** The text that follows the prefix; of a dialogue, the student's reply. */
  text: z.string(),
  /** Steps of the whole answer, those of the prefix included. */
  steps: z.int().nonnegative(),
  /** Why it ended; `recorded` was not generated but stood in the data. */
  finish: z.enum([...finishes, "recorded"]),
  /** Tokens generated, where they are known. */
  tokens: z.int().nonnegative().optional(),
  /** Where its steps end in `text`, exclusive, in UTF-16 units, where that is known. */
  cuts: z.array(z.int().nonnegative()).optional(),
  /** The judge's verdict; null where it abstained. */
  score: z.number().nullable(),
  reason: z.string(),
});

/** One line of a file of rollouts. */
export const rolloutRowSchema = z.strictObject({
  /** Hash of the row and of everything that its rollouts depend on. */
  key: z.string(),
  objective: z.string(),
  kind: z.enum(["verifiable", "judged", "interactive"]),
  prompt: textOrMessagesSchema,
  /** The recorded response, cut into steps that joined are the response; none where only the prompt is recorded. */
  steps: z.array(z.string()),
  /** Quality of each step, where the data say so. */
  labels: z.array(z.number()).optional(),
  /** What the judge compared with. */
  answer: answerSchema.optional(),
  /** Name of the judge. */
  judge: z.string(),
  origin: originSchema,
  rollouts: z.array(rolloutSchema),
});

/** One answer that goes on from a prefix. */
export type Rollout = z.output<typeof rolloutSchema>;

/** A row and its rollouts. */
export type RolloutRow = z.output<typeof rolloutRowSchema>;

type Line = { row: RolloutRow; number: number; end: number };

/** The whole lines of a file, checked, each with the byte behind it; a torn last line is passed over. */
async function* wholeLines(path: string): AsyncGenerator<Line> {
  let rest: Buffer[] = [];
  let end = 0;
  let number = 0;
  checkRegular(path);
  const chunks: AsyncIterable<Buffer> = createReadStream(path, { highWaterMark: 2 ** 18 });
  for await (const chunk of chunks) {
    let start = 0;
    for (let feed = chunk.indexOf(0x0a); feed >= 0; feed = chunk.indexOf(0x0a, start)) {
      const line = Buffer.concat([...rest, chunk.subarray(start, feed)]);
      rest = [];
      start = feed + 1;
      end += line.length + 1;
      number += 1;
      const where = `${path}:${number}`;
      const row = parseJson(line.toString("utf8"), rolloutRowSchema, where, {
        code: "E_ROLLOUT_FILE",
        hint: "a file of rollouts is what mahalo rollout writes",
      });
      yield { row, number, end };
    }
    rest.push(chunk.subarray(start));
  }
}

/**
 * Reads a file of rollouts, row by row.
 *
 * @throws MahaloError E_FILE_READ; E_ROLLOUT_FILE for a line of another form; E_JSON_SYNTAX
 */
export async function* readRollouts(path: string): AsyncGenerator<RolloutRow> {
  try {
    for await (const { row } of wholeLines(path)) yield row;
  } catch (error) {
    throw errorCode(error) === undefined || error instanceof MahaloError
      ? error
      : fileError("E_FILE_READ", "read", path, error);
  }
}

/** All rows of a file of rollouts; errors as in {@link readRollouts}. */
export const allRollouts = async (path: string): Promise<RolloutRow[]> => {
  const rows: RolloutRow[] = [];
  for await (const row of readRollouts(path)) rows.push(row);
  return rows;
};

/** A file that is gone on with: where to write, and how many batches and what rows it holds already. */
export type OpenedRollouts = { writer: JsonlWriter; batches: number; rows: RolloutRow[] };

/**
 * Opens a file of rollouts to go on with what it holds.
 *
 * Only whole batches are kept: a batch that was cut short is made anew as a whole, so that a resumed run makes the very
 * batches of one that never stopped.
 *
 * @param keys keys of the rows of each batch, in the order in which they are written
 * @throws MahaloError E_ROLLOUT_OTHER if the file holds a row that is none of this run's at its place; E_FILE_READ;
 *   E_FILE_WRITE; E_ROLLOUT_FILE
 */
export const openRollouts = async (
  path: string,
  keys: readonly (readonly string[])[],
): Promise<OpenedRollouts> => {
  // A device or a pipe holds nothing to go on with.
  if (targetOf(path).kind !== "file") return { writer: new JsonlWriter(path), batches: 0, rows: [] };
  const wanted = keys.flat();
  const rows: RolloutRow[] = [];
  const ends: number[] = [];
  try {
    for await (const { row, number, end } of wholeLines(path)) {
      if (row.key !== wanted[number - 1]) {
        throw new MahaloError(
          "E_ROLLOUT_OTHER",
          `${path}:${number}: is a rollout with different rows, model, judge or settings`,
          { hint: "give another file, or delete this one to start over" },
        );
      }
      rows.push(row);
      ends.push(end);
    }
  } catch (error) {
    const code = error instanceof MahaloError ? undefined : errorCode(error);
    if (code === undefined) throw error;
    if (code !== "ENOENT") throw fileError("E_FILE_READ", "read", path, error);
  }
  let batches = 0;
  let kept = 0;
  for (const batch of keys) {
    if (kept + batch.length > rows.length) break;
    kept += batch.length;
    batches += 1;
  }
  const writer = new JsonlWriter(path, { keepBytes: kept === 0 ? 0 : element(ends, kept - 1) });
  return { writer, batches, rows: rows.slice(0, kept) };
};
