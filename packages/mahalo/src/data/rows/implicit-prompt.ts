/** Prompts that a pair has inside its two texts: whole conversations written out, by marks that tell every turn. */
import { isRole, type Message } from "./messages.ts";
import { RowProblem } from "./problems.ts";
import { splitTranscript } from "./transcript.ts";

/** How chat templates write a turn: its role, then its text. */
const written: readonly RegExp[] = [
  /<\|im_start\|>(\w+)\n(.*?)(?:<\|im_end\|>\s*|$)/gsy,
  /(?:<\|begin_of_text\|>)?<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)(?:<\|eot_id\|>\s*|$)/gsy,
  /(?:<bos>)?<start_of_turn>(\w+)\n(.*?)(?:<end_of_turn>\s*|$)/gsy,
  /<\|(system|user|assistant)\|>\n(.*?)(?:<\/s>\s*|(?=<\|(?:system|user|assistant)\|>\n)|$)/gsy,
];

const transcript = { user: ["Human", "User"], assistant: "Assistant", system: "System", separator: "\n\n" };

const fromTemplate = (text: string, turn: RegExp): Message[] | undefined => {
  const messages: Message[] = [];
  let end = 0;
  turn.lastIndex = 0;
  for (const match of text.matchAll(turn)) {
    const [all, name, content] = match;
    const role = name === "model" ? "assistant" : name;
    if (role === undefined || content === undefined || !isRole(role)) return undefined;
    messages.push({ role, content });
    end = match.index + all.length;
  }
  return messages.length > 0 && end === text.length ? messages : undefined;
};

const fromTranscript = (text: string): Message[] | undefined => {
  try {
    return splitTranscript(text, transcript);
  } catch (error) {
    if (error instanceof RowProblem) return undefined;
    throw error;
  }
};

/** The turns of a conversation that is written out as one text; undefined where they cannot be told. */
function writtenTurns(text: string): Message[] | undefined {
  const begun = text.trimStart();
  for (const turn of written) {
    const messages = fromTemplate(begun, turn);
    if (messages !== undefined) return messages;
  }
  return fromTranscript(text);
}

/**
 * The two conversations of a pair that has no prompt of its own.
 *
 * @throws RowProblem `invalid-row` where the texts do not tell where the prompt ends
 */
export function implicitPrompt(chosen: string, rejected: string): { chosen: Message[]; rejected: Message[] } {
  const turns = { chosen: writtenTurns(chosen), rejected: writtenTurns(rejected) };
  if (turns.chosen !== undefined && turns.rejected !== undefined) {
    return { chosen: turns.chosen, rejected: turns.rejected };
  }
  throw new RowProblem(
    "invalid-row",
    "prompt: is missing, and no speakers' labels or chat template's marks in chosen and rejected show where it ends; give it as a separate field, or as the first messages of both",
  );
}
