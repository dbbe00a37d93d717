/** The command line: commands put together, errors turned into one line and an exit status. */
import { MahaloError } from "@mahalo/torch";
import { Command, CommanderError } from "commander";
import { extensionFiles } from "../core/extensions.ts";
import { describeFailure, explainFailure } from "../core/failure.mjs";
import { didYouMean } from "../core/suggest.ts";
import { visible } from "../core/visible.ts";
import { mahaloVersion } from "../recipe/engine/provenance.ts";
import { type CommandFile, type Io, Unmet } from "./command.ts";
import { commands } from "./commands.ts";
import { extendOption, loadExtensions } from "./extensions.ts";
import { namingFlag } from "./flag-names.ts";

/** Exit status of a command that Ctrl-C ended, as shells expect it. */
export const interrupted = 130;

/** Exit status of a command that worked, but found that what was asked for is not to be had. */
const unmet = 3;

const statuses = `
Exit status:
  0    done
  1    a failure while running: a full disk, an endpoint that does not answer, a bug in mahalo
  2    bad input: the command line, a recipe, rows or a model
  3    nothing failed, but the requested result is not available (tune: no mix reaches the target; pairs: no pair)
  130  stopped by Ctrl-C (129: by a closed terminal, SIGHUP; 143: by SIGTERM); run and rollout resume

MAHALO_DEBUG=1 shows where in the code an error came from.`;

/** Commander's message as one of ours: no prefix, a suggestion on the same line. */
const usageError = (error: CommanderError, names: readonly string[]): MahaloError => {
  const unknown = /unknown command '(.*)'/.exec(error.message)?.[1];
  if (unknown !== undefined) {
    return new MahaloError("E_CLI_COMMAND", `unknown command "${unknown}". ${didYouMean(unknown, names)}`);
  }
  const text = error.message.replace(/^error: /, "").replaceAll(/\s*\n\s*/g, " ");
  return new MahaloError("E_CLI_USAGE", text, { hint: "see --help" });
};

/** An unexpected error, of which the user's own programs may be the cause where some are loaded. */
const withExtensions = (error: unknown): unknown => {
  const { code, message } = explainFailure(error);
  const files = extensionFiles();
  if (code !== "E_INTERNAL" || files.length === 0) return error;
  const hint = `a mistake in ${files.join(" or ")}, or in mahalo: MAHALO_DEBUG=1 shows where`;
  return new MahaloError(code, message, { hint, cause: error, exitStatus: 1 });
};

const report = (failure: unknown, io: Io, json: boolean): number => {
  const error = withExtensions(failure);
  const { code, message, hint, status } = explainFailure(error);
  io.err(
    json ? `${JSON.stringify({ error: { code, message, hint } })}\n` : `mahalo: ${describeFailure(error)}\n`,
  );
  return code === "E_INTERRUPTED" ? interrupted : status;
};

/** The same places to write to, where no text of a model, a row or a file can steer the terminal. */
const harmless = (io: Io): Io => ({
  ...io,
  out: (text) => io.out(visible(text)),
  err: (text) => io.err(visible(text)),
  painted: io.out,
});

/** Gives every command the same manners: errors are thrown, not printed, and the process goes on. */
const tame = (command: Command, io: Io): Command =>
  command
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({ writeOut: io.out, writeErr: io.err, outputError: () => undefined });

/**
 * Runs one command line.
 *
 * @param given what follows `mahalo`.
 * @param files the commands. Default: all.
 * @returns the exit status, as `mahalo --help` tells them: 0 done, 1 a failure, 2 bad input, 3 not to be had, 130
 *   interrupted.
 */
export const runCli = async (
  given: readonly string[],
  terminal: Io,
  files?: readonly CommandFile[],
): Promise<number> => {
  const io = harmless(terminal);
  let words: string[];
  try {
    words = await loadExtensions(given);
  } catch (error) {
    return report(error, io, given.includes("--json"));
  }
  const program = tame(new Command("mahalo"), io)
    .description("Align one language model to several objectives, then choose the mix at inference time.")
    .version(await mahaloVersion(), "-V, --version", "print the version")
    .option(extendOption.flags, extendOption.description)
    .addHelpText(
      "after",
      `\nExample:\n  $ mahalo run recipes/quickstart.yaml   train, steer and report in one run\n${statuses}`,
    );
  for (const file of files ?? commands.items) program.addCommand(tame(file(io), io));
  const names = program.commands.map((command) => command.name());
  try {
    if (words.length === 0) {
      program.outputHelp();
      return 0;
    }
    await program.parseAsync(words, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      return report(usageError(error, names), io, words.includes("--json"));
    }
    if (error instanceof Unmet) return unmet;
    const ran = program.commands.find((command) => command.name() === words[0]);
    return report(namingFlag(error, ran), io, words.includes("--json"));
  }
};
