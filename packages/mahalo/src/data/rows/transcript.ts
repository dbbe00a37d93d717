/** Conversations written as one text with speaker labels, turned into messages. */
import { z } from "zod";
import type { Message, Role } from "./messages.ts";
import { RowProblem } from "./problems.ts";

const labels = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

/** How a transcript is written. */
export const transcriptSchema = z.strictObject({
  user: labels
    .default("Human")
    .describe("Label or labels of the user's turns, without the colon; * stands for every other speaker."),
  assistant: labels.default("Assistant").describe("Label or labels of the assistant's turns."),
  system: labels.optional().describe("Label or labels of system turns."),
  separator: z.string().min(1).default("\n\n").describe("Text between turns. Default: a blank line."),
});

/** Checked options of {@link splitTranscript}. */
export type TranscriptOptions = z.output<typeof transcriptSchema>;

const anySpeaker = "*";

/** A speaker's name before a colon: it starts with a letter and is short, so a sentence is not taken for one. */
const speaker = /^\s*(\p{L}[\p{L}\p{N}_.'-]*(?: [\p{L}\p{N}_.'-]+){0,2}):/u;

/** The known label that a piece opens a turn with. */
type Opening = { role: Role; length: number };

const pieces = (text: string, separator: string, roleOf: (name: string) => Role | undefined) =>
  text.split(separator).map((piece): { piece: string; opening: Opening | undefined } => {
    const name = speaker.exec(piece);
    const role = name?.[1] === undefined ? undefined : roleOf(name[1]);
    return {
      piece,
      opening: name === null || role === undefined ? undefined : { role, length: name[0].length },
    };
  });

/**
 * The turns of a transcript, `Human: ...`, blank line, `Assistant: ...`, as messages.
 *
 * A piece between separators that begins with a known label opens a turn; any other piece belongs to the turn before
 * it. Where blank lines are the separator and show nothing that the assistant says, single line feeds are taken for it.
 * Carriage returns are no part of a text. Turns of one speaker in a row become one, texts are trimmed, and an empty last turn stays (see the step
 * `without-cue`).
 *
 * @throws RowProblem `bad-transcript` if the text does not begin with a known label
 */
export const splitTranscript = (text: string, options: TranscriptOptions): Message[] => {
  const roleOf = speakers(options);
  const plain = options.separator.includes("\r") ? text : text.replace(/\r\n?/g, "\n");
  const divided = (separator: string) => pieces(plain, separator, roleOf);
  const answers = (parts: ReturnType<typeof divided>) =>
    parts.some(({ opening }) => opening?.role === "assistant");
  let separator = options.separator;
  let parts = divided(separator);
  if (separator === "\n\n" && !answers(parts) && answers(divided("\n"))) {
    separator = "\n";
    parts = divided(separator);
  }
  const glue = separator.trim() === "" ? separator : "\n";
  const turns: { role: Role; parts: string[] }[] = [];
  for (const { piece, opening } of parts) {
    const last = turns.at(-1);
    if (opening !== undefined) {
      const content = piece.slice(opening.length);
      if (last?.role === opening.role) last.parts.push(content.trimStart());
      else turns.push({ role: opening.role, parts: [content] });
    } else if (last !== undefined) {
      last.parts.push(piece);
    } else if (piece.trim() !== "") {
      throw unknownSpeaker(piece, options);
    }
  }
  if (turns.length === 0) throw new RowProblem("bad-transcript", "the text has no turns");
  return turns.map(({ role, parts }) => ({ role, content: parts.join(glue).trim() }));
};

const unknownSpeaker = (piece: string, options: TranscriptOptions): RowProblem => {
  const start = JSON.stringify(piece.trim().slice(0, 40));
  const labels = [options.user, options.assistant, options.system ?? []].flat().join(", ");
  const name = speaker.exec(piece)?.[1];
  const what = name === undefined ? "not with a speaker's label" : `and its speaker ${name} is not known`;
  return new RowProblem(
    "bad-transcript",
    `the text begins with ${start}, ${what}; known are ${labels}, and a step { transcript: { user: ..., assistant: ... } } in columns names others`,
  );
};

const speakers = (options: TranscriptOptions): ((name: string) => Role | undefined) => {
  const roles = new Map<string, Role>();
  for (const role of ["user", "assistant", "system"] as const) {
    for (const label of [options[role]].flat()) if (label !== undefined) roles.set(label, role);
  }
  return (name) => roles.get(name) ?? roles.get(anySpeaker);
};
