/** mahalo chat: talk with a model in the terminal and change its mix on the way. */
import { createInterface } from "node:readline/promises";
import { describeError, MahaloError } from "@mahalo/torch";
import type { Command } from "commander";
import { Conversation } from "../decode/conversation.ts";
import { formatMix } from "../evaluate/mixes.ts";
import { type Mix, normalizeMix, parseMix } from "../model/heads.ts";
import { type LanguageModel, loadModel } from "../model/load.ts";
import { computeDType } from "../model/precision.ts";
import { type CommonOptions, command, type Io, outputOf } from "./command.ts";
import { requestOf, type SamplingFlags, withSampling } from "./sampling-options.ts";

type ChatOptions = CommonOptions & SamplingFlags & { mix?: Mix };

const help = [
  "/mix accuracy=0.9,engagement=0.1   change the mix from the next reply on",
  "/mix                               show the mix",
  "/reset                             forget the conversation",
  "/quit                              leave (also Ctrl-D)",
];

const mixText = ({ heads }: LanguageModel, mix: Mix | undefined): string => {
  if (heads.objectives.length === 0) return "the model has no objectives, so there is nothing to mix";
  const equal = Object.fromEntries(heads.objectives.map((name) => [name, 1]));
  return `mix: ${formatMix(Object.fromEntries(normalizeMix(mix ?? equal, heads.objectives)))}`;
};

/** Carries out a line that begins with a slash; false ends the chat. */
const obey = (
  line: string,
  chat: Conversation,
  model: LanguageModel,
  say: (line: string) => void,
): boolean => {
  const [name = "", rest = ""] = line.split(/\s+(.*)/s);
  if (name === "/quit" || name === "/exit") return false;
  if (name === "/reset") {
    chat.reset();
    say("the conversation is forgotten");
  } else if (name === "/mix") {
    if (rest !== "") {
      const mix = parseMix(rest);
      normalizeMix(mix, model.heads.objectives);
      chat.mix = mix;
    }
    say(mixText(model, chat.mix));
  } else for (const one of help) say(one);
  return true;
};

/** A chat: replies on standard output, everything else on standard error. */
export const chatCommand = (io: Io): Command =>
  withSampling(
    command({
      name: "chat",
      summary: "Talk with a model; /mix changes the mix inside the conversation.",
      examples: [
        ["mahalo chat runs/quickstart/align/model", "all objectives alike"],
        [
          "mahalo chat runs/quickstart/align/model --mix accuracy=0.9,engagement=0.1",
          "then /mix engagement=1",
        ],
      ],
    })
      .argument("<model>", "packaged name, folder, .gguf file or hub id")
      .option("--mix <weights>", "for example accuracy=0.7,engagement=0.3; default: all alike", parseMix),
  ).action(async (name: string, options: ChatOptions) => {
    const output = outputOf(io, options);
    const model = await loadModel(name, { compute: computeDType(options.precision) });
    const request = requestOf(options, model);
    const chat = new Conversation(model, { ...request, mix: options.mix, system: options.system });
    const terminal = process.stdin.isTTY === true;
    const lines = createInterface({ input: process.stdin, output: process.stderr, terminal, prompt: "> " });
    // Without a terminal readline would swallow Ctrl-C.
    lines.on("SIGINT", () => lines.close());
    const ask = (): void => {
      if (terminal) lines.prompt();
    };
    try {
      output.note(`${mixText(model, options.mix)}; /help lists what can be typed`);
      ask();
      for await (const line of lines) {
        try {
          if (line.startsWith("/")) {
            if (!obey(line, chat, model, (text) => output.note(text))) break;
          } else if (line.trim() !== "") {
            await reply(chat, line, io, output.json);
          }
        } catch (error) {
          if (!(error instanceof MahaloError) || error.code === "E_INTERRUPTED") throw error;
          io.err(`${describeError(error)}\n`);
        }
        ask();
      }
    } finally {
      lines.close();
      chat.dispose();
      model.dispose();
    }
  });

const reply = async (chat: Conversation, line: string, io: Io, json: boolean): Promise<void> => {
  const pieces = chat.say(line, io.signal);
  for (;;) {
    const { value, done } = await pieces.next();
    if (done) {
      io.out(
        json
          ? `${JSON.stringify({ response: value.text, finish: value.finish, tokens: value.ids.length })}\n`
          : "\n",
      );
      return;
    }
    if (!json) io.out(value);
  }
};
