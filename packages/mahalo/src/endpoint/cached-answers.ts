/** Answers of the batch under way, kept on disk as they come, so that a run that breaks off pays for none twice. */
import { z } from "zod";
import { cachedLines } from "../core/cached-lines.ts";
import { JsonlWriter, writeJsonLines } from "../core/json-lines.ts";
import { finishes } from "../decode/request.ts";
import type { Sample } from "./samples.ts";

const lineSchema = z.strictObject({
  key: z.string(),
  text: z.string(),
  finish: z.enum(finishes),
  tokens: z.int().nonnegative().optional(),
});

/** An open file of answers. */
export type CachedAnswers = {
  /** Answers of this batch that are there already, by key. */
  known: ReadonlyMap<string, Sample>;
  /** Keeps an answer. */
  add(key: string, answer: Sample): void;
  close(): void;
};

/**
 * Opens the file of a batch's answers; what it holds of other batches is dropped, since these are done.
 *
 * One process at a time may write to a file; a run's folder is locked.
 *
 * @param batch keys of all answers of the batch
 * @throws MahaloError E_FILE_READ, E_FILE_WRITE
 */
export const cachedAnswers = async (
  path: string,
  batch: readonly { key: string }[],
): Promise<CachedAnswers> => {
  const keys = new Set(batch.map(({ key }) => key));
  const cached = new Map<string, Sample>();
  for await (const { key, text, finish, tokens } of cachedLines(path, lineSchema)) {
    if (keys.has(key)) cached.set(key, { text, finish, tokens });
  }
  const lines = [...cached].map(([key, answer]) => ({ key, ...answer }));
  await writeJsonLines(path, lines);
  const writer = new JsonlWriter(path, { append: true });
  return {
    known: cached,
    add: (key, answer) => writer.write({ key, ...answer }),
    close: () => writer.close(),
  };
};
