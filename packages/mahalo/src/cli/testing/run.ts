/** A command line run inside a test: what it wrote, and the status it ended with. */
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { saveModel } from "../../model/folder/save.ts";
import { tinyModel } from "../../model/testing/tiny.ts";
import type { CommandFile, Input, Io } from "../command.ts";
import { runCli } from "../program.ts";

/** What a run has written so far, and how it ended. */
export type Ran = { status: number; out: string; err: string };

/** Options of {@link run}. */
export type RunOptions = {
  /** Default: all commands. */
  files?: readonly CommandFile[];
  /** Aborted, the command is interrupted. */
  signal?: AbortSignal;
  input?: Input;
  /** Hears of everything that is written to standard output. */
  onOut?: (text: string) => void;
};

/** Runs a command line. */
export const run = async (words: readonly string[], options: RunOptions = {}): Promise<Ran> => {
  const { files, signal = new AbortController().signal, input, onOut } = options;
  const ran: Ran = { status: 0, out: "", err: "" };
  const io: Io = {
    out: (text) => {
      ran.out += text;
      onOut?.(text);
    },
    err: (text) => {
      ran.err += text;
    },
    signal,
    colour: false,
    ...(input === undefined ? {} : { input }),
  };
  ran.status = await runCli(words, io, files);
  return ran;
};

/** Standard input that a test types into. */
export type Keyboard = Input & { from: PassThrough; echoed: () => string };

/** An input without a line yet; on a terminal, control characters are keys. */
export const keyboard = ({ terminal = false } = {}): Keyboard => {
  let shown = "";
  const echo = new Writable({
    write: (chunk, _encoding, done) => {
      shown += String(chunk);
      done();
    },
  });
  return { from: new PassThrough(), echo, terminal, echoed: () => shown };
};

/** An input of lines that then ends, as from a pipe. */
export const typed = (...lines: readonly string[]): Input => {
  const input = keyboard();
  input.from.end(lines.map((line) => `${line}\n`).join(""));
  return input;
};

/** Saves a tiny model whose heads `accuracy` and `engagement` say different things; gives its folder. */
export const layOutModel = async (folder: string): Promise<string> => {
  const model = await tinyModel("tiny-llama");
  const to = join(folder, "model");
  try {
    // Noise far above training's.
    model.heads.addNoisyCopies(["accuracy", "engagement"], { seed: 1, std: 0.5, compute: "float32" });
    await saveModel(model, to);
  } finally {
    model.dispose();
  }
  return to;
};
