/** mahalo chat: talk with a model in the terminal and change its mix on the way. */
import { createInterface } from "node:readline/promises";
import { describeError, MahaloError } from "@mahalo/torch";
import type { Command } from "commander";
import { throwIfAborted } from "../core/interrupt.ts";
import { hasPhases, type MixPlan } from "../decode/mix-schedule.ts";
import { formatMix } from "../evaluate/mixes.ts";
import { type LanguageModel, loadModel } from "../model/folder/load.ts";
import { evenMix, type Mix, normalizeMix, parseMix } from "../model/heads/heads.ts";
import { describeFacts, guidedFacts } from "../search/answer-guided.ts";
import { Conversation } from "../search/conversation.ts";
import { type CommonOptions, command, type Input, type Io, type Output, outputOf } from "./command.ts";
import { type MixFlags, oneMixOf, withMix } from "./mix-options.ts";
import { loadOptionsOf, requestOf, type SamplingFlags, withSampling } from "./sampling-options.ts";
import { openSearch, type SearchFlags, withSearch } from "./search-options.ts";

type ChatOptions = CommonOptions & MixFlags & SamplingFlags & SearchFlags;

const help = [
  "/mix accuracy=0.9,engagement=0.1   change the mix from the next reply on",
  "/at 0.6                            the same by a position between the objectives, as measured",
  "/target accuracy>=0.6              the same by a result to reach",
  "/mix                               show the mix",
  "/reset                             clear the conversation",
  "/quit                              leave (also Ctrl-D)",
];

const mixText = ({ heads }: LanguageModel, mix: MixPlan | undefined): string => {
  if (heads.objectives.length === 0) return "the model has no objectives, so there is nothing to mix";
  const plan = mix ?? evenMix(heads.objectives);
  const mixes = hasPhases(plan) ? plan.map((phase) => phase.mix) : [plan];
  const texts = mixes.map((mix) => formatMix(Object.fromEntries(normalizeMix(mix, heads.objectives))));
  return `mix: ${texts.join(", then ")}`;
};

/** A model, and the name that it was loaded by. */
type NamedModel = { name: string; model: LanguageModel };

/** The mix that a command asks for; undefined where it asks for none, but for what holds. */
const mixIn = (command: string, rest: string, model: string): Promise<Mix | undefined> => {
  if (rest === "") return Promise.resolve(undefined);
  if (command === "/at") return oneMixOf({ at: [Number(rest)] }, model);
  return oneMixOf(
    command === "/target" ? { target: rest.split(/\s*,\s*/) } : { mix: [parseMix(rest)] },
    model,
  );
};

/** Carries out a line that begins with a slash; false ends the chat. */
const obey = async (
  line: string,
  chat: Conversation,
  { name: modelName, model }: NamedModel,
  say: (line: string) => void,
): Promise<boolean> => {
  const [name = "", rest = ""] = line.split(/\s+(.*)/s);
  if (name === "/quit" || name === "/exit") return false;
  if (name === "/reset") {
    chat.reset();
    say("the conversation is cleared");
  } else if (name === "/mix" || name === "/at" || name === "/target") {
    const mix = await mixIn(name, rest, modelName);
    if (mix !== undefined) {
      normalizeMix(mix, model.heads.objectives);
      chat.mix = mix;
    }
    say(mixText(model, chat.mix));
  } else for (const line of help) say(line);
  return true;
};

/** A chat: replies on standard output, everything else on standard error. */
export const chatCommand = (io: Io): Command =>
  withSearch(
    withSampling(
      withMix(
        command({
          name: "chat",
          summary: "Chat with a model; /mix changes the mix within the conversation.",
          examples: [
            ["mahalo chat runs/quickstart/align/model", "all objectives alike"],
            [
              "mahalo chat runs/quickstart/align/model --mix accuracy=0.9,engagement=0.1",
              "then /mix engagement=1",
            ],
            [
              "mahalo chat MODEL --guide runs/tutoring/reward/engagement/model --step turn",
              "the best of five replies every time",
            ],
          ],
        }).argument("<model>", "packaged name, folder, .gguf file or hub id"),
        { several: false, none: "equal weights" },
      ),
    ),
  ).action(async (name: string, options: ChatOptions) => {
    const output = outputOf(io, options);
    const mix = await oneMixOf(options, name);
    const model = await loadModel(name, loadOptionsOf(options));
    try {
      const guide = await openSearch(options, model);
      const request = requestOf(options, model, { guided: guide !== undefined });
      const { system } = options;
      const chat = new Conversation(model, { ...request, mix, system, guide });
      try {
        await converse(chat, { name, model }, io, output);
      } finally {
        chat.dispose();
        guide?.dispose();
      }
    } finally {
      model.dispose();
    }
  });

const standardInput = (): Input => ({
  from: process.stdin,
  echo: process.stderr,
  terminal: process.stdin.isTTY === true,
});

/** Answers line after line until the input ends, somebody leaves, or the command is interrupted. */
const converse = async (
  chat: Conversation,
  named: NamedModel,
  io: Io,
  output: ReturnType<typeof outputOf>,
): Promise<void> => {
  throwIfAborted(io.signal, "chatting");
  const { from, echo, terminal } = io.input ?? standardInput();
  output.note(`${mixText(named.model, chat.mix)}; /help lists what can be typed`);
  const lines = createInterface({ input: from, output: echo, terminal, prompt: "> " });
  let replying: AbortController | undefined;
  // On a terminal readline has Ctrl-C: it ends the reply, and between replies the chat.
  lines.on("SIGINT", () => (replying === undefined ? lines.close() : replying.abort()));
  const leave = (): void => {
    replying?.abort();
    lines.close();
  };
  io.signal.addEventListener("abort", leave);
  const ask = (): void => {
    if (terminal && !io.signal.aborted) lines.prompt();
  };
  try {
    ask();
    for await (const line of lines) {
      throwIfAborted(io.signal, "chatting");
      replying = new AbortController();
      try {
        if (line.startsWith("/")) {
          if (!(await obey(line, chat, named, output.note))) break;
        } else if (line.trim() !== "") {
          await reply(chat, line, io, { ...output, signal: replying.signal });
        }
      } catch (error) {
        if (!(error instanceof MahaloError)) throw error;
        throwIfAborted(io.signal, "chatting");
        if (error.code === "E_INTERRUPTED") output.note("\nthe reply was stopped, and its turn was dropped");
        else io.err(`${describeError(error)}\n`);
      }
      replying = undefined;
      ask();
    }
  } finally {
    io.signal.removeEventListener("abort", leave);
    lines.close();
  }
  throwIfAborted(io.signal, "chatting");
};

const reply = async (
  chat: Conversation,
  line: string,
  io: Io,
  { json, note, signal }: Pick<Output, "json" | "note"> & { signal: AbortSignal },
): Promise<void> => {
  const pieces = chat.say(line, signal);
  for (;;) {
    const { value, done } = await pieces.next();
    if (done) {
      const { text, finish, ids, tree } = value;
      const facts = tree === undefined ? undefined : guidedFacts(tree);
      io.out(json ? `${JSON.stringify({ response: text, finish, tokens: ids.length, ...facts })}\n` : "\n");
      if (facts !== undefined) note(describeFacts(facts));
      return;
    }
    if (!json) io.out(value);
  }
};
