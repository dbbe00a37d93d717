/** Dialogues: which turns get a label, from whose reply, and what a simulated student is shown. */
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import type { Message } from "../data/rows/messages.ts";
import { Problems } from "../data/rows/problems.ts";
import type { Judge, JudgedItem } from "../judges/types.ts";
import { tinyModel, withFolder } from "../model/testing/tiny.ts";
import {
  type Dialogue,
  type DialogueOptions,
  defaultPersona,
  planDialogues,
  studentView,
  tutorTurns,
  unlabelled,
} from "./dialogue.ts";
import { type RolloutRow, readRollouts } from "./file.ts";
import type { GenerationRequest, RolloutGenerator } from "./generator.ts";
import { runRollouts } from "./monte-carlo.ts";
import { tinyGenerator } from "./testing/rollouts.ts";

beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));

const turn = (role: Message["role"], content: string): Message => ({ role, content });
const problem = turn("system", "Ben has 3 pens and buys 4. How many has he?");
const lesson = [
  problem,
  turn("assistant", "How would you begin?"),
  turn("user", "3 times 4?"),
  turn("assistant", "Does he get more pens, or the same pens again?"),
  turn("user", "More. So 3 + 4 = 7."),
  turn("assistant", "Well done!"),
];
const dialogue = (messages: readonly Message[], line = 1): Dialogue => ({
  objective: "engagement",
  messages,
  answer: "7",
  origin: { file: "dialogues.jsonl", line },
});

/** A student that says which message it answers and with what seed. */
const echo = (): RolloutGenerator & { requests: GenerationRequest[] } => {
  const student = {
    name: "echo",
    content: "echo",
    requests: [] as GenerationRequest[],
    prepare: (prompt: GenerationRequest["row"]["prompt"]) => ({ prompt, promptIds: [], steps: [] }),
    run: async (requests: readonly GenerationRequest[]) => {
      student.requests.push(...requests);
      return requests.map(({ row: { prompt }, seed }) => ({
        text: `re ${typeof prompt === "string" ? prompt : prompt.at(-1)?.content} (${seed % 97})`,
        steps: 0,
        finish: "end" as const,
        tokens: undefined,
      }));
    },
  };
  return student;
};

/** A judge that keeps what it is shown; a reply with a number gets 1. */
const watching = (): Judge & { seen: JudgedItem[] } => {
  const judge = {
    name: "watching",
    seen: [] as JudgedItem[],
    score: async (items: readonly JudgedItem[]) => {
      judge.seen.push(...items);
      return items.map(({ response }) => ({ score: Number(/\d/.test(response)), reason: "a number?" }));
    },
  };
  return judge;
};

const run = (dialogues: readonly Dialogue[], options: DialogueOptions = {}, problems?: Problems) =>
  withFolder(async (folder) => {
    const out = join(folder, "dialogues.jsonl");
    const judge = watching();
    const tasks = planDialogues(dialogues, options, problems);
    const summary = await runRollouts(tasks, {
      out,
      generator: options.student,
      judge,
      judgeContent: "watching",
    });
    const written: RolloutRow[] = [];
    for await (const row of readRollouts(out)) written.push(row);
    return { summary, written, seen: judge.seen };
  });

describe("a dialogue", () => {
  test("gives every tutor turn that answers something, with what came before it and the reply", () => {
    expect(tutorTurns(lesson)).toEqual([
      { before: lesson.slice(0, 3), turn: lesson[3]?.content, reply: lesson[4]?.content },
      { before: lesson.slice(0, 5), turn: lesson[5]?.content, reply: undefined },
    ]);
  });

  test("is labelled by judging the student's next turn", async () => {
    const problems = new Problems();
    const { written, seen } = await run([dialogue(lesson)], {}, problems);
    expect(seen).toEqual([
      {
        prompt: lesson.slice(0, 4),
        response: "More. So 3 + 4 = 7.",
        reference: "7",
        where: "dialogues.jsonl:1",
      },
    ]);
    expect(written).toMatchObject([
      {
        kind: "interactive",
        objective: "engagement",
        prompt: lesson.slice(0, 3),
        steps: [lesson[3]?.content],
        rollouts: [{ from: 1, steps: 1, text: "More. So 3 + 4 = 7.", finish: "recorded", score: 1 }],
      },
    ]);
    expect(problems.toJSON().skipped).toEqual({ [unlabelled.opening]: 1, [unlabelled.unanswered]: 1 });
  });

  test("of one assistant turn is left out and counted", () => {
    const problems = new Problems();
    const one = [turn("user", "Hi"), turn("assistant", "Hello! What is 2 + 2?"), turn("user", "4")];
    expect(planDialogues([dialogue(one), dialogue(lesson)], {}, problems)).toHaveLength(1);
    expect(problems.toJSON().skipped[unlabelled.single]).toBe(1);
    expect(problems.summary()).toContain("1 row left out: the dialogue has only one assistant turn");
  });

  test("whose turn has no recorded reply is answered by the simulated student, so many times", async () => {
    const student = echo();
    const { written, seen, summary } = await run([dialogue(lesson)], {
      student,
      samples: 3,
      persona: "You are Ann.",
    });
    expect(written.map(({ rollouts }) => rollouts.map(({ finish }) => finish))).toEqual([
      ["recorded"],
      ["end", "end", "end"],
    ]);
    expect(summary.rollouts).toBe(3);
    const replies = written[1]?.rollouts ?? [];
    expect(
      replies.every(({ from, steps, text }) => from === 1 && steps === 1 && text.startsWith("re Well done!")),
    ).toBe(true);
    expect(new Set(replies.map(({ text }) => text)).size).toBe(3);
    expect(student.requests[0]?.row.prompt).toEqual(studentView(lesson, "You are Ann."));
    expect(seen.slice(0, 3).map(({ prompt }) => prompt)).toEqual([lesson, lesson, lesson]);
  });

  test("can be simulated throughout", async () => {
    const { written } = await run([dialogue(lesson)], { student: echo(), samples: 2, simulateAll: true });
    expect(written.map(({ rollouts }) => rollouts.map(({ finish }) => finish))).toEqual([
      ["end", "end"],
      ["end", "end"],
    ]);
  });
});

describe("the student's view", () => {
  test("changes the roles, and has the persona and the problem as its system message", () => {
    expect(studentView(lesson, "You are Ann.")).toEqual([
      turn("system", `You are Ann.\n\n${problem.content}`),
      turn("user", "How would you begin?"),
      turn("assistant", "3 times 4?"),
      turn("user", "Does he get more pens, or the same pens again?"),
      turn("assistant", "More. So 3 + 4 = 7."),
      turn("user", "Well done!"),
    ]);
  });
  test("never begins with the student's own turn", () => {
    const view = studentView([turn("user", "I am stuck."), turn("assistant", "Where?")]);
    expect(view.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
    expect(view[0]?.content).toBe(defaultPersona);
    expect(view[2]?.content).toBe("I am stuck.");
  });
});

test("one of our models plays the student, the same each time", async () => {
  const model = await tinyModel("tiny-llama");
  const student = tinyGenerator(model);
  const replies = async () => {
    const { written } = await run([dialogue(lesson)], { student, samples: 2, persona: "Be Ann." });
    return written[1]?.rollouts.map(({ text }) => text);
  };
  const first = await replies();
  expect(first).toHaveLength(2);
  expect(first).not.toContain("");
  expect(await replies()).toEqual(first);
  model.dispose();
});

test("of any dialogues, every turn is labelled, or counted for why not", () => {
  const messages = fc
    .array(fc.constantFrom("user" as const, "assistant" as const), { maxLength: 9 })
    .map((list) => list.map((role, index) => turn(role, `turn ${index}`)));
  fc.assert(
    fc.property(fc.array(messages, { maxLength: 6 }), (list) => {
      const problems = new Problems();
      const tasks = planDialogues(
        list.map((one, index) => dialogue(one, index + 1)),
        {},
        problems,
      );
      const { skipped } = problems.toJSON();
      const multiple = list.filter((one) => one.filter(({ role }) => role === "assistant").length > 1);
      expect(skipped[unlabelled.single] ?? 0).toBe(list.length - multiple.length);
      const turns = multiple.flat().filter(({ role }) => role === "assistant").length;
      expect(tasks.length + (skipped[unlabelled.opening] ?? 0) + (skipped[unlabelled.unanswered] ?? 0)).toBe(
        turns,
      );
      for (const { row, recorded, item } of tasks) {
        const shown = item(1, recorded[0]?.text ?? "");
        expect(shown.prompt.at(-1)).toEqual(turn("assistant", row.steps[0] ?? ""));
        expect(shown.prompt.slice(0, -1)).toEqual(row.prompt);
      }
    }),
  );
});
