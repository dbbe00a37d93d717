/** Named formats: column maps for files that many people have, so that a recipe can say the name alone. */
import { Registry } from "../../core/registry.ts";
import type { Columns } from "./columns.ts";

/** Removes the calculator notes `<<48/2=24>>` of GSM8K. */
const withoutNotes = { replace: { pattern: "<<[^<>]*>>" } };

/** A transcript of Human and Assistant as messages. */
const humanAssistant = { transcript: {} };

/**
 * All formats by name; each is a column map, some with a reader, and a recipe's `columns` replaces single columns of it.
 *
 * - `transcript-pair`: chosen and rejected are whole Human/Assistant transcripts that share all but the last turn
 *   (HH-RLHF).
 * - `transcript`: one Human/Assistant transcript in `text`, for fine-tuning on its last turn.
 * - `tutoring-dialogue`: `conversation` with Teacher and Student turns divided by `|EOM|`, moves of the teacher such
 *   as (focus) taken off, the question as system message, a row for every teacher turn (MathDial).
 * - `tutoring-pair`: a Student/Assistant transcript in `question`, chosen and rejected with their scores in
 *   `metadata`; the better score is the chosen one.
 * - `correct-pair`: `question` and four models' solutions with `is_correct`; every correct one against every
 *   incorrect one (grade-school-math's example solutions).
 * - `scored-candidates`: `prompt` and a list `candidates` of `text` and `score`; best against worst.
 * - `question-answer`: `question` and worked `answer` with notes removed, final answer after `####` (GSM8K).
 * - `sharegpt`: `conversations` of `from` (human, gpt, system) and `value`.
 * - `prm800k`: `question` and `label.steps` with rated `completions`; labelled steps, ratings -1, 0 and 1 (PRM800K).
 * - `math-shepherd`: `input` with the tag `ки` behind every step, `label` with + and - in its places; labelled steps.
 * - `aspect-ratings`: `completions` with a rating for every aspect in `annotations`; for each aspect, which is the
 *   pair's objective, the highest against every lower one (UltraFeedback).
 */
export const formats = new Registry<Columns>("row format", {
  "transcript-pair": {
    chosen: { field: "chosen", steps: [humanAssistant] },
    rejected: { field: "rejected", steps: [humanAssistant] },
  },
  transcript: { messages: { field: "text", steps: [humanAssistant] } },
  "tutoring-dialogue": {
    system: "question",
    messages: {
      field: "conversation",
      steps: [
        { replace: { pattern: "(^|\\|EOM\\|)(Teacher: )\\([a-z]+\\)", with: "$1$2" } },
        { transcript: { user: ["Student", "*"], assistant: "Teacher", separator: "|EOM|" } },
      ],
    },
    turns: "every",
  },
  "tutoring-pair": {
    prompt: { field: "question", steps: [{ transcript: { user: "Student" } }, "without-cue"] },
    pairs: {
      candidates: [
        { text: "chosen", score: "metadata.chosen_score" },
        { text: "rejected", score: "metadata.rejected_score" },
      ],
    },
  },
  "correct-pair": {
    prompt: "question",
    pairs: {
      candidates: ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"],
      text: { field: "solution", steps: [withoutNotes] },
      score: "is_correct",
      take: "all",
    },
  },
  "scored-candidates": { prompt: "prompt", pairs: { candidates: "candidates" } },
  "question-answer": {
    prompt: "question",
    response: { field: "answer", steps: [withoutNotes] },
    answer: { field: "answer", steps: [{ cut: "####\\s*(\\S.*)" }, "trim"] },
  },
  sharegpt: {
    messages: {
      field: "conversations",
      steps: [{ messages: { role: "from", content: "value", roles: { human: "user", gpt: "assistant" } } }],
    },
  },
  prm800k: { reader: "prm800k" },
  "math-shepherd": { reader: "math-shepherd" },
  "aspect-ratings": { reader: "aspect-ratings" },
});

/** The column map of a source: its format's, with single columns replaced by its own; undefined means rows as they are. */
export const columnsOf = (source: {
  format?: string | undefined;
  columns?: Columns | undefined;
}): Columns | undefined => {
  const named = source.format === undefined ? undefined : formats.get(source.format);
  return named === undefined ? source.columns : { ...named, ...source.columns };
};
