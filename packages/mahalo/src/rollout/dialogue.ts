/** Interactive objectives: the student's turn after a tutor's turn, recorded or simulated, is what the turn is judged by. */
import type { Answer } from "../data/rows/answers.ts";
import type { Message } from "../data/rows/messages.ts";
import { type Origin, Problems } from "../data/rows/problems.ts";
import type { RolloutGenerator } from "./generator.ts";
import { type RolloutTask, type SampleOptions, samplesFrom } from "./monte-carlo.ts";

/** A dialogue: the tutor is the assistant, the student the user. */
export type Dialogue = {
  objective: string;
  messages: readonly Message[];
  /** What the judge compares with, for example the problem's right answer. */
  answer?: Answer | undefined;
  origin: Origin;
};

/** A tutor's turn, what came before it, and the student's reply where one is recorded. */
export type TutorTurn = { before: Message[]; turn: string; reply: string | undefined };

/** Why a dialogue or a turn gives no label, in words fit for a report. */
export const unlabelled = {
  single: "the dialogue has only one assistant turn",
  opening: "the assistant's turn opens the dialogue, so it answers nothing",
  unanswered: "the assistant's turn has no recorded reply, and no student is simulated",
} as const;

/** Whether a dialogue has more than one assistant turn; those of one are left out. */
export const isDialogue = (messages: readonly Message[]): boolean =>
  messages.filter(({ role }) => role === "assistant").length > 1;

/**
 * The assistant's turns of a dialogue that answer something, each with all before it.
 *
 * The reply is the turn that follows, if it is the user's.
 */
export const tutorTurns = (messages: readonly Message[]): TutorTurn[] =>
  messages.flatMap(({ role, content }, index): TutorTurn[] => {
    const before = messages.slice(0, index);
    if (role !== "assistant" || before.every((message) => message.role === "system")) return [];
    const next = messages[index + 1];
    return [{ before, turn: content, reply: next?.role === "user" ? next.content : undefined }];
  });

/** What a simulated student is told of itself, unless a persona is given. */
export const defaultPersona =
  "You are a student who talks with a tutor. You are willing but you make mistakes. Answer the tutor's last message in one to three sentences, as a student would: try what the tutor asks for, say what you think, and ask when you do not understand. Say only the student's words.";

/** Opens a view whose first turn would be the student's own, since most chat templates begin with the other side. */
const lessonBegins = "(The lesson begins.)";

/**
 * A dialogue as the student sees it: the student's turns become the assistant's and the tutor's the user's. The
 * persona is the system message; what the dialogue's own system message says (the problem, for example) follows it.
 */
export const studentView = (messages: readonly Message[], persona: string = defaultPersona): Message[] => {
  const system = [persona, ...messages.flatMap(({ role, content }) => (role === "system" ? [content] : []))];
  const turns = messages.flatMap(({ role, content }): Message[] => {
    if (role === "system") return [];
    return [{ role: role === "user" ? "assistant" : "user", content }];
  });
  const opening: Message[] = turns[0]?.role === "assistant" ? [{ role: "user", content: lessonBegins }] : [];
  return [{ role: "system", content: system.join("\n\n") }, ...opening, ...turns];
};

/** Options of {@link planDialogues}. */
export type DialogueOptions = SampleOptions & {
  /** What answers turns without a recorded reply: any model of ours or an endpoint. Default: they are left out. */
  student?: RolloutGenerator | undefined;
  /** Who the student is. Default {@link defaultPersona}. */
  persona?: string | undefined;
  /** Simulate replies to all turns, recorded ones too. Default false: a recorded reply stands. */
  simulateAll?: boolean | undefined;
};

/**
 * Plans the labels of a dialogue's tutor turns: one task a turn, with the recorded reply or `samples` simulated ones.
 *
 * The judge is shown the dialogue up to and with the tutor's turn as the prompt, and the student's reply as what is to
 * be judged. A turn's label is the mean of its replies' scores: the Monte-Carlo value behind its one step.
 *
 * @param problems counts, by the reasons of {@link unlabelled}, what gives no label
 */
export const planDialogues = (
  dialogues: readonly Dialogue[],
  { student, persona, simulateAll = false, ...samples }: DialogueOptions = {},
  problems: Problems = new Problems(),
): RolloutTask[] => {
  const step = problems.step("dialogues");
  const tasks = dialogues.flatMap((dialogue): RolloutTask[] => {
    const { objective, messages, answer, origin } = dialogue;
    step.see(dialogue);
    if (!isDialogue(messages)) {
      step.skip(unlabelled.single);
      return [];
    }
    const turns = tutorTurns(messages);
    const openings = messages.filter(({ role }) => role === "assistant").length - turns.length;
    if (openings > 0) step.skip(unlabelled.opening, openings);
    return turns.flatMap(({ before, turn, reply }): RolloutTask[] => {
      const upTo: Message[] = [...before, { role: "assistant", content: turn }];
      const simulated = student !== undefined && (reply === undefined || simulateAll);
      if (!simulated && reply === undefined) {
        step.skip(unlabelled.unanswered);
        return [];
      }
      const view = simulated
        ? step.guard(origin, () => student.prepare(studentView(upTo, persona), undefined))
        : undefined;
      if (simulated && view === undefined) return [];
      return [
        {
          row: {
            objective,
            kind: "interactive",
            prompt: before,
            steps: [turn],
            ...(answer === undefined ? {} : { answer }),
            origin,
          },
          recorded: simulated || reply === undefined ? [] : [{ from: 1, text: reply, steps: 1 }],
          made:
            view === undefined
              ? []
              : samplesFrom(view, 0, samples).map((sample) => ({ ...sample, from: 1, steps: 1 })),
          item: (_from, text) => ({
            prompt: upTo,
            response: text,
            ...(answer === undefined ? {} : { reference: answer }),
            where: `${origin.file}:${origin.line}`,
          }),
        },
      ];
    });
  });
  step.check();
  return tasks;
};
