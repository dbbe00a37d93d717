/** What every command shares: its help with examples, `--json`, `--quiet`, and where its output goes. */
import { MahaloError } from "@mahalo/torch";
import { Command } from "commander";
import { silenceProgress } from "../core/progress.ts";

/** Where a command writes, and what tells it to stop. */
export type Io = {
  /** Standard output: results. */
  out: (text: string) => void;
  /** Standard error: progress, notes and errors. */
  err: (text: string) => void;
  /** Standard output for text with colours of ours, whose foreign parts are visible already. Default: as `out`. */
  painted?: (text: string) => void;
  /** Aborted on Ctrl-C, SIGTERM and SIGHUP. */
  signal: AbortSignal;
  /** Whether standard output is a terminal that shows colours. */
  colour: boolean;
  /** Where lines are read from that a person types. Default: the process's standard input. */
  input?: Input;
};

/** Lines that come in while a command runs. */
export type Input = {
  from: NodeJS.ReadableStream;
  /** Where a prompt is shown, and what is typed. */
  echo: NodeJS.WritableStream;
  /** Whether a person sits there, who wants a prompt and can edit the line. */
  terminal: boolean;
};

/** Makes one command; a registered command file exports one of these. */
export type CommandFile = (io: Io) => Command;

/** Options that every command has. */
export type CommonOptions = { json?: boolean; quiet?: boolean };

/** What a command's action is handed for its output. */
export type Output = {
  /** Prints the result: as JSON under `--json`, else as the text for people, which may be painted. */
  result: (value: unknown, text: () => string, painted?: boolean) => void;
  /** Prints a note for people on standard error; nothing under `--quiet` and `--json`. */
  note: (line: string) => void;
  json: boolean;
};

/** What a command is called, does, and how it is used. */
export type CommandSpec = {
  name: string;
  /** One sentence for the list of commands. */
  summary: string;
  /** Command lines with what each does, shown under `--help`. */
  examples: readonly (readonly [line: string, does: string])[];
};

/** A commander command with summary, examples and the options that every command has. */
export const command = ({ name, summary, examples }: CommandSpec): Command => {
  const width = Math.max(...examples.map(([line]) => line.length));
  const lines = examples.map(([line, does]) => `  $ ${line.padEnd(width)}   ${does}`);
  return new Command(name)
    .description(summary)
    .option("--json", "print the result as JSON, and no progress")
    .option("-q, --quiet", "print no progress and no notes")
    .addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
};

/** The output of one call of a command; switches progress off where the options ask for it. */
export const outputOf = (io: Io, { json = false, quiet = false }: CommonOptions): Output => {
  silenceProgress(json || quiet);
  return {
    json,
    result: (value, text, painted = false) => {
      if (json) io.out(`${JSON.stringify(value, null, 2)}\n`);
      else if (painted && io.painted !== undefined) io.painted(text());
      else io.out(text());
    },
    note: (line) => {
      if (!json && !quiet) io.err(`${line}\n`);
    },
  };
};

/**
 * Thrown by a command that has done its work and printed its result, where what was asked for is not to be had: a target
 * that no mix reaches, no pair out of all rollouts. It prints nothing more; the exit status says it.
 */
export class Unmet extends Error {}

/** An error in how a command was called. */
export const usage = (message: string): MahaloError =>
  new MahaloError("E_CLI_USAGE", message, { hint: "see --help" });

/** Collects the values of an option that may be given several times. */
export const collect = (value: string, before: readonly string[] = []): string[] => [...before, value];
